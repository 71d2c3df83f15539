"""The layers of GPEN, arranged for inference.

They compute what StyleGAN2's layers compute (T. Karras et al., "Analyzing and Improving the Image
Quality of StyleGAN", CVPR 2020), with every constant factor folded into the weights beforehand
(``folding.py``) and with modulation applied to whichever is smaller, weights or activations.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .acceleration import uses_kernels
from .config import FIR_TAPS
from .fused import forward as fused

LEAKY_SLOPE = 0.2
ACTIVATION_GAIN = math.sqrt(2.0)
DEMODULATION_EPSILON = 1e-8


def fir_kernel(gain: float = 1.0) -> Tensor:
    """The (4, 4) low-pass filter of every resampling layer, float32, with sum ``gain``."""
    taps = torch.tensor(FIR_TAPS)
    kernel = torch.outer(taps, taps)
    return kernel * (gain / kernel.sum())


def published_fir_kernel(name: str) -> Tensor:
    """The filter as the buffer ``name`` of a published state dict holds it."""
    return fir_kernel(gain=1.0 if name.startswith("ecd") else 4.0)


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
        return F.conv2d(x, self.kernel, bias, padding=self.padding, groups=x.shape[1])


def upsample_rgb(rgb: Tensor) -> Tensor:
    """Double (N, C, H, W) in height and width by zero-stuffing and the FIR filter with gain 4.

    Inside the image that is bilinear interpolation; at the border it fades into zeros.
    """
    doubled = F.interpolate(F.pad(rgb, (1, 1, 1, 1)), scale_factor=2, mode="bilinear")
    return doubled[..., 2:-2, 2:-2]


def parameter(*shape: int, dtype: torch.dtype = torch.float32) -> nn.Parameter:
    """An uninitialised weight that takes no gradient; 4-D ones lie channels-last."""
    weight = torch.empty(shape, dtype=dtype)
    if len(shape) == 4:
        weight = weight.contiguous(memory_format=torch.channels_last)
    return nn.Parameter(weight, requires_grad=False)


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
        if uses_kernels(x):
            return fused.encoder_block(self, x)
        if self.blur is None:
            y = F.conv2d(x, self.weight, self.bias)
        else:
            y = F.conv2d(self.blur(x), self.weight, self.bias, stride=2)
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
        if uses_kernels(x):
            return fused.styled_conv(self, x, style, features)
        y = self._convolve(x, *self._modulation(style))
        if not self.concat:
            y.add_(features, alpha=self.injection_strength)
            return F.leaky_relu_(y, LEAKY_SLOPE)
        n, _, height, width = y.shape
        out = y.new_empty(
            (n, 2 * self.out_chs, height, width),
        ).contiguous(memory_format=torch.channels_last)
        decoded, injected = out.chunk(2, dim=1)
        torch.ops.aten.leaky_relu.out(y, LEAKY_SLOPE, out=decoded)
        assert self.injected_bias is not None
        torch.add(
            self.injected_bias.view(1, -1, 1, 1),
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
            self._convolve_scaled_weight(x[i : i + 1], scales[i], demodulation[i])
            for i in range(x.shape[0])
        ]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)

    def _convolve_scaled_weight(self, x: Tensor, scales: Tensor, demodulation: Tensor) -> Tensor:
        if self.blur is not None:
            factors = torch.outer(scales, demodulation).to(x.dtype)[:, :, None, None]
            y = F.conv_transpose2d(x, self.weight * factors, stride=2)
            return self.blur.forward(y, self.bias)
        factors = torch.outer(demodulation, scales).to(x.dtype)[:, :, None, None]
        return F.conv2d(x, self.weight * factors, self.bias, padding=1)

    def _convolve_scaled_activations(
        self, x: Tensor, scales: Tensor, demodulation: Tensor
    ) -> Tensor:
        x = x * scales.to(x.dtype)[:, :, None, None]
        demodulation = demodulation.to(x.dtype)[:, :, None, None]
        if self.blur is not None:
            y = F.conv_transpose2d(x, self.weight, stride=2)
            return self.blur.forward(y.mul_(demodulation), self.bias)
        y = F.conv2d(x, self.weight, padding=1)
        return torch.addcmul(self.bias.view(1, -1, 1, 1), y, demodulation)


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
        scales = F.linear(style, self.modulation_weight, self.modulation_bias)
        weights = (self.weight * scales[:, None, :]).to(x.dtype)[..., None, None]  # [N, 3, I, 1, 1]
        rgb = [F.conv2d(x[i : i + 1], weights[i], self.bias) for i in range(x.shape[0])]
        summed = (rgb[0] if len(rgb) == 1 else torch.cat(rgb)).float()
        return summed if previous is None else summed.add_(upsample_rgb(previous))
