"""GPEN checkpoints for the demo: those of the user, and published ones that are asked for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from environment import BUNDLED_HOST, REPOSITORY, WORK_FOLDER, host_folder

sys.path.append(str(REPOSITORY))  # appended, so that the pack's nodes/ shadows nothing

from gpen_core import (
    BUNDLED_NAME,
    CHECKPOINT_FOLDERS,
    GPEN_MODELS,
    MIRROR_VARIABLE,
    CheckpointNotFoundError,
    download,
)

DOWNLOAD_FOLDER = WORK_FOLDER / "models"
"""A models folder of our own, so that downloads change nobody else's."""


def models_folders() -> list[Path]:
    """Models folders to search: GPEN_MODELS_DIR, that of COMFYUI_DIR, and our downloads."""
    folders = []
    named = os.environ.get("GPEN_MODELS_DIR")
    if named:
        folders.append(Path(named).expanduser().resolve())
    host = host_folder()
    if host != BUNDLED_HOST:
        folders.append(host / "models")
    folders.append(DOWNLOAD_FOLDER)
    return [folder for folder in folders if folder.is_dir()]


def ensure_checkpoint(name: str) -> None:
    """Have a checkpoint of this name in one of the folders; download it if it is a published one.

    Raises:
        CheckpointNotFoundError: It is in none, and there is no address to get it from.
        DownloadError: It could not be downloaded.
    """
    places = [folder / subfolder for folder in models_folders() for subfolder in CHECKPOINT_FOLDERS]
    if name == BUNDLED_NAME or any((place / name).is_file() for place in places):
        return
    downloadable = {model.filename: model for model in GPEN_MODELS}
    if name not in downloadable:
        raise CheckpointNotFoundError(
            f"model: expected a file in {' or '.join(map(str, places)) or DOWNLOAD_FOLDER}, or one "
            f"of {', '.join(downloadable)}, got {name!r}. Correct the name, or name a ComfyUI "
            "models folder in GPEN_MODELS_DIR."
        )
    print(f"Downloading {name} ...", flush=True)
    folder = DOWNLOAD_FOLDER / CHECKPOINT_FOLDERS[0]
    download(downloadable[name], folder, mirror=os.environ.get(MIRROR_VARIABLE))
