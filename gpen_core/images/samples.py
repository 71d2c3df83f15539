"""Samples as pictures hold them, 8 or 16 bits or floating, channels last, to pixels and back."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import TensorSpecError
from .srgb import luma

Samples: TypeAlias = npt.NDArray[Any]
"""(H, W, C) uint8, uint16 or floating in [0, 1]; C = 1 to 4: grey or RGB, the last of 2 or 4 is
alpha."""


def to_pixels(samples: Samples) -> Tensor:
    """Samples as an image.

    Returns:
        (1, 3 or 4, H, W) float32 RGB or RGBA in [0, 1]. Grey is in all three channels.

    Raises:
        TensorSpecError: The shape or dtype is another.
    """
    is_floating = np.issubdtype(samples.dtype, np.floating)
    if samples.ndim != 3 or not 1 <= samples.shape[2] <= 4 or 0 in samples.shape:
        raise TensorSpecError(
            f"image: expected (H, W, C) samples of 1 to 4 channels, got {samples.shape}. "
            "Put the channels last."
        )
    if not is_floating and samples.dtype not in (np.uint8, np.uint16):
        raise TensorSpecError(
            f"image: expected uint8, uint16 or floating samples, got {samples.dtype}. Convert them."
        )
    scale = np.float32(1 if is_floating else np.iinfo(samples.dtype).max)
    pixels = torch.from_numpy(samples.astype(np.float32) / scale).permute(2, 0, 1)
    if len(pixels) < 3:
        pixels = torch.cat([pixels[:1].expand(3, -1, -1), pixels[1:]])
    return pixels[None]


def to_samples(pixels: Tensor, dtype: npt.DTypeLike, *, is_grey: bool = False) -> Samples:
    """The inverse of ``to_pixels``.

    Args:
        pixels: (1, 3 or 4, H, W) floating RGB or RGBA in [0, 1].
        dtype: uint8, uint16 or floating.
        is_grey: Leave the luma alone of the colours.
    """
    stored = pixels[0].float().cpu()
    if is_grey:
        stored = torch.cat([luma(stored)[None], stored[3:]])
    samples = stored.permute(1, 2, 0).numpy()
    if np.issubdtype(dtype, np.integer):
        samples = np.rint(samples.clip(0, 1) * np.float32(np.iinfo(dtype).max))
    return np.ascontiguousarray(samples.astype(dtype))
