"""The layers of GPEN, arranged for inference.

They compute what StyleGAN2's layers compute (T. Karras et al., "Analyzing and Improving the Image
Quality of StyleGAN", CVPR 2020), with every constant factor folded into the weights beforehand
(``folding.py``) and with modulation applied to whichever is smaller, weights or activations.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import winograd
from .acceleration import uses_kernels
from .config import ACTIVATION_GAIN, LEAKY_SLOPE, fir_kernel
from .fused import forward as fused
from .precision import arithmetic_dtype

Rows = Callable[[int, int], Tensor]
"""Rows of a map of one face: the first and the one past the last -> (1, C, end - first, W)."""


class Blur(nn.Module):
    """The FIR filter on every channel by itself, with zero padding."""

    kernel: Tensor

    def __init__(self, channels: int, padding: int, gain: float, dtype: torch.dtype) -> None:
        super().__init__()
        self.padding = padding
        kernel = fir_kernel(gain).to(dtype).expand(channels, 1, 4, 4).contiguous()
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """(N, C, H, W) -> (N, C, H + 2 * padding - 3, W + 2 * padding - 3), plus (C,) ``bias``."""
        kernel = self.kernel.to(x.dtype)
        return F.conv2d(x, kernel, bias, padding=self.padding, groups=x.shape[1])


def upsample_rgb(rgb: Tensor) -> Tensor:
    """Double (N, C, H, W) in height and width by zero-stuffing and the FIR filter with gain 4.

    Inside the image that is bilinear interpolation; at the border it fades into zeros.
    """
    doubled = F.interpolate(F.pad(rgb, (1, 1, 1, 1)), scale_factor=2, mode="bilinear")
    return doubled[..., 2:-2, 2:-2]


def upsampled_rgb_rows(rgb: Tensor, first: int, end: int) -> Tensor:
    """Rows ``first`` to ``end`` of ``upsample_rgb(rgb)``."""
    top, bottom = _source_rows(first, end, rgb.shape[2])
    return upsample_rgb(rgb[:, :, top:bottom])[:, :, first - 2 * top : end - 2 * top]


def rows_of(x: Tensor) -> Rows:
    """The rows of a map that is there."""
    return lambda first, end: x[:, :, first:end]


def _source_rows(first: int, end: int, height: int) -> tuple[int, int]:
    """Rows of a map of ``height`` rows that rows ``first`` to ``end`` of its double depend on."""
    return max(first // 2 - 1, 0), min((end + 1) // 2 + 1, height)


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
        self.blur = Blur(in_chs, padding=2, gain=1.0, dtype=dtype) if downsample else None
        self.weight = parameter(out_chs, in_chs, kernel_size, kernel_size, dtype=dtype)
        self.bias = parameter(out_chs, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, H, W), or half of H and W where it downsamples."""
        x = x.to(arithmetic_dtype(self.weight))
        if uses_kernels(x):
            return fused.encoder_block(self, x)
        return self._convolve(x if self.blur is None else self.blur(x))

    def rows(self, x: Rows, height: int, first: int, end: int) -> Tensor:
        """Rows ``first`` to ``end`` of the result for a map ``x`` of ``height`` rows."""
        dtype = arithmetic_dtype(self.weight)
        if self.blur is None:
            return self._convolve(x(first, end).to(dtype))
        top, bottom = max(2 * first - 2, 0), min(2 * end + 2, height)
        blurred = self.blur(x(top, bottom).to(dtype))
        return self._convolve(blurred[:, :, 2 * first - top : 2 * end + 1 - top])

    def _convolve(self, x: Tensor) -> Tensor:
        stride = 1 if self.blur is None else 2
        y = F.conv2d(x, self.weight.to(x.dtype), self.bias.to(x.dtype), stride)
        return F.leaky_relu_(y, LEAKY_SLOPE)


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
        self.concat = concat
        self.out_chs = out_chs
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
        self.blur = Blur(out_chs, padding=1, gain=4.0, dtype=dtype) if upsample else None

    def forward(self, x: Tensor, style: Tensor, features: Tensor) -> Tensor:
        """Convolve, inject and activate.

        Args:
            x: (N, I, H, W) decoder map.
            style: (N, style_dim) float32.
            features: (N, O, H', W') encoder map; H', W' are 2H, 2W where the layer upsamples.

        Returns:
            (N, 2 * O, H', W') with concatenated features, (N, O, H', W') with added ones.
        """
        x = x.to(arithmetic_dtype(self.weight))
        if uses_kernels(x):
            return fused.styled_conv(self, x, style, features)
        return self._inject(self._convolve(x, *self._modulation(style)), features)

    def rows(
        self, x: Rows, height: int, weight: Tensor, features: Rows, first: int, end: int
    ) -> Tensor:
        """Rows ``first`` to ``end`` of the result for one face.

        Args:
            x: The decoder map.
            height: Its number of rows.
            weight: What ``modulated_weight`` returned.
            features: The encoder map.
            first: First row wanted.
            end: The one past the last.
        """
        if self.upsample:
            top, bottom = _source_rows(first, end, height)
            skipped = first - 2 * top
        else:
            top, bottom = max(first - 1, 0), min(end + 1, height)
            skipped = first - top
        y = self._convolve_modulated(x(top, bottom).to(weight.dtype), weight)
        return self._inject(y[:, :, skipped : skipped + end - first], features(first, end))

    def modulated_weight(self, style: Tensor, n_pixels: int) -> Tensor:
        """What ``rows`` takes for one face, by its style (1, style_dim) and the size of its map."""
        scales, demodulation = self._modulation(style)
        return self._modulate(scales[0], demodulation[0], n_pixels)

    def _inject(self, y: Tensor, features: Tensor) -> Tensor:
        """Bring in the encoder's features and activate. ``y`` is used up."""
        if not self.concat:
            y.add_(features, alpha=self.injection_strength)
            return F.leaky_relu_(y, LEAKY_SLOPE)
        n, _, height, width = y.shape
        out = y.new_empty(n, height, width, 2 * self.out_chs).permute(0, 3, 1, 2)
        decoded, injected = out.chunk(2, dim=1)
        torch.ops.aten.leaky_relu.out(y, LEAKY_SLOPE, out=decoded)
        assert self.injected_bias is not None
        torch.add(
            self.injected_bias.to(y.dtype).view(1, -1, 1, 1),
            features,
            alpha=self.injection_strength,
            out=injected,
        )
        F.leaky_relu_(injected, LEAKY_SLOPE)
        return out

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

    def _convolve(self, x: Tensor, scales: Tensor, demodulation: Tensor) -> Tensor:
        height, width = x.shape[2:]
        growth = 4 if self.upsample else 1
        n_activations = height * width * (x.shape[1] + growth * self.out_chs)
        if self.weight.numel() > n_activations:
            return self._convolve_scaled_activations(x, scales, demodulation)
        outputs = [
            self._convolve_modulated(
                x[i : i + 1], self._modulate(scales[i], demodulation[i], height * width)
            )
            for i in range(x.shape[0])
        ]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)

    def _modulate(self, scales: Tensor, demodulation: Tensor, n_pixels: int) -> Tensor:
        """The weight times factors on its channels, (I,) and (O,) float32.

        It is transformed where that is quicker for a map of so many pixels.
        """
        first, second = (scales, demodulation) if self.upsample else (demodulation, scales)
        factors = torch.outer(first, second)[:, :, None, None]
        weight = self.weight * factors.to(arithmetic_dtype(self.weight))
        if not self.upsample and winograd.pays(weight, n_pixels):
            return winograd.transform_weight(weight)
        return weight

    def _convolve_modulated(self, x: Tensor, weight: Tensor) -> Tensor:
        bias = self.bias.to(x.dtype)
        if self.blur is not None:
            return self.blur.forward(F.conv_transpose2d(x, weight, stride=2), bias)
        if weight.ndim == 3:
            return winograd.convolve(x, weight, bias)
        return F.conv2d(x, weight, bias, padding=1)

    def _convolve_scaled_activations(
        self, x: Tensor, scales: Tensor, demodulation: Tensor
    ) -> Tensor:
        x = x * scales.to(x.dtype)[:, :, None, None]
        demodulation = demodulation.to(x.dtype)[:, :, None, None]
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        if self.blur is not None:
            y = F.conv_transpose2d(x, weight, stride=2)
            return self.blur.forward(y.mul_(demodulation), bias)
        y = F.conv2d(x, weight, padding=1)
        return torch.addcmul(bias.view(1, -1, 1, 1), y, demodulation)


