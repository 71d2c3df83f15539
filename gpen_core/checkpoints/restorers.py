"""Which of several checkpoints restores faces best: the largest GPEN network made for that."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from ..bundled import BUNDLED_RESTORER
from ..errors import CheckpointError
from ..network.config import SUPPORTED_SIZES
from ..network.generator import GpenGenerator
from .checkpoint import (
    CHECKPOINT_SUFFIXES,
    CONFIG_KEY,
    load_model,
    read_checkpoint,
    read_metadata,
    read_notice,
)
from .registry import GPEN_MODELS

BUNDLED_NAME = f"{BUNDLED_RESTORER.stem} (bundled)"
"""What the network that comes with the package is called in menus and messages."""
CHECKPOINT_FOLDERS = ("facerestore_models", "gpen")
"""Subfolders of a models folder that hold GPEN checkpoints, beside those of other programs."""

# GPEN's authors and the users of its training code make networks for other tasks too.
_OTHER_TASKS = re.compile(r"identity|colou?r|inpaint|seg|pars(?:e|ing)", re.IGNORECASE)
_SIZE = re.compile(rf"(?<!\d)(?:{'|'.join(map(str, SUPPORTED_SIZES))})(?!\d)")
_PUBLISHED = frozenset(model.filename for model in GPEN_MODELS)


@dataclass(frozen=True)
class LoadedRestorer:
    """The network that ``load_largest`` chose."""

    network: GpenGenerator
    path: Path
    passed_over: tuple[str, ...] = ()
    """Why larger ones were not taken, a sentence for each."""

    @property
    def name(self) -> str:
        """The file's name, or that of the bundled network."""
        return BUNDLED_NAME if self.path == BUNDLED_RESTORER else self.path.name

    @property
    def notice(self) -> str:
        """What users should know of the file and of the choice; mostly nothing."""
        passed_over = (f"Passed over: {reason}" for reason in self.passed_over)
        return " ".join(filter(None, (read_notice(self.path), *passed_over)))


def load_largest(
    files: Iterable[Path],
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> LoadedRestorer:
    """Load the largest GPEN network for restoration among files, or the bundled one.

    Args:
        files: Any files; ``rank_restorers`` says which count. Nothing in them is executed.
        device: Where to put the network.
        dtype: float32, float16 or bfloat16: what the network computes in.
    """
    passed_over: list[str] = []
    for path in rank_restorers(files):
        try:
            return LoadedRestorer(load_model(path, device, dtype), path, tuple(passed_over))
        except CheckpointError as error:
            passed_over.append(str(error))
    network = load_model(BUNDLED_RESTORER, device, dtype)
    return LoadedRestorer(network, BUNDLED_RESTORER, tuple(passed_over))


def rank_restorers(files: Iterable[Path]) -> list[Path]:
    """The GPEN checkpoints for restoration among files, the largest network first.

    The size is the one in the file's name. Where there is none, it is detected from the names and
    shapes of the tensors. Files of one size keep their order.
    """
    sizes = {path: _restorer_size(path) for path in files}
    return sorted((path for path in sizes if sizes[path]), key=lambda path: -sizes[path])


def _restorer_size(path: Path) -> int:
    """Size of the network in pixels, 0 if it is none for restoration."""
    if path.suffix.lower() not in CHECKPOINT_SUFFIXES or _OTHER_TASKS.search(path.name):
        return 0
    is_named = "gpen" in path.name.lower() or path.name in _PUBLISHED
    if is_named and (sizes := _SIZE.findall(path.name)):
        return max(map(int, sizes))
    try:
        status = path.stat()
    except OSError:
        return 0
    is_hinted = is_named or path.parent.name.lower() == "gpen"
    return _size_inside(path, is_hinted, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=256)
def _size_inside(path: Path, is_hinted: bool, _modified_ns: int, _n_bytes: int) -> int:
    """Size of the network in a file; 0 if neither its name nor its metadata hints at GPEN."""
    try:
        if not is_hinted and CONFIG_KEY not in read_metadata(path):
            return 0
        return read_checkpoint(path)[1].size
    except CheckpointError:
        return 0
