"""GPEN as a differentiable function of a published state dict.

The weights stay as the checkpoints store them (names, shapes, equalised learning rate), so that
what is trained is what is saved, and any checkpoint can be trained on. ``gpen_core.network``
rearranges the same arithmetic for inference and takes no gradients.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from gpen_core import GpenConfig
from gpen_core.network.config import (
    ACTIVATION_GAIN,
    DEMODULATION_EPSILON,
    FIR_TAPS,
    LEAKY_SLOPE,
    STYLE_LEARNING_RATE,
)

Weights = Mapping[str, Tensor]
"""Published names -> tensors; those that require gradients receive them."""

_BATCHED_UP_TO = 64
"""Larger maps go through the decoder one face at a time on a CPU: they outgrow its caches."""


def restore(weights: Weights, config: GpenConfig, images: Tensor) -> Tensor:
    """Run the network.

    Args:
        weights: A published state dict; ``*.kernel`` buffers are not looked at.
        config: Its configuration.
        images: (N, 3, S, S) in [-1, 1].

    Returns:
        (N, 3, S, S), about in [-1, 1].
    """
    n_levels = len(config.resolutions)
    x, features = images, []
    for k in range(n_levels):
        x = _encoder_block(weights, k, x)
        features.append(x)
    style = _linear(weights, "final_linear.0", x.flatten(1))
    style = style * torch.rsqrt(style.square().mean(dim=1, keepdim=True) + 1e-8)
    for i in range(config.n_mlp):
        style = _linear(weights, f"generator.style.{i + 1}", style, STYLE_LEARNING_RATE)

    deepest = features[-1]
    constant = weights["generator.input.input"].expand(len(images), -1, -1, -1)
    x = _styled_conv(weights, "generator.conv1", constant.to(deepest.dtype), style, deepest)
    rgb = _to_rgb(weights, "generator.to_rgb1", x, style)

    def decode(
        x: Tensor, rgb: Tensor, styles: Tensor, maps: Sequence[Tensor], first: int
    ) -> Tensor:
        """Through the levels of the ``maps``, or to the first large one and then face by face."""
        for level, feature in enumerate(maps, first):
            if len(x) > 1 and x.device.type == "cpu" and feature.shape[2] > _BATCHED_UP_TO:
                rest = zip(*(torch.split(f, 1) for f in maps[level - first :]), strict=True)
                parts = zip(*(torch.split(t, 1) for t in (x, rgb, styles)), strict=True)
                faces = [(*part, list(f), level) for part, f in zip(parts, rest, strict=True)]
                return torch.cat([decode(*face) for face in faces])
            x = _styled_conv(weights, f"generator.convs.{2 * level}", x, styles, feature, up=True)
            x = _styled_conv(weights, f"generator.convs.{2 * level + 1}", x, styles, feature)
            rgb = _to_rgb(weights, f"generator.to_rgbs.{level}", x, styles) + _upsample_rgb(rgb)
        return rgb

    return decode(x, rgb, style, features[-2::-1], 0)


def _gained(weight: Tensor, bias: Tensor, gain: float = 1.0) -> tuple[Tensor, Tensor]:
    """Weight and bias with the constant of equalised learning rates and the activation's gain."""
    gain *= ACTIVATION_GAIN
    return weight * (gain / math.sqrt(weight[0].numel())), bias * gain


def _linear(weights: Weights, name: str, x: Tensor, learning_rate: float = 1.0) -> Tensor:
    weight, bias = _gained(weights[f"{name}.weight"], weights[f"{name}.bias"], learning_rate)
    return F.leaky_relu(F.linear(x, weight, bias), LEAKY_SLOPE)


def _fir(x: Tensor, padding: int, gain: float, bias: Tensor | None = None) -> Tensor:
    """The low-pass filter on every channel, with zero padding."""
    taps = torch.tensor(FIR_TAPS, dtype=x.dtype, device=x.device)
    taps = taps / taps.sum() * math.sqrt(gain)
    n = x.shape[1]
    kernel = torch.outer(taps, taps).expand(n, 1, 4, 4)
    return F.conv2d(x, kernel, bias, padding=padding, groups=n)


def _encoder_block(weights: Weights, k: int, x: Tensor) -> Tensor:
    place = int(k > 0)
    weight, bias = _gained(
        weights[f"ecd{k}.0.{place}.weight"], weights[f"ecd{k}.0.{place + 1}.bias"]
    )
    x = F.conv2d(_fir(x, 2, 1.0), weight, bias, stride=2) if k else F.conv2d(x, weight, bias)
    return F.leaky_relu(x, LEAKY_SLOPE)


def _modulation(weights: Weights, name: str, style: Tensor) -> Tensor:
    weight, bias = (weights[f"{name}.conv.modulation.{part}"] for part in ("weight", "bias"))
    return F.linear(style, weight / math.sqrt(weight.shape[1]), bias)


def _styled_conv(
    weights: Weights, name: str, x: Tensor, style: Tensor, feature: Tensor, up: bool = False
) -> Tensor:
    """Modulated convolution, injection of the encoder's ``feature``, bias and activation."""
    weight = weights[f"{name}.conv.weight"][0]  # [O, I, 3, 3]
    constant = 1 / weight[0].numel()
    scales = _modulation(weights, name, style)  # [N, I]
    energy = weight.square().sum(dim=(2, 3)) * constant
    norms = torch.rsqrt(scales.square() @ energy.T + DEMODULATION_EPSILON)  # [N, O]
    norms = norms * (math.sqrt(constant) * ACTIVATION_GAIN)
    bias = (weights[f"{name}.activate.bias"] * ACTIVATION_GAIN).to(x.dtype)
    biases = torch.split(bias, len(weight))
    strength = (weights[f"{name}.noise.weight"] * ACTIVATION_GAIN).to(x.dtype)
    if len(x) == 1:  # modulate the weights, which are fewer than the activations
        weight = weight * torch.outer(norms[0], scales[0])[:, :, None, None]
        y = _convolve(x, weight, biases[0], up)
    else:
        y = _convolve(x * scales[:, :, None, None].to(x.dtype), weight, None, up)
        y = torch.addcmul(biases[0][:, None, None], y, norms[:, :, None, None].to(x.dtype))
    if len(biases) == 1:
        return F.leaky_relu(y + strength * feature, LEAKY_SLOPE)
    injected = torch.addcmul(biases[1][:, None, None], feature, strength[:, None, None])
    return F.leaky_relu(torch.cat((y, injected), dim=1), LEAKY_SLOPE)


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None, up: bool) -> Tensor:
    """3x3 at the same size, or to twice the size by a transposed one and the filter."""
    if not up:
        return F.conv2d(x, weight, bias, padding=1)
    return _fir(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), 1, 4.0, bias)


def _to_rgb(weights: Weights, name: str, x: Tensor, style: Tensor) -> Tensor:
    weight = weights[f"{name}.conv.weight"][0, :, :, 0, 0]  # [3, I]
    scales = _modulation(weights, name, style) / math.sqrt(weight.shape[1])
    weight = weight * scales[:, None, :]  # [N, 3, I]
    rgb = torch.bmm(weight.to(x.dtype), x.flatten(2)).view(-1, 3, *x.shape[2:])
    return rgb.float() + weights[f"{name}.bias"]


def _upsample_rgb(rgb: Tensor) -> Tensor:
    """Zero-stuffing and the FIR filter with gain 4: bilinear, fading into zeros at the border."""
    doubled = F.interpolate(F.pad(rgb, (1, 1, 1, 1)), scale_factor=2, mode="bilinear")
    return doubled[..., 2:-2, 2:-2]
