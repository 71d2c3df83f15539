"""GPEN and detector files: found in ComfyUI models folders, downloaded, or made for a stand-in."""

from __future__ import annotations

import hashlib
import os
import queue
import re
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from environment import BUNDLED_HOST, REPOSITORY, WORK_FOLDER, host_folder

# Appended, so that the pack's nodes/ shadows nothing. Tools take gpen_core from here only: sorted
# imports would put it above this line elsewhere.
sys.path.append(str(REPOSITORY))

from gpen_core.checkpoints.checkpoint import CHECKPOINT_SUFFIXES, NOTICE_KEY, save_checkpoint
from gpen_core.checkpoints.registry import DETECTOR_MODELS, GPEN_MODELS, KnownModel
from gpen_core.network.config import GpenConfig
from gpen_core.network.synthetic import IDENTITY_NOTICE, identity_state_dict

CHECKPOINT_FOLDERS = ("facerestore_models", "gpen")
DETECTION_FOLDER = "facedetection"
IDENTITY_SIZE_PX = 512
DETECTOR = DETECTOR_MODELS["retinaface_mobile0.25"]
DOWNLOADABLE = tuple(
    next(model for model in GPEN_MODELS if model.filename == name)
    for name in ("GPEN-BFR-2048.onnx", "GPEN-BFR-512.onnx")
)
"""Checkpoints worth a try, best first."""

DOWNLOAD_FOLDER = WORK_FOLDER / "models"
"""A models folder of our own, so that downloads change nobody else's."""

# Bounds name resolution, connection and redirects together; the time lost without a network.
CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
CHUNK_BYTES = 1 << 20

_NOT_FOR_RESTORATION = re.compile(r"identity|color|inpaint|seg|parsing", re.IGNORECASE)


class DownloadError(Exception):
    """A file could not be had; nothing of it is left behind."""


class UnreachableError(DownloadError):
    """There is no network, or the other side does not answer."""


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


def find_detector(folders: Sequence[Path]) -> Path | None:
    """The file of the small face detector."""
    candidates = (folder / DETECTION_FOLDER / DETECTOR.filename for folder in folders)
    return next((file for file in candidates if file.is_file()), None)


def download(model: KnownModel, subfolder: str) -> Path:
    """Download a published file into our own models folder and check its hash.

    Raises:
        UnreachableError: Nobody answered within ``CONNECT_TIMEOUT_S``.
        DownloadError: The answer was an error, broke off, or has another hash.
    """
    response = _open(model.url)
    folder = DOWNLOAD_FOLDER / subfolder
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    handle, name = tempfile.mkstemp(dir=folder, prefix=".download-")
    partial = Path(name)
    try:
        with response, os.fdopen(handle, "wb") as out:
            while chunk := response.read(CHUNK_BYTES):
                digest.update(chunk)
                out.write(chunk)
        if digest.hexdigest() != model.sha256:
            raise DownloadError(
                f"{model.url}: expected SHA-256 {model.sha256}, got {digest.hexdigest()}. "
                "This is not the published file; it was removed."
            )
        return partial.replace(folder / model.filename)
    except (OSError, HTTPException) as error:
        raise DownloadError(f"{model.url}: the download broke off ({error}).") from error
    finally:
        partial.unlink(missing_ok=True)


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


def _open(url: str) -> HTTPResponse:
    # urlopen's own timeout does not cover name resolution, which can take minutes offline.
    answers: queue.SimpleQueue[HTTPResponse | Exception] = queue.SimpleQueue()

    def connect() -> None:
        try:
            answers.put(urllib.request.urlopen(url, timeout=READ_TIMEOUT_S))  # noqa: S310 - https
        except (OSError, HTTPException) as error:
            answers.put(error)

    threading.Thread(target=connect, daemon=True).start()
    try:
        answer = answers.get(timeout=CONNECT_TIMEOUT_S)
    except queue.Empty:
        raise UnreachableError(f"{url}: no answer within {CONNECT_TIMEOUT_S:.0f} s.") from None
    if isinstance(answer, urllib.error.HTTPError):
        raise DownloadError(f"{url}: status {answer.code} {answer.reason}.")
    if isinstance(answer, Exception):
        raise UnreachableError(f"{url}: {answer}")
    return answer
