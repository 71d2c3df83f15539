"""The arguments of ``restore``, and the settings that they stand for."""

from __future__ import annotations

import argparse
import os
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any

from .. import (
    BEST_DETECTOR,
    BUNDLED_RESTORER,
    CHECKPOINT_FOLDERS,
    DEFAULT_SMOOTHING,
    DETECTOR_MODELS,
    DTYPES,
    BlendSettings,
    CanvasSettings,
    CheckpointNotFoundError,
    FaceOrder,
    SearchSettings,
    VideoCodec,
    VideoEncoding,
    pick_settings,
)
from .argument_types import share, whole
from .batch import add_batch_arguments
from .devices import AUTO, DEVICES

MODELS_VARIABLE = "GPEN_MODELS_DIR"
BUNDLED = "bundled"
"""What the network that comes with the package is called on the command line."""

_MODEL_FOLDERS = ("", *CHECKPOINT_FOLDERS)
_DETECTOR_FOLDERS = ("", "facedetection")

BLEND_HELP = {
    "template": "how tightly faces are cropped",
    "blend": "share of the restored face; 0: the original picture",
    "shape": "outline of the pasted area",
    "padding": "strip along the edge of the crop that is not pasted, as a fraction of the crop",
    "feather": "width of the soft edge inside that, as a fraction of the crop",
    "fine_grain": "how detail too fine for the crop is handled, on faces larger than it",
    "color": "how far colours and light are matched to the input face, 0 to 1",
    "detail": "how far shapes come from the input and only fine detail from the restoration",
    "detail_size": "structures up to this width, as a fraction of the crop, are fine detail",
    "grain": "how much of the noise around the face is added back to it, 0 to 1",
}
"""A line for each field of ``BlendSettings``."""

EPILOG = f"""\
Pictures (PNG, JPEG, WebP, TIFF, BMP) are written in their own format with 8 or 16 bits, alpha and
metadata; videos with their frames, times, sound and subtitles. A folder is mirrored in the output.
A file appears under its name once it is complete: an interrupted one leaves nothing behind, and
--resume continues with the files that are missing. A video is restored as a whole or not at all.

exit status:
  0    everything was restored, or existed already with --resume
  1    some inputs failed, each with a line on stderr; all others were restored
  2    nothing was started: wrong arguments, or the model or detector cannot be loaded
  130  interrupted with Ctrl-C

environment:
  {MODELS_VARIABLE}  the default of --models
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add every argument of the command."""
    add_batch_arguments(parser)
    _add_models(parser.add_argument_group("models"))
    _add_search(parser.add_argument_group("which faces"))
    _add_blending(parser.add_argument_group("how they are blended in"))
    _add_canvas(parser.add_argument_group("size of the output"))
    _add_video(parser.add_argument_group("videos"))


def _add_models(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--model",
        default=AUTO,
        metavar="FILE",
        help="GPEN checkpoint, or its name in --models; auto: the largest in --models, else the "
        f"bundled one; {BUNDLED}: that one, which is small (default: %(default)s)",
    )
    group.add_argument(
        "--models",
        type=Path,
        metavar="DIR",
        default=os.environ.get(MODELS_VARIABLE),
        help=f"models folder, laid out like ComfyUI's (default: ${MODELS_VARIABLE})",
    )
    group.add_argument(
        "--detector",
        choices=(AUTO, *DETECTOR_MODELS),
        default=AUTO,
        help="auto: resnet50 if its file is there, else the bundled mobile0.25",
    )
    group.add_argument(
        "--detector-file",
        type=Path,
        metavar="FILE",
        help="its checkpoint (default: the published name in --models or beside the model, or the "
        "bundled one)",
    )
    group.add_argument("--device", choices=(AUTO, *DEVICES), default=AUTO)
    group.add_argument(
        "--dtype", choices=(AUTO, *DTYPES), default=AUTO, help="auto: fp16 on cuda, else fp32"
    )
    group.add_argument(
        "--batch",
        type=whole(1),
        metavar="N",
        help="faces that go through the network together (default: what fits)",
    )


def _add_search(group: argparse._ArgumentGroup) -> None:
    defaults = SearchSettings()
    group.add_argument(
        "--faces",
        default="",
        metavar="LIST",
        help="numbers of the faces to restore in each picture, such as 0,2-3 (default: all)",
    )
    _add_choice(group, "--order", FaceOrder.LARGE_SMALL, "how --faces counts")
    group.add_argument(
        "--detection-size",
        type=whole(0),
        default=defaults.detection_size,
        metavar="PX",
        help="short side of the copy that is searched; 0: full resolution (default: %(default)s)",
    )
    group.add_argument(
        "--threshold",
        type=share,
        default=defaults.threshold,
        metavar="X",
        help="minimum score of a face, 0 to 1 (default: %(default)s)",
    )
    _add_choice(group, "--scales", defaults.scales, "further copies to search")
    _add_choice(group, "--rotations", defaults.rotations, "how tilted faces are found")
    group.add_argument(
        "--min-face-size",
        type=whole(0),
        default=defaults.min_face_size,
        metavar="PX",
        help="minimum long side of a face; smaller ones are left out",
    )


