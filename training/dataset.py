"""Aligned faces from a folder of photos, and the views of them that are trained on."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import gpen_core
from gpen_core import (
    PICTURE_SUFFIXES,
    MediaError,
    Rotations,
    SearchSettings,
    Template,
    align_faces,
    crop_image,
    long_sides,
    read_picture,
)

MARGIN = 1 / 8
"""Seen around the crop on each side, as a fraction of it, so that views may turn and shift."""
OVERSAMPLING = 2
"""Pixels of a stored face per pixel of a view: views are averaged down and stay sharp."""

MAX_TURN_DEGREES = 6.0
MAX_ZOOM = 0.08
MAX_SHIFT = 0.02
"""Of the crop's side."""


def list_photos(folder: Path) -> list[Path]:
    """The photos in a folder and those below it, by the SHA-256 of their bytes.

    That order depends on nothing but the pictures, and is as good as random.
    """
    files = [file for file in folder.rglob("*") if file.suffix.lower() in PICTURE_SUFFIXES]
    return sorted(files, key=lambda file: hashlib.sha256(file.read_bytes()).hexdigest())


def hold_out(photos: Sequence[Path], count: int) -> tuple[list[Path], list[Path]]:
    """Those to train on, and the first ``count``, which are only measured on."""
    return list(photos[count:]), list(photos[:count])


def read_photo(file: Path) -> Tensor:
    """A photo, upright and without alpha, as (1, 3, H, W) float32 RGB in [0, 1].

    Raises:
        MediaError: It is damaged, or of a kind that is not read.
        OSError: It cannot be read.
    """
    return read_picture(file).pixels[:, :3]


def largest_face(photo: Tensor, detector: gpen_core.FaceDetector) -> gpen_core.Faces:
    """The largest face of one photo (1, 3, H, W), or none."""
    faces = gpen_core.search_faces(photo, detector, SearchSettings(rotations=Rotations.OFF))
    return faces if not len(faces) else faces.select([int(long_sides(faces.boxes).argmax())])


def align_photos(photos: Iterable[Tensor], detector: gpen_core.FaceDetector, size: int) -> Tensor:
    """Faces as the network gets them: (N, 3, size, size) in [0, 1] of the photos that have any."""
    faces_of = ((photo, largest_face(photo, detector)) for photo in photos)
    return torch.cat([gpen_core.crop_faces(photo, face, size) for photo, face in faces_of])


def _align_with_margin(photo: Tensor, face: gpen_core.Faces, size: int) -> Tensor:
    """A face as the network gets it and ``MARGIN`` around it, (3, S, S) uint8."""
    matrix = align_faces(face.landmarks, Template.FFHQ, size)[0]
    border = round(size * MARGIN)
    matrix[:, 2] += border
    crop = crop_image(photo[0], matrix, size + 2 * border, photo.device)
    return (crop.clamp(0, 1) * 255).round().byte()


def load_faces(
    photos: Sequence[Path],
    detector: gpen_core.FaceDetector,
    size: int,
    cache: Path,
    report: Callable[[str], None] = print,
) -> Tensor:
    """The faces of the photos for views of ``size`` pixels, made once and kept in ``cache``.

    A photo that cannot be read or shows no face is named and left out.

    Returns:
        (N, 3, S, S) uint8, S = size * (1 + 2 * MARGIN) * OVERSAMPLING.
    """
    names = "\n".join(str(file) for file in photos)
    key = hashlib.sha256(f"{size} {MARGIN} {OVERSAMPLING}\n{names}".encode()).hexdigest()
    kept = cache / f"faces-{key[:16]}.npy"
    if not kept.is_file():
        faces = []
        for number, file in enumerate(photos, start=1):
            try:
                photo = read_photo(file)
            except (MediaError, OSError) as error:
                report(f"{file.name}: left out, {error}")
                continue
            face = largest_face(photo, detector)
            if not len(face):
                report(f"{file.name}: left out, no face found")
                continue
            faces.append(_align_with_margin(photo, face, size * OVERSAMPLING).numpy())
            if number % 50 == 0:
                report(f"{number} of {len(photos)} photos aligned")
        cache.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(".partial.npy")
        np.save(partial, np.stack(faces) if faces else np.empty((0, 3, 1, 1), np.uint8))
        partial.replace(kept)
    return torch.from_numpy(np.load(kept))


def random_views(faces: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Turn, zoom, shift and mirror faces a little, each by its own draw.

    Args:
        faces: (N, 3, S, S) uint8 of ``load_faces``, on any device.
        size: Side of the views in pixels.
        generator: On the CPU; the draws are the same for every device.

    Returns:
        (N, 3, size, size) float32 in [0, 1], on the device of ``faces``.
    """

    def draw(limit: float) -> Tensor:
        return (torch.rand(len(faces), generator=generator) * 2 - 1) * limit

    angle, zoom = draw(math.radians(MAX_TURN_DEGREES)), 1 + draw(MAX_ZOOM)
    shift_x, shift_y = draw(2 * MAX_SHIFT), draw(2 * MAX_SHIFT)
    mirror = torch.where(draw(1.0) < 0, -1.0, 1.0)
    scale = zoom / (1 + 2 * MARGIN)
    cos, sin = angle.cos() * scale, angle.sin() * scale
    rows = (cos * mirror, -sin, shift_x, sin * mirror, cos, shift_y)
    matrices = torch.stack(rows, dim=1).view(-1, 2, 3).to(faces.device)
    fine = size * OVERSAMPLING
    grid = F.affine_grid(matrices, [len(faces), 3, fine, fine], align_corners=False)
    views = F.grid_sample(
        faces.float() / 255, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    return F.avg_pool2d(views, OVERSAMPLING)
