"""Damage a picture file on purpose."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

from ..degradation import DegradeSettings, degrade, draw_steps
from .pictures import read_picture, write_picture
from .targets import check_other_file


@dataclass(frozen=True)
class DegradeReport:
    """What ``degrade_picture`` did."""

    steps: list[str]
    """A description of each step, in order."""
    size: tuple[int, int]
    """Height and width, upright, in pixels."""


def degrade_picture(
    source: str | Path,
    target: str | Path,
    settings: DegradeSettings,
    *,
    seed: int,
    strength: float = 1.0,
    same_for_all: bool = False,
) -> DegradeReport:
    """Damage a picture and write it in its own format, metadata included.

    What is left to chance depends on the seed and the target's name, not on what else is damaged.

    Args:
        source: File of a format that ``read_picture`` reads.
        target: Where to write. It appears once it is complete.
        settings: What to do to it.
        seed: 0 or more.
        strength: 0 to 1, brings every parameter from the one that does nothing to the one drawn.
        same_for_all: Whether only noise and dust depend on the name.

    Raises:
        MediaError: As for ``read_picture``, or the target is the source.
        TensorSpecError: The picture is too large for JPEG.
        DegradeSettingsError: The seed or strength is out of range.
        OSError: A file cannot be read or written.
    """
    picture = read_picture(source)
    check_other_file(source, target)
    index = zlib.crc32(Path(target).name.encode())
    size = (picture.pixels.shape[2], picture.pixels.shape[3])
    degraded = degrade(
        picture.pixels,
        settings,
        seed=seed,
        strength=strength,
        first_index=index,
        same_for_all=same_for_all,
    )
    write_picture(target, picture, degraded)
    steps = draw_steps(
        settings, size, seed=seed, strength=strength, index=0 if same_for_all else index
    )
    return DegradeReport(list(map(str, steps)), size)