def _add_blending(group: argparse._ArgumentGroup) -> None:
    for setting in fields(BlendSettings):
        option = "--" + setting.name.replace("_", "-")
        if isinstance(setting.default, Enum):
            _add_choice(group, option, setting.default, BLEND_HELP[setting.name])
        else:
            group.add_argument(
                option,
                type=float,
                default=setting.default,
                metavar="X",
                help=f"{BLEND_HELP[setting.name]} (default: %(default)s)",
            )


def _add_canvas(group: argparse._ArgumentGroup) -> None:
    defaults = CanvasSettings()
    _add_choice(
        group,
        "--output-size",
        defaults.output_size,
        "fit-faces: as large as the largest face needs to keep the network's resolution",
    )
    group.add_argument(
        "--scale",
        type=float,
        default=defaults.scale,
        metavar="X",
        help="for --output-size scale, 1 to 8 (default: %(default)s)",
    )
    group.add_argument(
        "--max-megapixels",
        type=float,
        default=defaults.max_megapixels,
        metavar="X",
        help="nothing is enlarged beyond this (default: %(default)s)",
    )


def _add_video(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--smoothing",
        type=share,
        default=DEFAULT_SMOOTHING,
        metavar="X",
        help="how steadily faces are held from frame to frame, 0 to 1 (default: %(default)s)",
    )
    _add_choice(group, "--codec", VideoCodec.AUTO, "encoder")
    group.add_argument(
        "--crf",
        type=float,
        metavar="X",
        help="quality, lower is better (default: visually lossless)",
    )


def _add_choice(group: argparse._ArgumentGroup, option: str, default: Enum, help_text: str) -> None:
    names = {str(member.value).replace(" ", "-"): member for member in type(default)}

    def member(text: str) -> Enum:
        if text not in names:
            raise argparse.ArgumentTypeError(
                f"expected one of {', '.join(names)}, got {text!r}. Choose one."
            )
        return names[text]

    shown = next(name for name, value in names.items() if value is default)
    group.add_argument(
        option,
        type=member,
        default=shown,
        metavar="NAME",
        help=f"{help_text}: {', '.join(names)} (default: {shown})".replace("%", "%%"),
    )


def settings_from(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of ``Restorer`` that the options stand for, without networks and device.

    Raises:
        SettingError: One is out of range.
    """
    return {
        "search": pick_settings(SearchSettings, vars(options)),
        "order": options.order,
        "indices": options.faces,
        "blending": pick_settings(BlendSettings, vars(options)),
        "canvas": pick_settings(CanvasSettings, vars(options)),
    }


def encoding_from(options: argparse.Namespace) -> VideoEncoding:
    """The encoding that the options stand for.

    Raises:
        SettingError: The quality is out of range.
    """
    return VideoEncoding(options.codec, options.crf)


def find_models(options: argparse.Namespace) -> list[Path]:
    """The checkpoint, or with ``auto`` all files among which there may be one.

    Raises:
        CheckpointNotFoundError: There is no such file, or no such folder.
    """
    if options.model == BUNDLED:
        return [BUNDLED_RESTORER]
    folder = options.models
    if options.model == AUTO:
        if folder is None:
            return []
        if not Path(folder).is_dir():
            raise CheckpointNotFoundError(
                f"models: expected a folder, got {folder}, which is not one. Correct --models or "
                f"{MODELS_VARIABLE}."
            )
        folders = [Path(folder) / subfolder for subfolder in _MODEL_FOLDERS]
        return [path for place in folders if place.is_dir() for path in sorted(place.iterdir())]
    found = _first_file(options.model, folder, _MODEL_FOLDERS)
    if found is None:
        raise CheckpointNotFoundError(
            f"model: expected a checkpoint file, got {options.model}, which does not exist. Give "
            "its path, or its name in the folder that --models names."
        )
    return [found]


def find_detector(options: argparse.Namespace, model: Path) -> tuple[str | None, Path | None]:
    """The face detector that was asked for, or None, and its file, or None for the bundled one.

    Raises:
        CheckpointNotFoundError: There is no file of the one that was chosen.
    """
    name = None if options.detector == AUTO else options.detector
    if options.detector_file is not None:
        return name, options.detector_file
    published = DETECTOR_MODELS[name or BEST_DETECTOR]
    found = _first_file(published.filename, options.models, _DETECTOR_FOLDERS)
    found = found or _first_file(published.filename, model.parent, ("", "../facedetection"))
    if found is None and name == BEST_DETECTOR:
        raise CheckpointNotFoundError(
            f"detector: expected {published.filename} in --models or beside the model, got none. "
            f"Get it from {published.url}, name a file with --detector-file, or leave "
            "--detector out."
        )
    return name, found


def _first_file(name: str, folder: Path | None, subfolders: tuple[str, ...]) -> Path | None:
    candidates = [Path(name)]
    if folder is not None:
        candidates += [Path(folder) / subfolder / name for subfolder in subfolders]
    return next((path for path in candidates if path.is_file()), None)
