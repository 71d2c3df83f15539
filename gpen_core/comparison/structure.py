"""Structural similarity at one scale and at several: SSIM and MS-SSIM.

References:
    Z. Wang et al., "Image quality assessment: from error visibility to structural similarity",
    IEEE TIP 13(4), 2004. Gaussian window of 11 pixels, sigma 1.5.
    Z. Wang, E. P. Simoncelli, A. C. Bovik, "Multiscale structural similarity for image quality
    assessment", Asilomar Conference on Signals, Systems and Computers, 2003.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

REACH_PX = 5
"""Half the window."""
_SIGMA_PX = 1.5
_C1, _C2 = 0.01**2, 0.03**2
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # from full size on, of the paper of 2003
_ROWS_AT_ONCE = 256  # even


def structure_maps(before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """Structural similarity around every pixel, the mean of the channels.

    Args:
        before: (C, H, W) float32 in [0, 1], sides of ``REACH_PX`` + 1 at least. Reflected at the
            borders, which are no pixels of their own.
        after: Like ``before``, of the same size.

    Returns:
        (H, W) each: SSIM, and its part without luminance, contrast and structure.
    """
    planes = torch.stack((before, after, before * before, after * after, before * after))
    mean_1, mean_2, square_1, square_2, product = _blur(planes)
    means = mean_1 * mean_2
    squares = mean_1.square() + mean_2.square()
    structure = (2 * (product - means) + _C2) / (square_1 + square_2 - squares + _C2)
    similarity = (2 * means + _C1) / (squares + _C1) * structure
    return similarity.mean(dim=0), structure.mean(dim=0)


def scale_count(height: int, width: int) -> int:
    """At how many scales pictures are compared: five, or as many as the window fits into."""
    side, count = min(height, width), 1
    while count < len(_SCALE_WEIGHTS) and (side + 1) // 2 > 2 * REACH_PX:
        side, count = (side + 1) // 2, count + 1
    return count


def pool_scales(values: Sequence[float]) -> float:
    """MS-SSIM from contrast and structure at each scale but the last, and SSIM there.

    Fewer than five scales share the weight of all: their own are divided by their sum.
    """
    weights = _SCALE_WEIGHTS[: len(values)]
    total = sum(weights)
    # Pictures that are opposites have less than nothing in common, which has no root.
    shares = [weight / total for weight in weights]
    return math.prod(math.pow(max(v, 0.0), s) for v, s in zip(values, shares, strict=True))


def halve(maps: Tensor) -> Tensor:
    """(C, H, W) floating to (C, ceil(H / 2), ceil(W / 2)) float32: means of two by two pixels."""
    bands = torch.split(maps[None], _ROWS_AT_ONCE, dim=2)
    return torch.cat([F.avg_pool2d(b.float(), 2, ceil_mode=True) for b in bands], dim=2)[0]


def _blur(planes: Tensor) -> Tensor:
    # Sums of shifted copies: a convolution may be rounded to TF32, and is slower here.
    taps = [math.exp(-0.5 * (i / _SIGMA_PX) ** 2) for i in range(REACH_PX + 1)]
    total = 2 * sum(taps) - taps[0]
    blurred = F.pad(planes, (REACH_PX,) * 4, mode="reflect")
    for dim in (-2, -1):
        padded, size = blurred, blurred.shape[dim] - 2 * REACH_PX
        blurred = padded.narrow(dim, REACH_PX, size) * (taps[0] / total)
        for i in range(1, REACH_PX + 1):
            both = padded.narrow(dim, REACH_PX - i, size) + padded.narrow(dim, REACH_PX + i, size)
            blurred.add_(both, alpha=taps[i] / total)
    return blurred