class ToRgb(nn.Module):
    """Modulated 1x1 convolution to three channels, without demodulation."""

    def __init__(self, in_chs: int, style_dim: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = parameter(3, in_chs, dtype=torch.float32)
        self.bias = parameter(3, dtype=dtype)
        self.modulation_weight = parameter(in_chs, style_dim)
        self.modulation_bias = parameter(in_chs)

    def forward(self, x: Tensor, style: Tensor, previous: Tensor | None = None) -> Tensor:
        """Map to RGB and add to the previous RGB map, enlarged by two.

        Args:
            x: (N, I, H, W) decoder map.
            style: (N, style_dim) float32.
            previous: (N, 3, H / 2, W / 2) float32.

        Returns:
            (N, 3, H, W) float32.
        """
        if uses_kernels(x):
            return fused.to_rgb(self, x, style, previous)
        weights = self.modulated_weights(style)
        rgb = [self.convolve(x[i : i + 1], weights[i]) for i in range(x.shape[0])]
        summed = rgb[0] if len(rgb) == 1 else torch.cat(rgb)
        return summed if previous is None else summed.add_(upsample_rgb(previous))

    def modulated_weights(self, style: Tensor) -> Tensor:
        """The weight for each face, (N, 3, I, 1, 1), by their styles (N, style_dim)."""
        scales = F.linear(style, self.modulation_weight, self.modulation_bias)
        return (self.weight * scales[:, None, :]).to(arithmetic_dtype(self.bias))[..., None, None]

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        """One face (1, I, H, W) by its weight -> (1, 3, H, W) float32."""
        return F.conv2d(x, weight, self.bias.to(x.dtype)).float()
