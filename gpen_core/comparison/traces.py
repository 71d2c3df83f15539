"""Traces of a restoration that need no original to be seen: a seam, and flicker."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import TensorSpecError
from ..images.srgb import luma
from ..images.validation import check_images

_REACH = 0.05  # sigma of what widens a mask, as a fraction of the root of its area


def seam(images: Tensor, masks: Tensor) -> float | None:
    """How much stronger the gradient is across the edge of a mask than beside it.

    Both gradients are means of the absolute derivative of luma along the normal of the edge. On
    the edge each pixel counts by the slope of the mask there; beside it, where the mask is flat,
    by the slope of the mask widened by a Gaussian.

    Args:
        images: (B, 3 or 4, H, W) floating RGB or RGBA in [0, 1], with something pasted.
        masks: (B or 1, H, W) floating in [0, 1], where. Hard edges do as well as soft ones.

    Returns:
        1: the edge is like its surroundings. 2: a gradient twice as strong. Infinite: an edge
        where all around is flat. None: the masks have no edge, or nothing beside it.

    Raises:
        TensorSpecError: The shapes do not match.
    """
    check_images(images)
    if masks.shape[1:] != images.shape[2:] or len(masks) not in (1, len(images)):
        raise TensorSpecError(
            f"masks: expected (1 or {len(images)}, {images.shape[2]}, {images.shape[3]}), got "
            f"{tuple(masks.shape)}. Give the masks that were pasted through."
        )
    sums = torch.zeros(2, 2, dtype=torch.float64)  # on and beside the edge; derivative and weight
    for i, image in enumerate(images):
        mask = masks[i % len(masks)].cpu().float()
        gradient, slope = _gradient(luma(image.cpu().float())), _gradient(mask)
        widened = _gradient(_blur(mask, _REACH * math.sqrt(float(mask.sum()))))
        widened = widened * (slope == 0).all(dim=0)
        for row, normal in enumerate((slope, widened)):
            across = (gradient * normal).sum(dim=0).abs().sum()
            sums[row] += torch.stack((across, normal.norm(dim=0).sum())).double()
    if not sums[:, 1].all():
        return None
    on, beside = (float(across / weight) for across, weight in sums)
    if beside == 0:
        return 1.0 if on == 0 else math.inf
    return on / beside


def flicker(frames: Tensor, region: Tensor | None = None) -> float:
    """How much pixels of a clip that stands still change from frame to frame.

    Args:
        frames: (N, 3 or 4, H, W) floating RGB or RGBA in [0, 1]; a clip that moves is to be
            brought to a standstill first. At least 2.
        region: (H, W) floating in [0, 1]: how far each pixel counts.

    Returns:
        The root of the mean over pixels and channels of the variance in time, as a share of the
        range. NaN: there is nothing in the region.

    Raises:
        TensorSpecError: The shapes do not match, or there are fewer than two frames.
    """
    check_images(frames)
    if len(frames) < 2 or (region is not None and region.shape != frames.shape[2:]):
        expected = f"two or more and a region of {tuple(frames.shape[2:])}"
        shape = None if region is None else tuple(region.shape)
        raise TensorSpecError(
            f"frames: expected {expected}, got {len(frames)} and {shape}. Give a whole clip."
        )
    variance = frames[:, :3].float().var(dim=0).mean(dim=0)
    weights = torch.ones_like(variance) if region is None else region.to(variance)
    return math.sqrt(float((variance * weights).sum() / weights.sum()))


def _gradient(plane: Tensor) -> Tensor:
    """(2, H, W): differences to the next pixel in x and y; none at the last."""
    x = F.pad(plane.diff(dim=1), (0, 1))
    y = F.pad(plane.diff(dim=0), (0, 0, 0, 1))
    return torch.stack((x, y))


def _blur(plane: Tensor, sigma_px: float) -> Tensor:
    """A Gaussian; the border's pixels stand for all beyond."""
    radius = max(1, math.ceil(3 * sigma_px))
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float32)
    taps = torch.exp(-0.5 * (offsets / max(sigma_px, 0.5)).square())
    taps /= taps.sum()
    padded = F.pad(plane[None, None], (radius,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, taps.view(1, 1, -1, 1)), taps.view(1, 1, 1, -1))[0, 0]
