"""Restore the faces of a picture file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..restorer import Restorer
from .pictures import read_picture, write_picture
from .targets import check_other_file


@dataclass(frozen=True)
class PictureReport:
    """What ``restore_picture`` did."""

    n_faces: int
    size: tuple[int, int]
    """Height and width written, upright, in pixels."""


def restore_picture(source: str | Path, target: str | Path, restorer: Restorer) -> PictureReport:
    """Restore the faces of a picture and write it in its own format, metadata included.

    Args:
        source: File of a format that ``read_picture`` reads.
        target: Where to write. It appears once it is complete, and also where there is no face.
        restorer: Networks and settings.

    Raises:
        MediaError: As for ``read_picture``, or the target is the source.
        OSError: A file cannot be read or written.
    """
    picture = read_picture(source)
    check_other_file(source, target)
    faces = restorer.find(picture.pixels)
    size = (picture.pixels.shape[2], picture.pixels.shape[3])
    restored = restorer.restore(picture.pixels, faces, factor=restorer.canvas_factor(faces, size))
    write_picture(target, picture, restored)
    return PictureReport(len(faces), (restored.shape[2], restored.shape[3]))
