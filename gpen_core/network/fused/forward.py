"""The layers of ``layers.py``: convolutions by PyTorch, what lies between them by the kernels.

The same sums, with fewer passes over the maps and fewer roundings: factors are multiplied in
float32, and what follows a convolution is rounded once.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from .twins import Injection, channels_last, empty_result

if TYPE_CHECKING:
    from ..layers import EncoderBlock, StyledConv, ToRgb


@cache
def kernels() -> ModuleType:
    """The module of the kernels, which imports Triton."""
    from . import kernels

    return kernels


def encoder_block(block: EncoderBlock, x: Tensor) -> Tensor:
    """``EncoderBlock.forward``."""
    activated: Tensor
    if block.blur is None:
        activated = kernels().from_rgb(x, block.weight, block.bias)
    else:
        y = channels_last(F.conv2d(kernels().blur(x), block.weight, stride=2))
        activated = kernels().activate(y, block.bias, out=y)
    return activated


def styled_conv(layer: StyledConv, x: Tensor, style: Tensor, features: Tensor) -> Tensor:
    """``StyledConv.forward``.

    Scales the smaller of weight and input. Demodulating the output costs nothing beside
    activating it, so it does not count.
    """
    scales, demodulation = layer._modulation(style)
    finish = kernels().activate if layer.blur is None else kernels().blur_activate
    if layer.weight.numel() > x[0].numel():
        injection = Injection(features, layer.injection_strength, layer.injected_bias)
        y = _convolve(layer, _scaled(x, scales[:, :, None, None]), layer.weight)
        whole: Tensor = finish(y, layer.bias, demodulation, injection)
        return whole
    out = None
    for i in range(x.shape[0]):
        one = slice(i, i + 1)
        injection = Injection(features[one], layer.injection_strength, layer.injected_bias)
        if out is None:
            out = empty_result(features, features.shape, injection)
        axes = (scales[i], demodulation[i]) if layer.upsample else (demodulation[i], scales[i])
        weight = _scaled(layer.weight, torch.outer(*axes)[:, :, None, None])
        finish(_convolve(layer, x[one], weight), layer.bias, None, injection, out[one])
    assert out is not None
    return out


def to_rgb(layer: ToRgb, x: Tensor, style: Tensor, previous: Tensor | None) -> Tensor:
    """``ToRgb.forward``."""
    scales = F.linear(style, layer.modulation_weight, layer.modulation_bias)
    weights = layer.weight * scales[:, None, :]  # [N, 3, I]
    rgb: Tensor = kernels().to_rgb(x, weights, layer.bias, previous)
    return rgb


def _convolve(layer: StyledConv, x: Tensor, weight: Tensor) -> Tensor:
    if layer.upsample:
        return channels_last(F.conv_transpose2d(x, weight, stride=2))
    return channels_last(F.conv2d(x, weight, padding=1))


def _scaled(x: Tensor, factors: Tensor) -> Tensor:
    """``x`` times float32 ``factors``, rounded once to the dtype of ``x``, channels-last."""
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    return torch.mul(x, factors, out=out)
