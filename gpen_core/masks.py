"""How strongly each pixel of a crop counts when it is pasted back."""

from __future__ import annotations

from torch import Tensor


def box_mask(points: Tensor, padding: float, feather: float) -> Tensor:
    """A rectangle with soft edges, computed at the very points where it is needed.

    Args:
        points: (..., 2) positions in the crop, x then y, as fractions of its size.
        padding: Distance from the crop's edge at which the mask begins, as a fraction of its size.
        feather: Width of the ramp from 0 to 1 inside that, likewise. 0 is a hard edge.

    Returns:
        (...) values in [0, 1], dtype and device of ``points``; 0 outside the crop.
    """
    inside = (0.5 - (points - 0.5).abs() - padding).clamp_min(0)  # distance to the edge, [..., 2]
    if feather > 0:
        ramp = (inside / feather).clamp_max(1)
        ramp = ramp * ramp * (3 - 2 * ramp)  # without a kink at either end
    else:
        ramp = (inside > 0).to(points.dtype)
    return ramp[..., 0] * ramp[..., 1]
