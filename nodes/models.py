"""Model files: which can be chosen, fetching those that are not there, loading them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import comfy.model_management as mm
import torch
from comfy.model_patcher import ModelPatcher
from torch import nn

from ..gpen_core import (
    BEST_DETECTOR,
    BUNDLED_DETECTOR,
    BUNDLED_NAME,
    BUNDLED_RESTORER,
    CHECKPOINT_FOLDERS,
    DETECTOR_MODELS,
    GPEN_MODELS,
    MIRROR_VARIABLE,
    PARSER_MODELS,
    CheckpointError,
    CheckpointNotFoundError,
    FaceDetector,
    FaceParser,
    KnownModel,
    LoadedRestorer,
    Monitor,
    SearchSettings,
    download,
    find_known,
    load_detector,
    load_largest,
    load_model,
    load_parser,
    rank_restorers,
    search_bytes,
)
from .host import (
    AUTO,
    choose_dtype,
    send_event,
    show_text_in_running_node,
)
from .model_folders import (
    DETECTION_FOLDERS,
    checkpoints_on_disk,
    find_model,
    searched_folders,
)
from .progress import check_interrupt, progress_bar
from .types import Hosted, HostedModel

DOWNLOAD_VARIABLE = "GPEN_DOWNLOAD"
"""Environment variable that forbids downloads when it is 0."""
DOWNLOADED_EVENT = "gpen.downloaded"
"""Tells the web page that a file has come."""

_PROGRESS_INTERVAL_S = 0.25
_BEYOND_BUNDLED = "Load GPEN Model downloads the one you choose when you press Run."


def downloads_are_allowed() -> bool:
    """Unless GPEN_DOWNLOAD says otherwise."""
    value = os.environ.get(DOWNLOAD_VARIABLE, "").strip().lower()
    return value not in ("0", "false", "no", "off")


def list_checkpoints() -> list[str]:
    """Names to choose from: auto, the bundled one, files on disk, known models not on disk."""
    found = checkpoints_on_disk()
    known = [model.filename for model in GPEN_MODELS]

    def rank(name: str) -> tuple[bool, str]:
        return ("gpen" not in name.lower() and name not in known, name.lower())

    absent = (name for name in known if name not in found)
    return [AUTO, BUNDLED_NAME, *sorted(found, key=rank), *absent]


def absent_checkpoints() -> dict[str, str]:
    """Of the names in ``list_checkpoints``, those that are not on disk, each with a note on it."""
    found = checkpoints_on_disk()
    return {model.filename: _note(model) for model in GPEN_MODELS if model.filename not in found}


def _note(model: KnownModel) -> str:
    if not downloads_are_allowed():
        return "not on disk"
    return f"download, {model.n_bytes / 1e6:.0f} MB" if model.n_bytes else "download"


def files_behind(name: str) -> list[Path]:
    """The files on disk that a choice of ``list_checkpoints`` may lead to, the likeliest first."""
    if name == BUNDLED_NAME:
        return [BUNDLED_RESTORER]
    if name == AUTO:
        found = (find_model(name, CHECKPOINT_FOLDERS) for name in sorted(checkpoints_on_disk()))
        return [*rank_restorers(path for path in found if path is not None), BUNDLED_RESTORER]
    path = find_model(name, CHECKPOINT_FOLDERS)
    return [path] if path is not None else []


def checkpoint_path(name: str, may_download: bool) -> Path:
    """Where a checkpoint of ``list_checkpoints``, other than auto, lies, once it is there.

    Raises:
        CheckpointNotFoundError: It is not there and cannot or may not be downloaded.
        DownloadError: It could not be downloaded.
    """
    if name == BUNDLED_NAME:
        return BUNDLED_RESTORER
    return _obtain(name, find_known(name), CHECKPOINT_FOLDERS, may_download)


def detector_path(choice: str) -> Path:
    """Where the detector of a widget's value lies; the best one is downloaded if it was chosen.

    Raises:
        CheckpointNotFoundError: It is not there and cannot or may not be downloaded.
        DownloadError: It could not be downloaded.
    """
    known = DETECTOR_MODELS[BEST_DETECTOR if choice == AUTO else choice]
    if choice == BEST_DETECTOR:
        return _obtain(known.filename, known, DETECTION_FOLDERS)
    return find_model(known.filename, DETECTION_FOLDERS) or BUNDLED_DETECTOR


def _obtain(
    name: str, known: KnownModel | None, folders: Sequence[str], may_download: bool = True
) -> Path:
    path = find_model(name, folders)
    if path is not None:
        return path
    searched = searched_folders(folders)
    is_allowed = downloads_are_allowed()
    if known is not None and is_allowed and may_download:
        return _fetch(known, Path(searched[0]))
    remedy = "Put the file back, or choose another"
    if known is not None:
        remedy = f"Get it from {known.url} and put it into {searched[0]}"
        if is_allowed:
            remedy = f"Turn on download in Load GPEN Model. Or: {remedy}"
        else:
            remedy = f"Downloads are off ({DOWNLOAD_VARIABLE}=0). {remedy}"
    raise CheckpointNotFoundError(
        f"{name}: expected in {' or '.join(searched)}, found in none. {remedy}; "
        "then press R in ComfyUI to refresh the list."
    )


def _fetch(known: KnownModel, folder: Path) -> Path:
    """Download a file with the node's progress bar, text and cancel."""
    name = known.filename
    show_text_in_running_node(f"Downloading {name} ...")
    update_bar = progress_bar(known.n_bytes or 1)
    next_update = time.monotonic()

    def on_progress(done: int, total: int) -> None:
        nonlocal next_update
        if time.monotonic() < next_update and done != total:
            return
        next_update = time.monotonic() + _PROGRESS_INTERVAL_S
        of_total = f" of {total / 1e6:.0f}" if total else ""
        show_text_in_running_node(f"Downloading {name}: {done / 1e6:.0f}{of_total} MB")
        if total:
            update_bar(done, total)

    path = download(
        known,
        folder,
        mirror=os.environ.get(MIRROR_VARIABLE),
        monitor=Monitor(on_progress, check_interrupt=check_interrupt),
    )
    show_text_in_running_node(f"Downloaded {name}.")
    send_event(DOWNLOADED_EVENT, {"filename": name})
    return path


