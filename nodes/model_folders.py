"""The folders that models lie in, and the files there, whatever other packs do to the categories.

Beside each of ComfyUI's folder categories stands one of the pack's own, which takes over all
folders that were ever in the other: by ``prestartup_script.py`` before any pack is imported, and
here from then on. It lists files of every kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import folder_paths

from ..gpen_core import CHECKPOINT_FOLDERS, CHECKPOINT_SUFFIXES

DETECTION_FOLDERS = ("facedetection",)
MODEL_FOLDERS = (*CHECKPOINT_FOLDERS, *DETECTION_FOLDERS)
"""ComfyUI's categories; ``prestartup_script.py`` lists them too."""


def register_model_folders() -> None:
    """Add the folders to ComfyUI's, beside what users and other packs have added."""
    for name in MODEL_FOLDERS:
        folder_paths.add_model_folder_path(name, str(Path(folder_paths.models_dir) / name))
        _own_category(name)


def checkpoints_on_disk() -> set[str]:
    """Names of checkpoints, relative to their folders."""
    return {
        name
        for folder in CHECKPOINT_FOLDERS
        for name in folder_paths.get_filename_list(_own_category(folder))
        if name.lower().endswith(CHECKPOINT_SUFFIXES)
    }


def find_model(name: str, folders: Sequence[str]) -> Path | None:
    """The first file of that name in some categories, such as ``CHECKPOINT_FOLDERS``."""
    paths = (folder_paths.get_full_path(_own_category(folder), name) for folder in folders)
    return next((Path(path) for path in paths if path is not None), None)


def searched_folders(folders: Sequence[str]) -> list[str]:
    """Where ``find_model`` looks, in order."""
    return [p for folder in folders for p in folder_paths.get_folder_paths(_own_category(folder))]


def _own_category(name: str) -> str:
    """The pack's own category beside ComfyUI's, with all folders that the other has by now."""
    own = f"gpen_{name}"
    for path in folder_paths.get_folder_paths(name):
        folder_paths.add_model_folder_path(own, path)
    return own
