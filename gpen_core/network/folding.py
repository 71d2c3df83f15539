"""Turn a published state dict into the weights that ``generator.py`` computes with.

The published files keep StyleGAN2's equalised learning rate: each weight is stored at unit
variance and multiplied by a constant at run time. Those constants, and the gain of sqrt(2) after
every leaky ReLU, are multiplied into the weights here, once: leaky ReLU commutes with positive
factors, so ``lrelu(Wx + b) * sqrt(2) == lrelu(sqrt(2)Wx + sqrt(2)b)``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from .config import GpenConfig
from .layers import ACTIVATION_GAIN, DEMODULATION_EPSILON, fir_kernel
from .normalization import encoder_scales, unit_filters

STYLE_LEARNING_RATE = 0.01


def fold_state_dict(
    published: Mapping[str, Tensor], config: GpenConfig
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Fold all constant factors into the weights.

    Args:
        published: A state dict that ``detect_config`` accepts. Not modified.
        config: What ``detect_config`` returned for it.

    Returns:
        The state dict of ``GpenGenerator`` in float32, and the strength of the feature injection
        of each styled convolution by its name in ``GpenGenerator``.
    """
    weights = {name: tensor.float() for name, tensor in published.items()}
    folded: dict[str, Tensor] = {"constant": weights["generator.input.input"]}
    strengths: dict[str, float] = {}

    def activated(name: str, source: str, bias: str, learning_rate: float = 1.0) -> None:
        weight = weights[f"{source}.weight"]
        gain = ACTIVATION_GAIN * learning_rate
        folded[f"{name}.weight"] = weight * (gain / math.sqrt(weight[0].numel()))
        folded[f"{name}.bias"] = weights[bias] * gain

    def modulation(name: str, source: str) -> None:
        weight = weights[f"{source}.conv.modulation.weight"]
        folded[f"{name}.modulation_weight"] = weight / math.sqrt(weight.shape[1])
        folded[f"{name}.modulation_bias"] = weights[f"{source}.conv.modulation.bias"]

    def styled_conv(name: str, source: str, upsample: bool) -> None:
        weight = weights[f"{source}.conv.weight"][0]
        weight, norms = unit_filters(weight / math.sqrt(weight[0].numel()))  # [O, I, 3, 3]
        folded[f"{name}.epsilon"] = DEMODULATION_EPSILON / norms.square()
        bias = weights[f"{source}.activate.bias"] * ACTIVATION_GAIN
        folded[f"{name}.energy"] = weight.square().sum(dim=(2, 3))
        folded[f"{name}.weight"] = weight.transpose(0, 1) if upsample else weight
        if config.concat:
            bias, folded[f"{name}.injected_bias"] = bias.chunk(2)
        folded[f"{name}.bias"] = bias
        strengths[name] = float(weights[f"{source}.noise.weight"]) * ACTIVATION_GAIN
        modulation(name, source)

    def to_rgb(name: str, source: str) -> None:
        weight = weights[f"{source}.conv.weight"].flatten(2)[0]
        folded[f"{name}.weight"] = weight / math.sqrt(weight.shape[1])  # [3, I]
        folded[f"{name}.bias"] = weights[f"{source}.bias"].flatten()
        modulation(name, source)

    n_resolutions = len(config.resolutions)
    activated("encoder.0", "ecd0.0.0", "ecd0.0.1.bias")
    for k in range(1, n_resolutions):
        activated(f"encoder.{k}", f"ecd{k}.0.1", f"ecd{k}.0.2.bias")
    activated("code", "final_linear.0", "final_linear.0.bias")
    for i in range(config.n_mlp):
        source = f"generator.style.{i + 1}"
        activated(f"style.{i}", source, f"{source}.bias", STYLE_LEARNING_RATE)
    styled_conv("convs.0", "generator.conv1", upsample=False)
    to_rgb("to_rgbs.0", "generator.to_rgb1")
    for i in range(n_resolutions - 1):
        styled_conv(f"convs.{2 * i + 1}", f"generator.convs.{2 * i}", upsample=True)
        styled_conv(f"convs.{2 * i + 2}", f"generator.convs.{2 * i + 1}", upsample=False)
        to_rgb(f"to_rgbs.{i + 1}", f"generator.to_rgbs.{i}")
    _normalize_encoder(folded, strengths, n_resolutions)
    return folded, strengths


def _normalize_encoder(
    folded: dict[str, Tensor], strengths: dict[str, float], n_resolutions: int
) -> None:
    """Bring the encoder's maps to an ordinary size, and undo it where they are read."""
    names = [f"encoder.{k}" for k in range(n_resolutions)]
    scales = encoder_scales((folded[f"{name}.weight"], folded[f"{name}.bias"]) for name in names)
    for name, before, scale in zip(names, [1.0, *scales[:-1]], scales, strict=True):
        folded[f"{name}.weight"] = folded[f"{name}.weight"] * (before / scale)
        folded[f"{name}.bias"] = folded[f"{name}.bias"] / scale
    folded["code.weight"] = folded["code.weight"] * scales[-1]
    strengths["convs.0"] *= scales[-1]
    for i, scale in enumerate(reversed(scales[:-1])):
        strengths[f"convs.{2 * i + 1}"] *= scale
        strengths[f"convs.{2 * i + 2}"] *= scale


def check_fir_kernels(published: Mapping[str, Tensor]) -> list[str]:
    """Names of stored FIR filters that are not the [1, 3, 3, 1] filter up to its gain."""
    wanted = fir_kernel()
    return [
        name
        for name, kernel in published.items()
        if name.endswith(".kernel")
        and not torch.allclose(kernel.float() / kernel.float().sum(), wanted, atol=1e-3)
    ]
