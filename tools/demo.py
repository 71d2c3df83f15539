"""Damage a photo, restore it with the bundled workflow in a real ComfyUI, and measure both.

Writes the original, the damaged and the restored photo, and all of them side by side, into
``demo/``. A photo of one's own is restored as it is. The network is what the workflow's ``auto``
takes: the largest GPEN checkpoint in the models folders, else the small one that comes with the
pack. Nothing is downloaded unless a published checkpoint is asked for.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from comfy_client import ComfyClient, ComfyServerError
from comfy_server import ComfyServer
from comfy_workflow import WorkflowError, nodes_of_type, ui_to_api
from contact_sheet import contact_sheet
from environment import REPOSITORY, SetupError
from model_files import ensure_checkpoint, models_folders
from sample import damage, sample_photo, to_images

sys.path.append(str(REPOSITORY))  # appended, so that the pack's nodes/ shadows nothing

from gpen_core import (
    Faces,
    GpenError,
    Similarity,
    box_masks,
    compare_images,
    detect_faces,
    load_detector,
)

WORKFLOW = REPOSITORY / "workflows" / "restore_faces.json"
OUTPUT_FOLDER = REPOSITORY / "demo"
RUN_TIMEOUT_S = 1800.0  # the 2048 network on an old CPU


class DemoError(Exception):
    """The demo cannot run; the message says what is missing and where it belongs."""


def main() -> int:
    """Run the demo; the exit status is 0, or 1 with the reason on stderr."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photo", nargs="?", type=Path, help="default: an astronaut (NASA)")
    parser.add_argument(
        "--damage",
        action=argparse.BooleanOptionalAction,
        help="whether the photo is damaged first (default: only the astronaut)",
    )
    parser.add_argument(
        "--model", help="name of a checkpoint; a published one is downloaded (default: auto)"
    )
    options = parser.parse_args()
    is_damaged = options.photo is None if options.damage is None else options.damage
    try:
        run_demo(options.photo, options.model, is_damaged=is_damaged)
    except (
        DemoError,
        ComfyServerError,
        GpenError,
        SetupError,
        WorkflowError,
        TimeoutError,
    ) as error:
        print(f"Demo failed. {error}", file=sys.stderr)
        return 1
    return 0


def run_demo(
    photo: Path | None = None,
    model: str | None = None,
    *,
    is_damaged: bool = True,
) -> dict[str, Similarity]:
    """Restore one photo and write the pictures into ``OUTPUT_FOLDER``.

    Args:
        photo: None for the sample.
        model: Name of a checkpoint. None: what the workflow takes, which is ``auto``.
        is_damaged: Damage the photo first, and measure how near the restoration comes to it.

    Returns:
        How like the original the other pictures are, in the face; nothing if none was damaged.

    Raises:
        DemoError: The photo cannot be read.
        GpenError: The model is not available.
    """
    original = _read_photo(photo)
    if model is not None:
        ensure_checkpoint(model)
    given = damage(original) if is_damaged else original
    print("Starting ComfyUI ...", flush=True)
    with ThreadPoolExecutor(1) as pool:  # the start is mostly waiting
        finding = pool.submit(find_faces, original)
        restored = _restore(given, model)
    faces = finding.result()

    pictures = {"original": original, "damaged": given, "restored": restored}
    if not is_damaged:
        del pictures["damaged"]
    figures = measure(pictures, faces) if is_damaged else {}
    for name, found in figures.items():
        print(f"{name}: {_describe(found)}")
    _write(OUTPUT_FOLDER, {**pictures, "side_by_side": side_by_side(pictures, faces, figures)})
    return figures


def find_faces(pixels: np.ndarray) -> Faces:
    """The faces in (H, W, 3) uint8 pixels, found by the bundled detector."""
    return detect_faces(to_images(pixels), load_detector())


def restore(server: ComfyClient, pixels: np.ndarray, model: str | None = None) -> np.ndarray:
    """What the bundled workflow makes of a photo; prints what the node says of it.

    Args:
        server: With the pack in it.
        pixels: (H, W, 3) uint8.
        model: Name of a checkpoint. None: what the workflow takes.

    Returns:
        (H, W, 3) uint8.
    """
    prompt = ui_to_api(json.loads(WORKFLOW.read_text("utf-8")), server.object_info())
    (load_image,) = nodes_of_type(prompt, "LoadImage")
    (load_model,) = nodes_of_type(prompt, "GPEN_LoadModel")
    (restore_faces,) = nodes_of_type(prompt, "GPEN_RestoreFaces")
    (save_image,) = nodes_of_type(prompt, "SaveImage")
    prompt[load_image]["inputs"]["image"] = server.upload_image(pixels)
    if model is not None:
        prompt[load_model]["inputs"]["model_name"] = model
    result = server.run(prompt, RUN_TIMEOUT_S)
    print(*result.texts(restore_faces))
    return server.read_image(result.images(save_image)[0])


def measure(pictures: Mapping[str, np.ndarray], faces: Faces) -> dict[str, Similarity]:
    """How like the first picture the others are, inside the faces if there are any.

    Args:
        pictures: (H, W, 3) uint8, all of one size.
        faces: Those of the first.
    """
    (_, original), *others = pictures.items()
    masks = box_masks(faces, 1, original.shape[:2])
    figures = {}
    for name, pixels in others:
        found = compare_images(to_images(original), to_images(pixels), masks)
        figures[name] = found.region or found.whole
    return figures


def side_by_side(
    pictures: Mapping[str, np.ndarray], faces: Faces, figures: Mapping[str, Similarity]
) -> np.ndarray:
    """A contact sheet of the pictures under their names and figures, (H', W', 3) uint8."""
    where = " in the face" if len(faces.boxes) else ""
    labels = [
        f"{name}: {_describe(figures[name])}{where}" if name in figures else name
        for name in pictures
    ]
    return contact_sheet(list(pictures.values()), labels, faces.boxes.tolist())


def _read_photo(photo: Path | None) -> np.ndarray:
    if photo is None:
        return sample_photo()
    try:
        with Image.open(photo) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except OSError as error:
        raise DemoError(f"{photo}: expected an image, got {error}.") from error


def _restore(pixels: np.ndarray, model: str | None) -> np.ndarray:
    """Restore a photo in a ComfyUI that ends with it."""
    arguments = () if torch.cuda.is_available() else ("--cpu",)
    variables = {"GPEN_DOWNLOAD": "0"}  # what is wanted is on disk by now
    with ComfyServer(models=models_folders(), arguments=arguments, variables=variables) as server:
        return restore(server, pixels, model)


def _describe(figures: Similarity) -> str:
    return f"{figures.psnr:.1f} dB, SSIM {figures.ssim:.3f}"


def _write(folder: Path, pictures: Mapping[str, np.ndarray]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "damaged.png").unlink(missing_ok=True)  # of an earlier run
    for name, pixels in pictures.items():
        file = folder / f"{name}.png"
        Image.fromarray(pixels).save(file)
        print(f"{file} ({pixels.shape[1]} x {pixels.shape[0]})")


if __name__ == "__main__":
    sys.exit(main())
