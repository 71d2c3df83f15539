"""The layers of GPEN, arranged for inference, in terms of the operations in ``ops``.

They compute what StyleGAN2's layers compute (T. Karras et al., "Analyzing and Improving the Image
Quality of StyleGAN", CVPR 2020), with every constant factor folded into the weights beforehand
(``folding.py``) and with modulation applied to whichever is smaller, weights or activations.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import ops, winograd
from .bands import LazyMap, rows_below
from .config import ACTIVATION_GAIN, LEAKY_SLOPE
from .ops.shared import Injection
from .precision import arithmetic_dtype


def parameter(*shape: int, dtype: torch.dtype = torch.float32) -> nn.Parameter:
    """An uninitialised weight that takes no gradient; 4-D ones lie channels-last."""
    layout = torch.channels_last if len(shape) == 4 else torch.contiguous_format
    return nn.Parameter(torch.empty(shape, dtype=dtype, memory_format=layout), requires_grad=False)


class ActivatedLinear(nn.Module):
    """Linear layer and leaky ReLU, in float32."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = parameter(out_features, in_features)
        self.bias = parameter(out_features)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in) float32 -> (N, out) float32."""
        return F.leaky_relu_(F.linear(x, self.weight, self.bias), LEAKY_SLOPE)


class EncoderBlock(nn.Module):
    """Convolution and leaky ReLU: 1x1 at full resolution, else 3x3 that halves a blurred map."""

    def __init__(self, in_chs: int, out_chs: int, downsample: bool, dtype: torch.dtype) -> None:
        super().__init__()
        kernel_size = 3 if downsample else 1
        self.downsample = downsample
        self.weight = parameter(out_chs, in_chs, kernel_size, kernel_size, dtype=dtype)
        self.bias = parameter(out_chs, dtype=dtype)

    def forward(self, x: LazyMap) -> LazyMap:
        """(in, H, W) -> (out, H, W), or half of H and W where it downsamples."""
        dtype = arithmetic_dtype(self.weight)
        weight, bias = self.weight.to(dtype), self.bias.to(dtype)

        def convolved(first: int, end: int) -> Tensor:
            return ops.from_rgb(x.rows(first, end).to(dtype), weight, bias)

        def halved(first: int, end: int) -> Tensor:
            top, bottom = max(2 * first - 2, 0), min(2 * end + 2, x.height)
            blurred = ops.blur(x.rows(top, bottom).to(dtype))
            blurred = blurred[:, :, 2 * first - top : 2 * end + 1 - top]
            return ops.convolve_down(blurred, weight, bias)

        _, height, width = x.shape
        if self.downsample:
            return LazyMap((len(bias), height // 2, width // 2), dtype, x.device, halved)
        return LazyMap((len(bias), height, width), dtype, x.device, convolved)


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, injection of encoder features, bias and leaky ReLU.

    Modulation scales the input channels by the style, demodulation the output channels so that
    each filter has unit norm. Both are products with the weight's two channel axes, so they may
    be applied to the weight or to the activations around the convolution.
    """

    def __init__(
        self,
        in_chs: int,
        out_chs: int,
        style_dim: int,
        upsample: bool,
        concat: bool,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.upsample = upsample
        # A transposed convolution wants (I, O, k, k), a plain one (O, I, k, k).
        channels = (in_chs, out_chs) if upsample else (out_chs, in_chs)
        self.weight = parameter(*channels, 3, 3, dtype=dtype)
        self.energy = parameter(out_chs, in_chs)
        self.epsilon = parameter(out_chs)
        self.modulation_weight = parameter(in_chs, style_dim)
        self.modulation_bias = parameter(in_chs)
        self.bias = parameter(out_chs, dtype=dtype)
        self.injected_bias = parameter(out_chs, dtype=dtype) if concat else None
        self.injection_strength = 0.0

    def get_extra_state(self) -> Tensor:
        """The injection strength: a number is not in a state dict by itself."""
        return torch.tensor(self.injection_strength, dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        """Take it back."""
        self.injection_strength = float(state)

    def forward(self, x: LazyMap, style: Tensor, features: LazyMap) -> LazyMap:
        """Convolve, inject and activate.

        Args:
            x: (I, H, W) decoder map.
            style: (N, style_dim) float32.
            features: (O, H', W') encoder map; H', W' are 2H, 2W where the layer upsamples.

        Returns:
            (2 * O, H', W') with concatenated features, (O, H', W') with added ones.
        """
        dtype = arithmetic_dtype(self.weight)
        convolve = self._modulated(style, x.n_pixels)
        injected_bias = None if self.injected_bias is None else self.injected_bias.to(dtype)

        def rows(first: int, end: int) -> Tensor:
            if self.upsample:
                top, bottom = rows_below(first, end, x.height)
                skipped = first - 2 * top
            else:
                top, bottom = max(first - 1, 0), min(end + 1, x.height)
                skipped = first - top
            injection = Injection(
                features.rows(first, end), self.injection_strength, injected_bias, skipped
            )
            return convolve(x.rows(top, bottom).to(dtype), injection)

        n_chs, height, width = features.shape
        width_factor = 1 if injected_bias is None else 2
        return LazyMap((width_factor * n_chs, height, width), dtype, x.device, rows)

    def _modulated(self, style: Tensor, n_pixels: int) -> Callable[[Tensor, Injection], Tensor]:
        """The convolution for faces of these styles, and for maps of ``n_pixels`` pixels.

        It takes rows of the decoder maps and what to inject.
        """
        scales, demodulation = self._modulation(style)
        n_faces, in_chs = scales.shape
        dtype = arithmetic_dtype(self.weight)
        bias = self.bias.to(dtype)
        convolve: Callable[..., Tensor] = ops.convolve_up if self.upsample else ops.convolve
        growth = 4 if self.upsample else 1

        if self.weight.numel() > n_pixels * (in_chs + growth * len(bias)):
            weight = self.weight.to(dtype)

            def by_activations(x: Tensor, injection: Injection) -> Tensor:
                x = x * scales.to(dtype)[:, :, None, None]
                return convolve(x, weight, bias, injection, demodulation)

            return by_activations

        weights = [self._scaled(scales[i], demodulation[i], n_pixels) for i in range(n_faces)]

        def by_weight(x: Tensor, injection: Injection) -> Tensor:
            if n_faces == 1:
                return convolve(x, weights[0], bias, injection)
            out = injection.empty_result()
            for i, weight in enumerate(weights):
                face = slice(i, i + 1)
                convolve(x[face], weight, bias, injection.for_face(i), out=out[face])
            return out

        return by_weight

    def _modulation(self, style: Tensor) -> tuple[Tensor, Tensor]:
        """Factors on the input channels (N, I), at most 1, and on the output channels (N, O).

        float32. Demodulation undoes any scale of the style, so the style is first brought to a
        maximum of 1: half precision must not overflow (as in StyleGAN3's modulated_conv2d).
        """
        scales = F.linear(style, self.modulation_weight, self.modulation_bias)
        largest = scales.abs().amax(dim=1, keepdim=True).clamp_min(1e-12)
        scales = scales / largest
        epsilon = self.epsilon / largest.square()
        demodulation = torch.rsqrt(scales.square() @ self.energy.T + epsilon)
        return scales, demodulation * ACTIVATION_GAIN

    def _scaled(
        self, scales: Tensor, demodulation: Tensor, n_pixels: int
    ) -> Tensor | winograd.WinogradFilters:
        """The weight times factors on its channels, (I,) and (O,) float32.

        It is transformed where that is quicker for a map of this size.
        """
        first, second = (scales, demodulation) if self.upsample else (demodulation, scales)
        factors = torch.outer(first, second)[:, :, None, None]
        weight = self.weight * factors.to(arithmetic_dtype(self.weight))
        if not self.upsample and winograd.pays(weight, n_pixels):
            return winograd.WinogradFilters(weight)
        return weight


class ToRgb(nn.Module):
    """Modulated 1x1 convolution to three channels, without demodulation."""

    def __init__(self, in_chs: int, style_dim: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = parameter(3, in_chs, dtype=torch.float32)
        self.bias = parameter(3, dtype=dtype)
        self.modulation_weight = parameter(in_chs, style_dim)
        self.modulation_bias = parameter(in_chs)

    def forward(
        self, x: Tensor, style: Tensor, previous: Tensor | None = None, first_row: int = 0
    ) -> Tensor:
        """Map to RGB and add to the previous RGB map, enlarged by two.

        Args:
            x: (N, I, H, W) rows of a decoder map, from ``first_row`` on.
            style: (N, style_dim) float32.
            previous: All of the previous map, (N, 3, h, W / 2) float32.
            first_row: Where the rows begin.

        Returns:
            (N, 3, H, W) float32.
        """
        scales = F.linear(style, self.modulation_weight, self.modulation_bias)
        weights = self.weight * scales[:, None, :]  # [N, 3, I]
        return ops.to_rgb(x, weights, self.bias.to(x.dtype), previous, first_row)
