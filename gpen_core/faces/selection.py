"""Which of the detected faces to work on: by size, score, place and number.

The orders are those of ComfyUI-ReActor, so a face has the same number here and there: by the left
or the upper edge of the box, or by its area (``sort_by_order`` in its scripts/reactor_swapper.py,
commit 1356f18). Where ReActor leaves faces that tie as its detector found them, here the surer one
comes first.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

from ..errors import SelectionError
from ..settings import Choice
from .faces import Faces, long_sides

_ITEM = re.compile(r"\s*([0-9]{1,4})\s*(?:-\s*([0-9]{1,4})\s*)?")


class FaceOrder(Choice):
    """How the faces of an image are counted."""

    LARGE_SMALL = "large-small"
    """By the area of the box, the largest first. ReActor's default."""
    SMALL_LARGE = "small-large"
    LEFT_RIGHT = "left-right"
    """By the left edge of the box, x0."""
    RIGHT_LEFT = "right-left"
    """The exact opposite: by x0 too, not by the right edge."""
    TOP_BOTTOM = "top-bottom"
    """By the upper edge of the box, y0."""
    BOTTOM_TOP = "bottom-top"
    """By y0 too, not by the lower edge."""


_DESCENDING = (FaceOrder.LARGE_SMALL, FaceOrder.RIGHT_LEFT, FaceOrder.BOTTOM_TOP)


def parse_indices(text: str) -> tuple[int, ...] | None:
    """Read a list of face numbers.

    Args:
        text: Numbers from 0 to 9999 and ranges with both ends included, between commas, such as
            "0,2" or "0-3, 5". Spaces around them do not matter.

    Returns:
        The numbers ascending, each once. None, which stands for all faces, if the text is blank.

    Raises:
        SelectionError: Something else is in the text.
    """
    if not text.strip():
        return None
    indices: set[int] = set()
    for item in text.split(","):
        match = _ITEM.fullmatch(item)
        first, last = (match[1], match[2] or match[1]) if match else ("1", "0")
        if int(first) > int(last):
            raise SelectionError(
                f"indices: expected face numbers such as '0,2' or '0-3', got {item.strip()!r} in "
                f"{text!r}. Count from 0 and put commas between; leave it empty for all faces."
            )
        indices.update(range(int(first), int(last) + 1))
    return tuple(sorted(indices))


def select_faces(
    faces: Faces,
    *,
    order: FaceOrder | str = FaceOrder.LARGE_SMALL,
    indices: str = "",
    min_size: float = 0,
    min_score: float = 0.0,
    largest_only: bool = False,
) -> Faces:
    """Keep some faces of each image and bring them into order.

    Faces too small or too unsure go first, those left are ordered and numbered from 0 in each
    image, then ``indices`` picks from them and ``largest_only`` from what was picked.

    Args:
        faces: Any number, tracked or not.
        order: How the faces of an image are counted. The surer of two that tie comes first.
        indices: The numbers to keep, as ``parse_indices`` reads them; empty keeps all. A number
            that an image has no face for picks nothing there.
        min_size: Smallest size, which is the longer side of the box, in pixels. Inclusive.
        min_score: Smallest score in [0, 1]. Inclusive.
        largest_only: Keep one face of each image, the one whose box has the largest area.

    Returns:
        The faces by ascending image, those of one image in ``order``.

    Raises:
        SelectionError: ``indices`` cannot be read.
        SettingError: There is no such order.
    """
    chosen = parse_indices(indices)
    faces = faces.select(_large_and_sure(faces, min_size, min_score))
    faces = _ordered(faces, FaceOrder(order))
    if chosen is not None:
        numbers = torch.tensor(chosen, device=faces.device)
        faces = faces.select(torch.isin(_numbers(faces), numbers))
    if largest_only:
        by_area = _ordered(faces, FaceOrder.LARGE_SMALL)
        faces = by_area.select(_numbers(by_area) == 0)
    return faces


def number_faces(
    faces: Faces, *, order: FaceOrder | str, min_size: float = 0, min_score: float = 0.0
) -> Tensor:
    """The numbers by which ``select_faces`` knows the faces.

    Args:
        faces: Any number, tracked or not.
        order: How the faces of an image are counted.
        min_size: Smallest size, which is the longer side of the box, in pixels. Inclusive.
        min_score: Smallest score in [0, 1]. Inclusive.

    Returns:
        (N,) int64 on the faces' device: each face's number in its image, -1 if it is dropped.

    Raises:
        SettingError: There is no such order.
    """
    numbers = torch.full((len(faces),), -1, device=faces.device)
    kept = _large_and_sure(faces, min_size, min_score).nonzero().flatten()
    rows = kept[_order_rows(faces.select(kept), FaceOrder(order))]
    numbers[rows] = _numbers(faces.select(rows))
    return numbers


def _large_and_sure(faces: Faces, min_size: float, min_score: float) -> Tensor:
    return (long_sides(faces.boxes) >= min_size) & (faces.scores >= min_score)


def _ordered(faces: Faces, order: FaceOrder) -> Faces:
    return faces.select(_order_rows(faces, order))


def _order_rows(faces: Faces, order: FaceOrder) -> Tensor:
    """The rows by image, then by ``order``, then by falling score, then as they were."""
    device, faces = faces.device, faces.to("cpu")  # not every device has float64
    rows = torch.argsort(faces.scores, stable=True, descending=True)
    keys = _keys(faces, order)
    rows = rows[torch.argsort(keys[rows], stable=True, descending=order in _DESCENDING)]
    return rows[torch.argsort(faces.image_index[rows], stable=True)].to(device)


def _keys(faces: Faces, order: FaceOrder) -> Tensor:
    """What an order looks at: (N,) float64."""
    boxes = faces.boxes.double()
    if order in (FaceOrder.LEFT_RIGHT, FaceOrder.RIGHT_LEFT):
        return boxes[:, 0]
    if order in (FaceOrder.TOP_BOTTOM, FaceOrder.BOTTOM_TOP):
        return boxes[:, 1]
    return (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)


def _numbers(faces: Faces) -> Tensor:
    """Each face's number in its image, (N,) int64. The faces are sorted by image."""
    first = torch.searchsorted(faces.image_index, faces.image_index)
    return torch.arange(len(faces), device=faces.device) - first