@contextmanager
def _locating(path: Path) -> Iterator[None]:
    """Add to errors of reading a file where it lies, and where to get it if that is known."""
    try:
        yield
    except CheckpointError as error:
        known = find_known(path.name)
        source = f" It is available at {known.url}." if known is not None else ""
        raise type(error)(f"{error} The file is {path}.{source}") from error


def host_model(name: str, dtype_choice: str, may_download: bool) -> HostedModel:
    """Load a checkpoint and hand it to ComfyUI's memory management."""
    device = mm.get_torch_device()
    dtype = choose_dtype(dtype_choice, device)
    if name == AUTO:
        loaded = load_largest(files_behind(AUTO), dtype=dtype)
    else:
        path = checkpoint_path(name, may_download)
        with _locating(path):
            loaded = LoadedRestorer(load_model(path, dtype=dtype), path)
    notice = loaded.notice
    if loaded.path == BUNDLED_RESTORER:
        notice = f"{notice} {_BEYOND_BUNDLED}".strip()
    taken = f"auto took {loaded.name}. " if name == AUTO else ""
    if taken or notice:
        show_text_in_running_node(f"{taken}{notice}".strip())
    patcher = ModelPatcher(loaded.network, device, mm.unet_offload_device())
    return HostedModel(patcher, loaded.network.activation_bytes(), loaded.name, notice)


@lru_cache(maxsize=4)
def _host_file(
    load: Callable[[Path], nn.Module],
    path: Path,
    _modified_ns: int,
    device: torch.device,
) -> ModelPatcher:
    """A small network in ComfyUI's memory management; read from disk once."""
    return ModelPatcher(load(path), device, mm.unet_offload_device())


def _auxiliary(load: Callable[[Path], nn.Module], path: Path) -> ModelPatcher:
    with _locating(path):
        return _host_file(load, path, path.stat().st_mtime_ns, mm.get_torch_device())


def host_detector(
    choice: str, image_shape: Sequence[int], settings: SearchSettings
) -> Hosted[FaceDetector]:
    """The detector of a widget's value, to search (B, C, H, W) images with; fetched if need be."""
    patcher = _auxiliary(load_detector, detector_path(choice))
    return Hosted(patcher, search_bytes(patcher.model, image_shape, settings))


def host_parser(name: str) -> Hosted[FaceParser]:
    """A face parser; fetched if need be."""
    known = PARSER_MODELS[name]
    path = _obtain(known.filename, known, DETECTION_FOLDERS)
    patcher = _auxiliary(load_parser, path)
    return Hosted(patcher, patcher.model.activation_bytes())
