"""The operations in PyTorch, which runs anywhere: what they compute, in the dtype they are given.

Little is allocated: results are finished in place, or written where they belong.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..bands import rows_below
from ..config import LEAKY_SLOPE, fir_kernel
from ..winograd import WinogradFilters
from .shared import Injection


def from_rgb(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """See ``ops.from_rgb``."""
    return F.leaky_relu_(F.conv2d(x, weight, bias), LEAKY_SLOPE)


def blur(x: Tensor) -> Tensor:
    """See ``ops.blur``."""
    return _filter(x, padding=2, gain=1.0)


def convolve_down(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """See ``ops.convolve_down``."""
    return F.leaky_relu_(F.conv2d(x, weight, bias, stride=2), LEAKY_SLOPE)


def convolve(
    x: Tensor,
    weight: Tensor | WinogradFilters,
    bias: Tensor,
    injection: Injection,
    scale: Tensor | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """See ``ops.convolve``."""
    if isinstance(weight, WinogradFilters):
        y = weight.convolve(x, bias)
    elif scale is None:
        y = F.conv2d(x, weight, bias, padding=1)
    else:
        y = F.conv2d(x, weight, padding=1)
        y = torch.addcmul(bias.view(1, -1, 1, 1), y, scale.to(y.dtype)[:, :, None, None])
    return _inject(y, injection, out)


def convolve_up(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    injection: Injection,
    scale: Tensor | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """See ``ops.convolve_up``."""
    y = F.conv_transpose2d(x, weight, stride=2)
    if scale is not None:
        y.mul_(scale.to(y.dtype)[:, :, None, None])
    return _inject(_filter(y, padding=1, gain=4.0, bias=bias), injection, out)


def to_rgb(
    x: Tensor, weights: Tensor, bias: Tensor, previous: Tensor | None = None, first_row: int = 0
) -> Tensor:
    """See ``ops.to_rgb``."""
    faces = zip(torch.split(x, 1), weights.to(x.dtype)[..., None, None], strict=True)
    rgb = [F.conv2d(face, weight, bias).float() for face, weight in faces]
    summed = rgb[0] if len(rgb) == 1 else torch.cat(rgb)
    if previous is None:
        return summed
    end = first_row + x.shape[2]
    top, bottom = rows_below(first_row, end, previous.shape[2])
    doubled = F.interpolate(
        F.pad(previous[:, :, top:bottom], (1, 1, 1, 1)), scale_factor=2, mode="bilinear"
    )[..., 2:-2, 2:-2]
    return summed.add_(doubled[:, :, first_row - 2 * top : end - 2 * top])


def _inject(y: Tensor, injection: Injection, out: Tensor | None) -> Tensor:
    """Bring in the encoder's features and activate. ``y`` is used up."""
    features = injection.features
    y = y[:, :, injection.first_row : injection.first_row + features.shape[2]]
    if injection.bias is None:
        y = F.leaky_relu_(y.add_(features, alpha=injection.strength), LEAKY_SLOPE)
        return y if out is None else out.copy_(y)
    out = injection.empty_result() if out is None else out
    decoded, injected = out.chunk(2, dim=1)
    torch.ops.aten.leaky_relu.out(y, LEAKY_SLOPE, out=decoded)
    bias = injection.bias.view(1, -1, 1, 1)
    torch.add(bias, features, alpha=injection.strength, out=injected)
    F.leaky_relu_(injected, LEAKY_SLOPE)
    return out


def _filter(x: Tensor, padding: int, gain: float, bias: Tensor | None = None) -> Tensor:
    """The FIR filter on every channel by itself, with zero padding."""
    n_chs = x.shape[1]
    kernel = _filters(n_chs, gain, x.dtype, x.device)
    return F.conv2d(x, kernel, bias, padding=padding, groups=n_chs)


@cache  # they are small, and putting one onto a device waits for it
def _filters(n_chs: int, gain: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(C, 1, 4, 4): the filter for each channel."""
    return fir_kernel(gain).to(device, dtype).expand(n_chs, 1, 4, 4).contiguous()
