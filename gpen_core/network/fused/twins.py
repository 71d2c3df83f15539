"""What the kernels of ``kernels.py`` compute, in plain PyTorch that runs anywhere.

Arithmetic is in float32 and rounded once, on the way out. Maps are channels-last, of any floating
dtype; the sum of the RGB maps is planar and float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..config import FIR_TAPS, LEAKY_SLOPE


@dataclass(frozen=True)
class Injection:
    """Encoder features on their way into a decoder map."""

    features: Tensor
    """(N, O, H, W), shape, dtype and layout of the decoder map."""
    strength: float
    """Factor on the features."""
    bias: Tensor | None
    """(O,): features are concatenated and activated with it. None: they are added."""


def activate(
    y: Tensor,
    bias: Tensor,
    scale: Tensor | None = None,
    injection: Injection | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Demodulation, bias, injection and leaky ReLU.

    Args:
        y: (N, O, H, W) channels-last result of a convolution.
        bias: (O,).
        scale: (N, O) float32 factors on ``y``, before the bias.
        injection: Features to add or to concatenate.
        out: Where to write; may be ``y`` itself unless features are concatenated.

    Returns:
        ``out`` if given, else a new map: (N, 2 * O, H, W) with concatenated features, else
        (N, O, H, W); dtype of ``y``.
    """
    out = empty_result(y, y.shape, injection) if out is None else out
    return _finish(y.float(), bias, scale, injection, out)


def blur_activate(
    y: Tensor,
    bias: Tensor,
    scale: Tensor | None = None,
    injection: Injection | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """The FIR filter after a transposed convolution (gain 4, padding 1), then ``activate``.

    Args:
        y: (N, O, 2 * H + 1, 2 * W + 1).
        bias: As for ``activate``; so are the others, of the blurred size.
        scale: See there.
        injection: See there.
        out: See there; may not be ``y``.

    Returns:
        (N, O or 2 * O, 2 * H, 2 * W).
    """
    blurred = _fir(y.float(), padding=1, gain=4.0)
    out = empty_result(y, blurred.shape, injection) if out is None else out
    return _finish(blurred, bias, scale, injection, out)


def blur(x: Tensor) -> Tensor:
    """The FIR filter before a convolution of stride 2 (gain 1, padding 2).

    Args:
        x: (N, C, H, W).

    Returns:
        (N, C, H + 1, W + 1), dtype of ``x``.
    """
    return channels_last(_fir(x.float(), padding=2, gain=1.0).to(x.dtype))


def from_rgb(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """1x1 convolution of three channels, bias and leaky ReLU.

    Args:
        x: (N, 3, H, W) floating, of any layout.
        weight: (C, 3, 1, 1), in the dtype of the result.
        bias: (C,).

    Returns:
        (N, C, H, W) channels-last, dtype of ``weight``.
    """
    y = F.conv2d(x.float(), weight.float(), bias.float())
    return channels_last(F.leaky_relu(y, LEAKY_SLOPE).to(weight.dtype))


def to_rgb(x: Tensor, weights: Tensor, bias: Tensor, previous: Tensor | None = None) -> Tensor:
    """1x1 convolution to three channels, bias, and the previous RGB map enlarged by two.

    Args:
        x: (N, I, H, W) channels-last.
        weights: (N, 3, I) float32, modulated.
        bias: (3,).
        previous: (N, 3, H / 2, W / 2) float32.

    Returns:
        (N, 3, H, W) float32, planar.
    """
    rgb = torch.einsum("noi,nihw->nohw", weights, x.float()) + bias.float()[:, None, None]
    if previous is not None:
        zeros = previous.new_zeros(
            *previous.shape[:2], 2 * previous.shape[2], 2 * previous.shape[3]
        )
        zeros[:, :, ::2, ::2] = previous
        rgb = rgb + _fir(F.pad(zeros, (2, 1, 2, 1)), padding=0, gain=4.0)
    return rgb.contiguous()


def channels_last(x: Tensor) -> Tensor:
    """``x`` itself where it lies channels-last, else a copy that does."""
    return x.contiguous(memory_format=torch.channels_last)


def empty_result(like: Tensor, shape: Sequence[int], injection: Injection | None) -> Tensor:
    """An uninitialised channels-last map for what becomes of one of ``shape``, (N, O, H, W)."""
    n, n_chs, height, width = shape
    if injection is not None and injection.bias is not None:
        n_chs *= 2
    return torch.empty(
        (n, n_chs, height, width),
        dtype=like.dtype,
        device=like.device,
        memory_format=torch.channels_last,
    )


def _fir(x: Tensor, padding: int, gain: float) -> Tensor:
    taps = torch.tensor(FIR_TAPS, device=x.device)
    kernel = torch.outer(taps, taps) * (gain / float(sum(FIR_TAPS)) ** 2)
    return F.conv2d(x, kernel.expand(x.shape[1], 1, 4, 4), padding=padding, groups=x.shape[1])


def _finish(
    y: Tensor, bias: Tensor, scale: Tensor | None, injection: Injection | None, out: Tensor
) -> Tensor:
    if scale is not None:
        y = y * scale[:, :, None, None]
    y = y + bias.float()[:, None, None]
    if injection is not None:
        injected = injection.strength * injection.features.float()
        if injection.bias is None:
            y = y + injected
        else:
            y = torch.cat((y, injected + injection.bias.float()[:, None, None]), dim=1)
    return out.copy_(F.leaky_relu(y, LEAKY_SLOPE))
