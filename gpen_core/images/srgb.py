"""Colours as they are stored, sRGB-encoded, and what is linear in light."""

from __future__ import annotations

from torch import Tensor

# sRGB is linear below a knee and above it a power (IEC 61966-2-1).
_KNEE, _LINEAR_KNEE = 0.04045, 0.0031308
_SLOPE, _POWER, _OFFSET = 12.92, 2.4, 0.055
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in what BT.601, JPEG and Pillow take for grey."""


def to_linear(colors: Tensor) -> Tensor:
    """sRGB-encoded floating values of any shape in [0, 1] to linear ones, from 0 on."""
    # The power of what is above the knee, and the slope of what is below it: no choosing between.
    bright = power_(colors.clamp(_KNEE, 1).add_(_OFFSET).mul_(1 / (1 + _OFFSET)), _POWER)
    dark = colors.clamp(0, _KNEE).sub_(_KNEE)
    # Rounding must not leave less than black.
    return bright.add_(dark, alpha=1 / _SLOPE).clamp_min_(0)


def from_linear_(linear: Tensor) -> Tensor:
    """The inverse of ``to_linear``, clamped to [0, 1]. Overwrites its argument."""
    bright = power_(linear.clamp(_LINEAR_KNEE, 1), 1 / _POWER).mul_(1 + _OFFSET).sub_(_OFFSET)
    dark = linear.clamp_(0, _LINEAR_KNEE).sub_(_LINEAR_KNEE)
    return bright.add_(dark, alpha=_SLOPE).clamp_(0, 1)  # which takes care of rounding


def power_(values: Tensor, exponent: float) -> Tensor:
    """Raise values from 0 on to a positive power, in place: in two thirds of the time of ``pow``.

    As exact as float32 where the logarithm is not large, so of all that can be seen.
    """
    return values.log2_().mul_(exponent).exp2_()


def mix_channels(matrix: Tensor, channels: Tensor) -> Tensor:
    """Multiply the channels of (..., 3, H, W) by (..., 3, 3) matrices."""
    # Not a matrix product: those may be set to TF32, whose ten bits would show.
    first, second, third = matrix.to(channels)[..., None, None].unbind(dim=-3)
    mixed = first * channels[..., 0:1, :, :]
    mixed.addcmul_(second, channels[..., 1:2, :, :])
    return mixed.addcmul_(third, channels[..., 2:3, :, :])


def luma(colors: Tensor) -> Tensor:
    """(..., C, H, W) floating with C >= 3, RGB first, to (..., H, W)."""
    red, green, blue = colors[..., :3, :, :].unbind(dim=-3)
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
