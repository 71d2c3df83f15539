"""Resizing whole pictures without aliasing, on every device."""

from __future__ import annotations

from functools import partial

import torch.nn.functional as F
from torch import Tensor


def resize(images: Tensor, size: tuple[int, int], mode: str = "bicubic") -> Tensor:
    """Resize images, with antialiasing where they shrink.

    Args:
        images: (B, C, H, W) floating, in [0, 1]. Not modified.
        size: Height and width wanted.
        mode: "bicubic" or "bilinear".

    Returns:
        (B, C, *size) in [0, 1], dtype and device of ``images``; themselves if they have that size.
    """
    if images.shape[2:] == size:
        return images
    interpolate = partial(F.interpolate, size=size, mode=mode, antialias=True)
    try:
        resized = interpolate(images)
    except NotImplementedError:  # Apple's GPUs before PyTorch 2.7, in bicubic for longer
        resized = interpolate(images.cpu()).to(images.device)
    return resized.clamp_(0, 1)
