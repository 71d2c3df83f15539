"""How strongly each pixel of a crop counts when it is pasted back.

Boxes and ellipses are computed at the very points where they are needed, so nothing is resampled;
``soften`` is for masks that consist of pixels already. Lengths are fractions of the crop, so that a
mask looks the same at every size.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import SettingError, TensorSpecError

Padding = float | tuple[float, float, float, float]
"""Strip along all sides of a crop, or along left, top, right and bottom, as fractions of it."""


def empty_masks(images: Tensor) -> Tensor:
    """(B, H, W) float32 zeros, for (B, C, H, W) images and on their device."""
    return images.new_zeros((len(images), *images.shape[2:]), dtype=torch.float32)


def mask_of(masks: Tensor | None, image: int) -> Tensor | None:
    """(H, W), the mask of an image where there is one for each or one for all, if there is any."""
    return None if masks is None else masks[image % len(masks)]


def box_mask(points: Tensor, padding: Padding, feather: float) -> Tensor:
    """A rectangle with soft edges and round corners.

    Args:
        points: (..., 2) floating positions in the crop, x then y, as fractions of its size.
        padding: Distance from the crop's edge at which the mask begins, as a fraction of its size;
            one for all sides, or left, top, right, bottom.
        feather: Width of the ramp from 0 to 1 inside that, in the same unit. 0 is a hard edge. More
            than half the rectangle counts as half of it, so that its middle is 1.

    Returns:
        (...) values in [0, 1], dtype and device of ``points``; 0 outside the crop.

    Raises:
        SettingError: A padding or the feather is negative or NaN.
    """
    left, top, right, bottom = _padded_box(padding)
    _check_fraction("feather", feather)
    # Level lines of the product are round at the corners, and it has no crease on the diagonals.
    columns = _ramp_between(points[..., 0], left, right, feather)
    return columns * _ramp_between(points[..., 1], top, bottom, feather)


def ellipse_mask(points: Tensor, padding: Padding, feather: float) -> Tensor:
    """The largest ellipse inside the padded crop, with a soft edge.

    Args:
        points: (..., 2) floating positions in the crop, x then y, as fractions of its size.
        padding: As in ``box_mask``.
        feather: Width of the ramp from 0 to 1 inside the ellipse, as a fraction of the crop. It is
            measured across the edge: exactly where the ellipse is a circle, else to first order in
            the distance. 0 is a hard edge. At most the shorter half axis counts, so that the
            middle is 1.

    Returns:
        (...) values in [0, 1], dtype and device of ``points``; 0 outside the crop.

    Raises:
        SettingError: A padding or the feather is negative or NaN.
    """
    left, top, right, bottom = _padded_box(padding)
    _check_fraction("feather", feather)
    half_width, half_height = (right - left) / 2, (bottom - top) / 2
    if half_width <= 0 or half_height <= 0:
        return torch.zeros_like(points[..., 0])
    x = (points[..., 0] - (left + right) / 2) / half_width
    y = (points[..., 1] - (top + bottom) / 2) / half_height
    radius = torch.hypot(x, y)  # 1 on the ellipse
    # 1 - radius, over the length of its gradient, is the distance to the ellipse to first order.
    gradient = torch.hypot(x / half_width, y / half_height) / radius
    shorter = min(half_width, half_height)
    reach = torch.where(radius > 0, 1 / gradient, shorter)  # any direction will do at the centre
    return _ramp((1 - radius) * reach, min(feather, shorter))


def intersect(*masks: Tensor) -> Tensor:
    """What lies in all of the masks, as their minimum.

    A product would count an edge twice where two masks share it, and so pull it inward and make it
    steeper; the minimum of a mask with itself is the mask.

    Args:
        masks: One or more floating masks in [0, 1] whose shapes broadcast, on one device.

    Returns:
        The smallest value at each place, in the common shape.

    Raises:
        TensorSpecError: No mask is given.
    """
    if not masks:
        raise TensorSpecError(
            "masks: expected at least one, got none. Give the masks to intersect."
        )
    smallest = masks[0]
    for mask in masks[1:]:
        smallest = torch.minimum(smallest, mask)
    return smallest


def soften(masks: Tensor, radius: float, grow: float = 0.0) -> Tensor:
    """Give masks of pixels a soft edge, and move the edge if asked to.

    A straight edge becomes the same ramp that ``box_mask`` has, centred on where the edge was, and
    pixels farther than ``radius`` from it in x or y keep their value. Beyond its border a mask goes
    on as its border pixels: 1 everywhere stays 1 everywhere.

    Args:
        masks: (N, h, w) floating in [0, 1]; what rounding left outside is cut off.
        radius: How far the ramp reaches to each side of an edge, half its width, as a fraction of
            the masks' shorter side. 0 leaves edges as they are.
        grow: Distance by which edges are moved outward first, in the same unit; negative moves
            them inward. Rounded to whole pixels, and up to 8% more in some directions.

    Returns:
        (N, h, w) in [0, 1], dtype and device of ``masks``.

    Raises:
        TensorSpecError: ``masks`` has another shape or dtype.
        SettingError: ``radius`` is negative, or an argument is not finite.
    """
    if masks.ndim != 3 or 0 in masks.shape[1:] or not masks.is_floating_point():
        raise TensorSpecError(
            f"masks: expected (N, h, w) floating, got {tuple(masks.shape)} {masks.dtype}. "
            "Add the batch axis, drop the channel axis, and scale to [0, 1]."
        )
    _check_fraction("radius", radius)
    if not math.isfinite(radius) or not math.isfinite(grow):
        raise SettingError(
            f"radius, grow: expected finite fractions, got {radius}, {grow}. Try 0.03 and 0."
        )
    height, width = masks.shape[1:]
    shorter = min(height, width)
    moved = _grow(masks.float(), round(grow * shorter))
    rows = _blur_matrix(height, radius * shorter, masks.device)
    columns = _blur_matrix(width, radius * shorter, masks.device)
    return (rows @ moved @ columns.T).clamp(0, 1).to(masks.dtype)


def _padded_box(padding: Padding) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of what the padding leaves."""
    sides = padding if isinstance(padding, tuple) else (padding,) * 4
    for side in sides:
        _check_fraction("padding", side)
    left, top, right, bottom = sides
    return left, top, 1 - right, 1 - bottom


