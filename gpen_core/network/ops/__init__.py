"""The operations that the network is made of, each in PyTorch and by kernels for NVIDIA GPUs.

Maps are (N, C, H, W) of any floating dtype, best channels-last: the kernels take nothing else. What
an operation computes is ``reference.py``; ``fused.py`` computes the same in fewer passes over the
maps. The filter is the published one, [1, 3, 3, 1] on each axis; activation is leaky ReLU.
"""

from __future__ import annotations

import importlib

from torch import Tensor

from ..winograd import WinogradFilters
from . import reference
from .dispatch import Dispatcher
from .shared import Injection

dispatcher = Dispatcher(reference, lambda: importlib.import_module(".fused", __name__))
"""Picks who computes an operation."""


def from_rgb(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """1x1 convolution of three channels and activation.

    Args:
        x: (N, 3, H, W), of any layout.
        weight: (O, 3, 1, 1), dtype of ``x``; so is ``bias``.
        bias: (O,).

    Returns:
        (N, O, H, W).
    """
    return dispatcher.run("from_rgb", x, weight, bias)


def blur(x: Tensor) -> Tensor:
    """The filter before a convolution that halves: gain 1, zero padding of 2.

    Args:
        x: (N, C, H, W).

    Returns:
        (N, C, H + 1, W + 1).
    """
    return dispatcher.run("blur", x)


def convolve_down(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """3x3 convolution of stride 2 without padding, and activation.

    Args:
        x: (N, I, H + 1, W + 1), blurred.
        weight: (O, I, 3, 3), dtype of ``x``; so is ``bias``.
        bias: (O,).

    Returns:
        (N, O, H / 2, W / 2).
    """
    return dispatcher.run("convolve_down", x, weight, bias)


def convolve(
    x: Tensor,
    weight: Tensor | WinogradFilters,
    bias: Tensor,
    injection: Injection,
    scale: Tensor | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """3x3 convolution of the same size, injection of encoder features, and activation.

    Args:
        x: (N, I, H, W).
        weight: (O, I, 3, 3), dtype of ``x``; so is ``bias``. Or its transform, for one face.
        bias: (O,).
        injection: Features to concatenate or to add.
        scale: (N, O) float32 factors on the convolution's result, before the bias.
        out: Where to write.

    Returns:
        ``out`` if given, else a new map: of the height and width of the features, (N, 2 * O, ...)
        where they are concatenated, (N, O, ...) where they are added.
    """
    return dispatcher.run("convolve", x, weight, bias, injection, scale, out)


def convolve_up(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    injection: Injection,
    scale: Tensor | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Transposed 3x3 convolution of stride 2 and the filter (gain 4), then as in ``convolve``.

    Args:
        x: (N, I, H, W), of which come 2H rows of 2W pixels.
        weight: (I, O, 3, 3), dtype of ``x``; so is ``bias``.
        bias: (O,).
        injection: Features to concatenate or to add.
        scale: (N, O) float32 factors on the convolution's result, before the bias.
        out: Where to write.

    Returns:
        ``out`` if given, else a new map: (N, 2 * O, 2H, 2W) where features are concatenated,
        (N, O, 2H, 2W) where they are added.
    """
    return dispatcher.run("convolve_up", x, weight, bias, injection, scale, out)


def to_rgb(
    x: Tensor, weights: Tensor, bias: Tensor, previous: Tensor | None = None, first_row: int = 0
) -> Tensor:
    """1x1 convolution to three channels, added to the previous RGB map enlarged by two.

    Enlarging is zero-stuffing and the filter with gain 4: inside the image bilinear interpolation,
    at the border it fades into zeros.

    Args:
        x: (N, I, H, W) decoder map, from row ``first_row`` on.
        weights: (N, 3, I) float32, one for each face.
        bias: (3,).
        previous: The whole RGB map of half the resolution, (N, 3, h, w) float32.
        first_row: Kernels exist for whole maps alone, where it is 0.

    Returns:
        (N, 3, H, W) float32.
    """
    return dispatcher.run("to_rgb", x, weights, bias, previous, first_row)
