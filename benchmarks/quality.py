"""How good restored faces are: portraits damaged on purpose, restored, against the originals.

    python benchmarks/quality.py                            # scikit-image's astronaut
    python benchmarks/quality.py --photos FOLDER [--held-out 40] [--limit 10]
        [--models MODELS] [--model FILE ...] [--presets gfpgan webcam] [--output FOLDER]

The networks are the bundled one, those published ones that lie in --models, and every --model. Two
protocols: "crops", aligned faces of 256 pixels through the network alone, exactly as
training/evaluation.py says; and "photos", whole photos damaged by each preset, through search,
restoration and paste. Of the first few photos clips are made, still and panning, and it is measured
how much they flicker.

Tables are printed; with --output they are written too, with sheets of pictures.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import skimage.data
import torch
from torch import Tensor

# Appended, so that the pack's nodes/ shadows nothing.
sys.path.append(str(Path(__file__).resolve().parent.parent))

import gpen_core
from gpen_core import (
    BUNDLED_RESTORER,
    CHECKPOINT_FOLDERS,
    DEGRADE_PRESETS,
    GPEN_MODELS,
    degrade,
    resize,
)
from gpen_core.commands.devices import AUTO, DEVICES, choose_device
from sheet import draw_sheet, markdown_table
from training import evaluation
from training.dataset import align_photos, hold_out, largest_face, list_photos, read_photo
from whole_photos import Flicker, PhotoFigures, measure_flicker, measure_photos

FOLDERS = ("", *CHECKPOINT_FOLDERS)
"""In a models folder, where checkpoints lie."""
ON_A_SHEET = 16
INPUT, DAMAGED = "damaged, bicubic", "damaged"
YES_NO = {True: "yes", False: "no"}
FIGURES = {
    "PSNR": "psnr",
    "SSIM": "ssim",
    "MS-SSIM": "ms_ssim",
    "landmark error, %": "landmark_error",
    "sharpness": "sharpness",
    "colour error": "color_error",
}


def main() -> None:
    """Print the tables that were asked for."""
    options = _options()
    torch.set_grad_enabled(False)
    files = []
    if options.photos is not None:
        files = list_photos(options.photos)
        if options.held_out is not None:
            files = hold_out(files, options.held_out)[1]
        files = files[: options.limit]
        if not files:
            raise SystemExit(f"{options.photos}: expected pictures, got none. Name another folder.")
    device = choose_device(options.device)
    detector = gpen_core.load_detector(device=device)
    networks = {name: gpen_core.load_model(path, device) for name, path in _find(options).items()}
    if options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)
    texts = [f"{max(1, len(files))} portraits, seed {options.seed}, networks on {device.type}."]
    print(texts[0])
    for protocol in options.protocols:
        for text in PROTOCOLS[protocol](files, networks, detector, options):
            print(f"\n{text}", flush=True)
            texts.append(text)
    if options.output is not None:
        (options.output / "quality.md").write_text("\n\n".join(texts) + "\n", "utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=Path, help="folder of portraits, one face each")
    parser.add_argument("--held-out", type=int, help="use only those that training holds out: 40")
    parser.add_argument("--limit", type=int, help="use only the first N")
    parser.add_argument("--photo-size", type=int, default=512, help="short side of whole photos")
    parser.add_argument("--clips", type=int, default=2, help="how many photos clips are made of")
    parser.add_argument("--seed", type=int, default=0, help="of all damage")
    parser.add_argument("--models", type=Path, default=os.environ.get("GPEN_MODELS_DIR"))
    parser.add_argument("--model", type=Path, nargs="+", default=[], help="further checkpoints")
    parser.add_argument("--device", choices=(AUTO, *DEVICES), default=AUTO)
    parser.add_argument("--protocols", choices=PROTOCOLS, nargs="+", default=list(PROTOCOLS))
    parser.add_argument(
        "--presets", choices=DEGRADE_PRESETS, nargs="+", default=list(DEGRADE_PRESETS)
    )
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="write tables and sheets")
    return parser.parse_args()


def _find(options: argparse.Namespace) -> dict[str, Path]:
    """The checkpoints to measure, by name."""
    found = [BUNDLED_RESTORER]
    if options.models is not None:
        names = [model.filename for model in GPEN_MODELS]
        paths = [Path(options.models) / folder / name for name in names for folder in FOLDERS]
        found += [path for path in paths if path.is_file()]
    return {path.stem: path for path in (*found, *options.model)}


def _measure_crops(
    files: Sequence[Path],
    networks: Mapping[str, gpen_core.GpenGenerator],
    detector: gpen_core.FaceDetector,
    options: argparse.Namespace,
) -> list[str]:
    """The tables of aligned crops; the sheet is written."""
    crops = align_photos(_portraits(files), detector, evaluation.SIZE_PX)
    damaged = evaluation.damage_crops(crops, options.seed)
    shown = {"original": crops[:ON_A_SHEET]}
    rows: list[list[str | float]] = []
    texts = []
    restorers = {name: evaluation.with_network(network) for name, network in networks.items()}
    for name, restore in {INPUT: lambda images: images, **restorers}.items():
        measured = evaluation.measure_restoration(restore, crops, detector, seed=options.seed)
        ends = [measured.clean.psnr, measured.seconds]
        rows.append([name, *_figures(measured.restored), *ends])
        if name in networks:
            limits = measured.limits().items()
            texts.append(
                "\n".join([f"{name}:\n", *(f"- {text}: {YES_NO[ok]}" for text, ok in limits)])
            )
        shown[name] = torch.cat([restore(crop) for crop in damaged[:ON_A_SHEET].split(1)])
    if options.output is not None:
        draw_sheet(options.output / "crops.png", shown)
    title = f"{len(crops)} aligned crops of {evaluation.SIZE_PX} pixels\n\n"
    head = ["network", *FIGURES, "PSNR of clean ones", "s a face"]
    return [title + markdown_table(head, rows), *texts]


def _measure_photos(
    files: Sequence[Path],
    networks: Mapping[str, gpen_core.GpenGenerator],
    detector: gpen_core.FaceDetector,
    options: argparse.Namespace,
) -> list[str]:
    """The table of whole photos; the sheet is written."""
    photos = [_shrink(photo, options.photo_size) for photo in _portraits(files)]
    rows: list[list[str | float]] = []
    for preset in options.presets:
        settings = DEGRADE_PRESETS[preset]
        for name, network in {DAMAGED: None, **networks}.items():
            given = (settings, network, detector)
            measured = measure_photos(photos, *given, seed=options.seed)
            change = measure_flicker(photos[: options.clips], *given, seed=options.seed)
            rows.append([preset, name, *_photo_cells(measured, change)])
    if options.output is not None:
        _draw_photos(photos[0], networks, detector, options)
    title = f"{len(photos)} photos with a short side of {options.photo_size} pixels\n\n"
    ends = ["seam", "seam before", "flicker, still", "flicker, pan", "found", "s a photo"]
    return [title + markdown_table(["preset", "network", *FIGURES, *ends], rows)]


def _draw_photos(
    photo: Tensor,
    networks: Mapping[str, gpen_core.GpenGenerator],
    detector: gpen_core.FaceDetector,
    options: argparse.Namespace,
) -> None:
    """A sheet of the face of one photo, damaged by each preset, and restored."""
    face = largest_face(photo, detector)
    versions: dict[str, list[Tensor]] = {name: [] for name in ("original", DAMAGED, *networks)}
    for preset in options.presets:
        damaged = degrade(photo, DEGRADE_PRESETS[preset], seed=options.seed)
        versions["original"].append(photo)
        versions[DAMAGED].append(damaged)
        faces = gpen_core.detect_faces(damaged, detector)
        for name, network in networks.items():
            versions[name].append(gpen_core.restore_faces(damaged, faces, network).images)
    cut = {
        name: torch.cat([gpen_core.crop_faces(image, face, evaluation.SIZE_PX) for image in images])
        for name, images in versions.items()
    }
    draw_sheet(options.output / "presets.png", cut, options.presets)


PROTOCOLS = {"crops": _measure_crops, "photos": _measure_photos}


def _figures(figures: evaluation.Figures) -> list[float]:
    return [getattr(figures, name) for name in FIGURES.values()]


def _photo_cells(measured: PhotoFigures, change: Flicker) -> list[float]:
    ends = [
        measured.seam,
        measured.seam_before,
        change.still,
        change.pan,
        measured.n_found,
        measured.seconds,
    ]
    return [*_figures(measured.figures), *ends]


def _portraits(files: Sequence[Path]) -> Iterator[Tensor]:
    """(1, 3, H, W) in [0, 1] each."""
    for file in files:
        yield read_photo(file)
    if not files:
        yield torch.tensor(skimage.data.astronaut()).permute(2, 0, 1)[None] / 255


def _shrink(photo: Tensor, short_side: int) -> Tensor:
    height, width = photo.shape[2:]
    ratio = min(1.0, short_side / min(height, width))
    return resize(photo, (round(height * ratio), round(width * ratio)))


if __name__ == "__main__":
    main()
