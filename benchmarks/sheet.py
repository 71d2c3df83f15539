"""Sheets of pictures with labels, and tables of figures in Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from gpen_core import resize

GAP_PX = 6
TEXT_PX = 15
LINE_PX = 20


def draw_sheet(
    path: Path, rows: Mapping[str, Tensor], columns: Sequence[str] = (), cell_px: int = 192
) -> None:
    """Write a picture of rows of pictures.

    Args:
        path: Where to; the suffix says the format.
        rows: (N, 3, S, S) RGB in [0, 1] by label; each row has as many.
        columns: A label for each column, or none.
        cell_px: Width and height of each picture.
    """
    font = ImageFont.load_default(TEXT_PX)
    n_columns = max(len(images) for images in rows.values())
    top = LINE_PX if columns else 0
    height = LINE_PX + cell_px + GAP_PX
    size = (GAP_PX + n_columns * (cell_px + GAP_PX), GAP_PX + top + len(rows) * height)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for column, label in enumerate(columns):
        draw.text((GAP_PX + column * (cell_px + GAP_PX), GAP_PX), label, "black", font)
    for row, (label, images) in enumerate(rows.items()):
        y = GAP_PX + top + row * height
        draw.text((GAP_PX, y), label, "black", font)
        for column, image in enumerate(resize(images, (cell_px, cell_px))):
            pixels = (image * 255).round().permute(1, 2, 0).numpy().astype(np.uint8)
            x = GAP_PX + column * (cell_px + GAP_PX)
            sheet.paste(Image.fromarray(pixels), (x, y + LINE_PX))
    sheet.save(path)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str | float]]) -> str:
    """A table; numbers get as many digits as their size is worth, and a dash for what is not."""
    lines = [head, ["---"] * len(head), *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: str | float) -> str:
    if isinstance(value, str):
        return value
    if not math.isfinite(value):
        return "-" if math.isnan(value) else "equal"
    if isinstance(value, int):
        return str(value)
    digits = 3 if abs(value) < 2 else 2 if abs(value) < 100 else 0
    return f"{value:.{digits}f}"
