"""Pictures of one size side by side under their names, and below them a close-up of a face."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

COLUMN_PX = 512
MAX_HEIGHT_PX = 768
BAR_PX = 40
SPACING_PX = 8
CLOSE_UP = 1.5
"""Side of the square around a face, in lengths of its box."""


def contact_sheet(
    pictures: Sequence[np.ndarray],
    labels: Sequence[str],
    boxes: Sequence[Sequence[float]] = (),
) -> np.ndarray:
    """Lay pictures out in a row, each in a column.

    Args:
        pictures: (H, W, 3) uint8, all of one size.
        labels: A line for each.
        boxes: Faces in them, as x0, y0, x1, y1 in pixels; the largest is shown in a second row.

    Returns:
        (H', W', 3) uint8.
    """
    height, width = pictures[0].shape[:2]
    rows = [_scaled(pictures, (0, 0, width, height))]
    if len(boxes):
        rows.append(_scaled(pictures, _square_around(max(boxes, key=_area), width, height)))
    sheet = Image.new(
        "RGB",
        (
            len(pictures) * (COLUMN_PX + SPACING_PX) - SPACING_PX,
            BAR_PX - SPACING_PX + sum(row[0].height + SPACING_PX for row in rows),
        ),
        "white",
    )
    draw = ImageDraw.Draw(sheet)
    for column, label in enumerate(labels):
        x, y = column * (COLUMN_PX + SPACING_PX), BAR_PX
        draw.text((x + SPACING_PX, BAR_PX // 2), label, "black", ImageFont.load_default(22), "lm")
        for row in rows:
            sheet.paste(row[column], (x, y))
            y += row[column].height + SPACING_PX
    return np.asarray(sheet)


def _scaled(pictures: Sequence[np.ndarray], box: tuple[int, int, int, int]) -> list[Image.Image]:
    """A part of every picture, as wide as a column if it does not become too high."""
    width, height = box[2] - box[0], box[3] - box[1]
    scale = min(COLUMN_PX / width, MAX_HEIGHT_PX / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return [
        Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC, box) for pixels in pictures
    ]


def _square_around(box: Sequence[float], width: int, height: int) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = box
    side = min(round(CLOSE_UP * max(x1 - x0, y1 - y0)), width, height)
    left = min(max(0, round((x0 + x1 - side) / 2)), width - side)
    top = min(max(0, round((y0 + y1 - side) / 2)), height - side)
    return left, top, left + side, top + side


def _area(box: Sequence[float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
