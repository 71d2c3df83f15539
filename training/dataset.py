"""Aligned faces from a folder of photos, and the views of them that are trained on."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from gpen_core.blending.alignment import Template, align_faces
from gpen_core.blending.resampling import crop_image
from gpen_core.faces.face_search import search_faces
from gpen_core.faces.retinaface import FaceDetector

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
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
    files = [file for file in folder.rglob("*") if file.suffix.lower() in PHOTO_SUFFIXES]
    return sorted(files, key=lambda file: hashlib.sha256(file.read_bytes()).hexdigest())


def hold_out(photos: Sequence[Path], count: int) -> tuple[list[Path], list[Path]]:
    """Those to train on, and the first ``count``, which are only measured on."""
    return list(photos[count:]), list(photos[:count])


def read_photo(file: Path) -> Tensor:
    """A photo, upright, as (3, H, W) float32 RGB in [0, 1].

    Raises:
        OSError: It is no picture, or damaged.
    """
    with Image.open(file) as picture:
        pixels = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255


def aligned_face(
    photo: Tensor, detector: FaceDetector, size: int, margin: float = 0.0
) -> Tensor | None:
    """The largest face of a photo, aligned as the network sees it; None where there is none.

    Args:
        photo: (3, H, W) RGB in [0, 1].
        detector: Finds it.
        size: Side of the network's crop in pixels.
        margin: Seen around it on each side, as a fraction of ``size``.

    Returns:
        (3, S, S) float32 in [0, 1], S = size * (1 + 2 * margin).
    """
    faces = search_faces(photo[None], detector)
    if len(faces) == 0:
        return None
    sides = faces.boxes[:, 2:] - faces.boxes[:, :2]
    largest = int(sides.amax(dim=1).argmax())
    matrix = align_faces(faces.landmarks[largest : largest + 1], Template.FFHQ, size)[0]
    border = round(size * margin)
    matrix[:, 2] += border
    return crop_image(photo, matrix, size + 2 * border, photo.device).clamp(0, 1)


def load_faces(
    photos: Sequence[Path],
    detector: FaceDetector,
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
    file = cache / f"faces-{key[:16]}.npy"
    if not file.is_file():
        faces = []
        for number, photo in enumerate(photos, start=1):
            try:
                face = aligned_face(read_photo(photo), detector, size * OVERSAMPLING, MARGIN)
            except OSError as error:
                report(f"{photo.name}: left out, {error}")
                continue
            if face is None:
                report(f"{photo.name}: left out, no face found")
                continue
            faces.append((face * 255).round().byte().numpy())
            if number % 50 == 0:
                report(f"{number} of {len(photos)} photos aligned")
        cache.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial.npy")
        np.save(partial, np.stack(faces) if faces else np.empty((0, 3, 1, 1), np.uint8))
        partial.replace(file)
    return torch.from_numpy(np.load(file))


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