def _check_fraction(name: str, value: float) -> None:
    if not value >= 0:  # NaN too
        raise SettingError(
            f"{name}: expected a fraction of the crop of at least 0, got {value}. Try 0.1."
        )


def _ramp_between(positions: Tensor, start: float, end: float, feather: float) -> Tensor:
    """A ramp up from ``start`` and down to ``end``; nothing where they are in the wrong order."""
    inside = torch.minimum(positions - start, end - positions)
    return _ramp(inside, min(feather, (end - start) / 2))


def _ramp(inside: Tensor, width: float) -> Tensor:
    """0 to 1 over a distance from the edge; a step where the width is not positive."""
    if width <= 0:
        return (inside > 0).to(inside.dtype)
    return _smoothstep(inside / width)


def _smoothstep(position: Tensor) -> Tensor:
    """A ramp over [0, 1] without a kink at either end."""
    position = position.clamp(0, 1)
    return position * position * (3 - 2 * position)


def _grow(masks: Tensor, distance: int) -> Tensor:
    """Dilate (N, h, w) masks by a distance in pixels, or erode them where it is negative."""
    if distance < 0:
        return -_grow(-masks, -distance)
    # A square and then diamonds make a regular octagon, as far from its centre in the diagonals as
    # along the axes.
    square = round(distance * (math.sqrt(2) - 1))
    masks = _maximum_along(_maximum_along(masks, square, (1, 0)), square, (0, 1))
    for _ in range(distance - square):
        vertical, horizontal = _maximum_along(masks, 1, (1, 0)), _maximum_along(masks, 1, (0, 1))
        masks = torch.maximum(vertical, horizontal)
    return masks


def _maximum_along(masks: Tensor, distance: int, axes: tuple[int, int]) -> Tensor:
    """The largest value up to ``distance`` pixels away along y or x."""
    y, x = (distance * axis for axis in axes)
    return F.max_pool2d(masks[:, None], (2 * y + 1, 2 * x + 1), 1, (y, x))[:, 0]


def _blur_matrix(size: int, radius: float, device: torch.device) -> Tensor:
    """(size, size) float32 weights of each pixel (columns) in each blurred pixel (rows).

    The kernel is the slope of ``_smoothstep``, integrated over each pixel. As a matrix and not a
    convolution, because those are done in TF32 on a GPU unless the host has turned it off.
    """
    if radius == 0:
        return torch.eye(size, device=device)
    edges = torch.arange(size + 1, device=device, dtype=torch.float32)
    centres = edges[:-1, None] + 0.5
    below = _smoothstep(((edges - centres) / radius + 1) / 2)  # [row, edge]
    # The first and the last pixel stand for all beyond them.
    below[:, 0], below[:, -1] = 0, 1
    return below.diff(dim=1)
