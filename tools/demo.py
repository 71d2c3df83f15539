"""Run the bundled workflow on a photo in a real ComfyUI, without a browser.

Writes the photo, the result and both side by side into ``demo/``. Without a GPEN checkpoint in the
models folders, and without a network to download one, an identity checkpoint stands in: everything
runs, but nothing is restored, and the demo says so.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps

from comfy_client import ComfyServerError
from comfy_server import ComfyServer
from comfy_workflow import WorkflowError, nodes_of_type, ui_to_api
from environment import REPOSITORY, SetupError
from model_files import (
    CHECKPOINT_FOLDERS,
    DOWNLOAD_FOLDER,
    DOWNLOADABLE,
    DownloadError,
    UnreachableError,
    fetch,
    find_checkpoint,
    models_folders,
    write_identity_checkpoint,
)

WORKFLOW = REPOSITORY / "workflows" / "restore_faces.json"
OUTPUT_FOLDER = REPOSITORY / "demo"
RUN_TIMEOUT_S = 1800.0  # the 2048 network on an old CPU
IDENTITY_CAPTION = "identity checkpoint: nothing was restored"


class DemoError(Exception):
    """The demo cannot run; the message says what is missing and where it belongs."""


def main() -> int:
    """Run the demo; the exit status is 0, or 1 with the reason on stderr."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photo", nargs="?", type=Path, help="default: an astronaut (NASA)")
    arguments = parser.parse_args()
    try:
        run_demo(arguments.photo)
    except (DemoError, ComfyServerError, SetupError, WorkflowError, TimeoutError) as error:
        print(f"Demo failed. {error}", file=sys.stderr)
        return 1
    return 0


def run_demo(photo: Path | None) -> None:
    """Restore one photo and write the pictures.

    Raises:
        DemoError: The photo or the workflow is missing.
    """
    pixels = _read_photo(photo)
    if not WORKFLOW.is_file():
        raise DemoError(f"workflow: expected {WORKFLOW}, got none.")
    workflow = json.loads(WORKFLOW.read_text("utf-8"))

    with tempfile.TemporaryDirectory(prefix="gpen-demo-") as temporary:
        checkpoint = ensure_checkpoint()
        is_identity = checkpoint is None
        if checkpoint is None:
            checkpoint = write_identity_checkpoint(Path(temporary))
        print(f"Checkpoint: {checkpoint.name}. Starting ComfyUI ...", flush=True)
        folders = [*([Path(temporary)] if is_identity else []), *models_folders()]
        output = _run_workflow(workflow, pixels, checkpoint.name, folders)

    OUTPUT_FOLDER.mkdir(exist_ok=True)
    caption = IDENTITY_CAPTION if is_identity else f"restored with {checkpoint.stem}"
    pictures = {
        "input": Image.fromarray(pixels),
        "output": Image.fromarray(output),
        "side_by_side": _side_by_side(pixels, output, caption),
    }
    for name, picture in pictures.items():
        file = OUTPUT_FOLDER / f"{name}.png"
        picture.save(file)
        print(f"{file} ({picture.width} x {picture.height})")
    if is_identity:
        print(
            "NOTHING WAS RESTORED: no GPEN checkpoint was there, so an identity checkpoint, which "
            f"returns its input, stood in. Put {DOWNLOADABLE[0].filename} into a folder "
            f"facerestore_models and set GPEN_MODELS_DIR to the folder above it ({DOWNLOAD_FOLDER} "
            "is searched too)."
        )


def _read_photo(photo: Path | None) -> np.ndarray:
    if photo is None:
        from skimage.data import astronaut

        return np.asarray(astronaut())  # type: ignore[no-untyped-call]
    try:
        with Image.open(photo) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except OSError as error:
        raise DemoError(f"{photo}: expected an image, got {error}.") from error


def ensure_checkpoint() -> Path | None:
    """A GPEN checkpoint on disk, downloaded if there is none; None without a network too."""
    checkpoint = find_checkpoint(models_folders())
    for model in DOWNLOADABLE:
        if checkpoint is not None:
            break
        print(f"Downloading {model.filename} (285 MB) ...", flush=True)
        try:
            checkpoint = fetch(model, CHECKPOINT_FOLDERS[0])
        except UnreachableError:
            print("No connection; going on without.")
            break
        except DownloadError as error:
            print(error)
    return checkpoint


def _run_workflow(
    workflow: Mapping[str, Any], pixels: np.ndarray, checkpoint: str, folders: Sequence[Path]
) -> np.ndarray:
    arguments = () if torch.cuda.is_available() else ("--cpu",)
    with ComfyServer(models=folders, arguments=arguments) as server:
        schemas = server.object_info()
        prompt = ui_to_api(workflow, schemas)
        (load_image,) = nodes_of_type(prompt, "LoadImage")
        (save_image,) = nodes_of_type(prompt, "SaveImage")
        (load_model,) = nodes_of_type(prompt, "GPEN_LoadModel")
        prompt[load_image]["inputs"]["image"] = server.upload_image(pixels)
        widget = _widget_offering(schemas["GPEN_LoadModel"], checkpoint)
        prompt[load_model]["inputs"][widget] = checkpoint
        result = server.run(prompt, RUN_TIMEOUT_S)
        print(f"Workflow done in {result.seconds:.1f} s.")
        return server.read_image(result.images(save_image)[0])


def _widget_offering(schema: Mapping[str, Any], option: str) -> str:
    """Name of the input whose menu has this entry."""
    for specs in schema["input"].values():
        for name, spec in specs.items():
            menu = spec[0] if isinstance(spec[0], list) else spec[1].get("options", [])
            if option in menu:
                return str(name)
    raise DemoError(f"Load GPEN Model: expected {option} in its menu, got no such entry.")


def _side_by_side(left: np.ndarray, right: np.ndarray, caption: str) -> Image.Image:
    pictures = [Image.fromarray(pixels).convert("RGB") for pixels in (left, right)]
    height = max(picture.height for picture in pictures)
    scaled = [
        picture.resize((round(picture.width * height / picture.height), height))
        for picture in pictures
    ]
    text_height = max(20, height // 25)
    bar_height = 2 * text_height
    canvas = Image.new("RGB", (sum(p.width for p in scaled), height + bar_height), "white")
    draw = ImageDraw.Draw(canvas)
    x = 0
    for picture, text in zip(scaled, ("input", caption), strict=True):
        canvas.paste(picture, (x, bar_height))
        wanted = draw.textlength(text, ImageFont.load_default(text_height))
        shrink = min(1.0, (picture.width - text_height) / wanted)
        font = ImageFont.load_default(text_height * shrink)
        draw.text((x + text_height // 2, bar_height // 2), text, "black", font, anchor="lm")
        x += picture.width
    return canvas


if __name__ == "__main__":
    sys.exit(main())
