"""GPEN checkpoints: found in ComfyUI models folders, downloaded, or made for a stand-in."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from environment import BUNDLED_HOST, REPOSITORY, WORK_FOLDER, host_folder

# Appended, so that the pack's nodes/ shadows nothing. Tools take gpen_core from here only: sorted
# imports would put it above this line elsewhere.
sys.path.append(str(REPOSITORY))

from gpen_core.checkpoints.checkpoint import CHECKPOINT_SUFFIXES, NOTICE_KEY, save_checkpoint
from gpen_core.checkpoints.download import MIRROR_VARIABLE, download
from gpen_core.checkpoints.registry import GPEN_MODELS, KnownModel
from gpen_core.errors import DownloadError as DownloadError
from gpen_core.errors import UnreachableError as UnreachableError
from gpen_core.network.config import GpenConfig
from gpen_core.network.synthetic import IDENTITY_NOTICE, identity_state_dict

CHECKPOINT_FOLDERS = ("facerestore_models", "gpen")
IDENTITY_SIZE_PX = 512
DOWNLOADABLE = tuple(
    next(model for model in GPEN_MODELS if model.filename == name)
    for name in ("GPEN-BFR-2048.onnx", "GPEN-BFR-512.onnx")
)
"""Checkpoints worth a try, best first."""

DOWNLOAD_FOLDER = WORK_FOLDER / "models"
"""A models folder of our own, so that downloads change nobody else's."""

_NOT_FOR_RESTORATION = re.compile(r"identity|color|inpaint|seg|parsing", re.IGNORECASE)


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


def find_checkpoint(folders: Sequence[Path]) -> Path | None:
    """A GPEN restoration checkpoint, of the largest size that a name tells."""
    found = [
        file
        for folder in folders
        for subfolder in CHECKPOINT_FOLDERS
        for file in sorted((folder / subfolder).glob("*"))
        if file.name.lower().startswith("gpen")
        and file.name.lower().endswith(CHECKPOINT_SUFFIXES)
        and not _NOT_FOR_RESTORATION.search(file.name)
    ]
    return max(found, key=_named_size, default=None)


def fetch(model: KnownModel, subfolder: str) -> Path:
    """Download a published file into our own models folder.

    Raises:
        DownloadError: It could not be had.
        UnreachableError: Nobody answered.
    """
    return download(model, DOWNLOAD_FOLDER / subfolder, mirror=os.environ.get(MIRROR_VARIABLE))


def write_identity_checkpoint(folder: Path) -> Path:
    """Write a checkpoint that restores nothing into a models folder, small and quick to run."""
    path = folder / CHECKPOINT_FOLDERS[0] / f"GPEN-identity-{IDENTITY_SIZE_PX}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    # The narrowest network with three channels at full resolution.
    state_dict = identity_state_dict(GpenConfig(size=IDENTITY_SIZE_PX, narrow=1 / 16))
    save_checkpoint(state_dict, path, metadata={NOTICE_KEY: IDENTITY_NOTICE})
    return path


def _named_size(file: Path) -> int:
    sizes = re.findall(r"(?<!\d)(?:256|512|1024|2048)(?!\d)", file.name)
    return max(map(int, sizes), default=0)
