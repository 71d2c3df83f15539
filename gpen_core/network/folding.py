"""Turn a published state dict into the weights that ``generator.py`` computes with.

The published files keep StyleGAN2's equalised learning rate: each weight is stored at unit
variance and multiplied by a constant at run time. Those constants, and the gain of sqrt(2) after
every leaky ReLU, are multiplied into the weights here, once: leaky ReLU commutes with positive
factors, so ``lrelu(Wx + b) * sqrt(2) == lrelu(sqrt(2)Wx + sqrt(2)b)``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from .layers import ACTIVATION_GAIN, StyledConv, fir_kernel

if TYPE_CHECKING:
    from .generator import GpenGenerator

STYLE_LEARNING_RATE = 0.01


@torch.no_grad()
def fill_network(network: GpenGenerator, published: Mapping[str, Tensor]) -> None:
    """Fill a network with weights, all constant factors folded in.

    Each weight is read once and written once, to where and how it is used: that takes about as
    long as reading the file.

    Args:
        network: Of the configuration that ``detect_config`` returned for the state dict.
        published: A state dict that ``detect_config`` accepts. Not modified.
    """
    config = network.config
    unfilled = dict(network.named_parameters())

    def fill(name: str, source: Tensor, factor: float = 1.0) -> None:
        target = unfilled.pop(name)
        out = _rows_of_channels(target) if target.ndim == 4 else target
        torch.mul(source.float(), factor, out=out)

    def activated(name: str, source: str, bias: str, learning_rate: float = 1.0) -> None:
        weight = published[f"{source}.weight"]
        gain = ACTIVATION_GAIN * learning_rate
        fan_in = weight[0].numel()
        if weight.ndim == 4:
            weight = weight.flatten(2).transpose(1, 2)  # [O, k * k, I]
        fill(f"{name}.weight", weight, gain / math.sqrt(fan_in))
        fill(f"{name}.bias", published[bias], gain)

    def modulation(name: str, source: str) -> None:
        weight = published[f"{source}.conv.modulation.weight"]
        fill(f"{name}.modulation_weight", weight, 1 / math.sqrt(weight.shape[1]))
        fill(f"{name}.modulation_bias", published[f"{source}.conv.modulation.bias"])

    def styled_conv(index: int, source: str, upsample: bool) -> None:
        name = f"convs.{index}"
        weight = published[f"{source}.conv.weight"][0].flatten(2)  # [O, I, 9]
        scale = 1 / math.sqrt(weight[0].numel())
        fill(
            f"{name}.energy", torch.einsum("oik,oik->oi", weight.float(), weight.float()), scale**2
        )
        fill(
            f"{name}.weight",
            weight.permute(1, 2, 0) if upsample else weight.transpose(1, 2),
            scale,
        )
        bias = published[f"{source}.activate.bias"]
        if config.concat:
            bias, injected_bias = bias.chunk(2)
            fill(f"{name}.injected_bias", injected_bias, ACTIVATION_GAIN)
        fill(f"{name}.bias", bias, ACTIVATION_GAIN)
        strength = float(published[f"{source}.noise.weight"])
        cast(StyledConv, network.convs[index]).injection_strength = strength * ACTIVATION_GAIN
        modulation(name, source)

    def to_rgb(name: str, source: str) -> None:
        weight = published[f"{source}.conv.weight"].flatten(2)[0]  # [3, I]
        fill(f"{name}.weight", weight, 1 / math.sqrt(weight.shape[1]))
        fill(f"{name}.bias", published[f"{source}.bias"].flatten())
        modulation(name, source)

    n_resolutions = len(config.resolutions)
    fill("constant", published["generator.input.input"].flatten(2).transpose(1, 2))
    activated("encoder.0", "ecd0.0.0", "ecd0.0.1.bias")
    for k in range(1, n_resolutions):
        activated(f"encoder.{k}", f"ecd{k}.0.1", f"ecd{k}.0.2.bias")
    activated("code", "final_linear.0", "final_linear.0.bias")
    for i in range(config.n_mlp):
        source = f"generator.style.{i + 1}"
        activated(f"style.{i}", source, f"{source}.bias", STYLE_LEARNING_RATE)
    styled_conv(0, "generator.conv1", upsample=False)
    to_rgb("to_rgbs.0", "generator.to_rgb1")
    for i in range(n_resolutions - 1):
        styled_conv(2 * i + 1, f"generator.convs.{2 * i}", upsample=True)
        styled_conv(2 * i + 2, f"generator.convs.{2 * i + 1}", upsample=False)
        to_rgb(f"to_rgbs.{i + 1}", f"generator.to_rgbs.{i}")
    assert not unfilled, unfilled.keys()


def _rows_of_channels(weight: Tensor) -> Tensor:
    """A channels-last (A, B, k, k) as the (A, k * k, B) that lies in memory."""
    return weight.permute(0, 2, 3, 1).flatten(1, 2)


def check_fir_kernels(published: Mapping[str, Tensor]) -> list[str]:
    """Names of stored FIR filters that are not the [1, 3, 3, 1] filter up to its gain."""
    wanted = fir_kernel()
    return [
        name
        for name, kernel in published.items()
        if name.endswith(".kernel")
        and not torch.allclose(kernel.float() / kernel.float().sum(), wanted, atol=1e-3)
    ]
