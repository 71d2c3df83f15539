"""Turn a published state dict into the weights that ``generator.py`` computes with.

The constants of the equalised learning rate, and the gain of sqrt(2) after every leaky ReLU, are
multiplied into the weights here, once: leaky ReLU commutes with positive factors, so
``lrelu(Wx + b) * sqrt(2) == lrelu(sqrt(2)Wx + sqrt(2)b)``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import cast

import torch
from torch import Tensor

from .config import ACTIVATION_GAIN, DEMODULATION_EPSILON, STYLE_LEARNING_RATE
from .generator import GpenGenerator
from .layers import StyledConv
from .normalization import encoder_scales

_FILTERS_AT_ONCE = 16  # turned: what is read stays in the cache until all of it is written


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

    def fill(name: str, source: Tensor, factor: float | Tensor = 1.0) -> None:
        target = unfilled.pop(name)
        out = _rows_of_channels(target) if target.ndim == 4 else target
        torch.mul(source.float(), factor, out=out)

    def fill_turned(name: str, source: Tensor, factor: Tensor) -> None:
        """Fill (I, O, k, k) from (O, I, k * k), by a factor on each of O."""
        out = _rows_of_channels(unfilled.pop(name))
        parts = (torch.split(values, _FILTERS_AT_ONCE) for values in (source, factor))
        for part, of_part, turned in zip(
            *parts, torch.split(out, _FILTERS_AT_ONCE, dim=2), strict=True
        ):
            torch.mul(part.float().permute(1, 2, 0), of_part, out=turned)

    def linear(name: str, source: str, learning_rate: float = 1.0, scale: float = 1.0) -> None:
        weight = published[f"{source}.weight"]
        gain = ACTIVATION_GAIN * learning_rate
        fill(f"{name}.weight", weight, scale * gain / math.sqrt(weight.shape[1]))
        fill(f"{name}.bias", published[f"{source}.bias"], gain)

    def encoder_block(k: int, read: float, written: float) -> None:
        weight, bias = _encoder_layer(published, k)
        gain = ACTIVATION_GAIN / written
        rows = weight.flatten(2).transpose(1, 2)  # [O, k * k, I]
        fill(f"encoder.{k}.weight", rows, read * gain / math.sqrt(weight[0].numel()))
        fill(f"encoder.{k}.bias", bias, gain)

    def modulation(name: str, source: str) -> None:
        weight = published[f"{source}.conv.modulation.weight"]
        fill(f"{name}.modulation_weight", weight, 1 / math.sqrt(weight.shape[1]))
        fill(f"{name}.modulation_bias", published[f"{source}.conv.modulation.bias"])

    def styled_conv(index: int, source: str, upsample: bool, read: float) -> None:
        name = f"convs.{index}"
        weight = published[f"{source}.conv.weight"][0].flatten(2)  # [O, I, 9]
        energy = torch.linalg.vector_norm(weight.float(), dim=2).square_()
        # Filters of unit norm, as StyleGAN3 has them: demodulation undoes any factor on them.
        norms = energy.sum(dim=1).sqrt()
        norms = torch.where(norms > 0, norms, 1.0)
        fill(f"{name}.energy", energy, norms.square().reciprocal()[:, None])
        if upsample:
            fill_turned(f"{name}.weight", weight, norms.reciprocal())
        else:
            fill(f"{name}.weight", weight.transpose(1, 2), norms.reciprocal()[:, None, None])
        equalised = norms.square() / weight[0].numel()  # what the published network would have
        fill(f"{name}.epsilon", DEMODULATION_EPSILON / equalised)
        bias = published[f"{source}.activate.bias"]
        if config.concat:
            bias, injected_bias = bias.chunk(2)
            fill(f"{name}.injected_bias", injected_bias, ACTIVATION_GAIN)
        fill(f"{name}.bias", bias, ACTIVATION_GAIN)
        strength = float(published[f"{source}.noise.weight"]) * ACTIVATION_GAIN * read
        cast(StyledConv, network.convs[index]).injection_strength = strength
        modulation(name, source)

    def to_rgb(name: str, source: str) -> None:
        weight = published[f"{source}.conv.weight"].flatten(2)[0]  # [3, I]
        fill(f"{name}.weight", weight, 1 / math.sqrt(weight.shape[1]))
        fill(f"{name}.bias", published[f"{source}.bias"].flatten())
        modulation(name, source)

    n_resolutions = len(config.resolutions)
    fill("constant", published["generator.input.input"].flatten(2).transpose(1, 2))
    scales = encoder_scales(_encoder_sizes(published, n_resolutions))
    for k, (read, written) in enumerate(zip([1.0, *scales[:-1]], scales, strict=True)):
        encoder_block(k, read, written)
    linear("code", "final_linear.0", scale=scales[-1])
    for i in range(config.n_mlp):
        linear(f"style.{i}", f"generator.style.{i + 1}", STYLE_LEARNING_RATE)
    styled_conv(0, "generator.conv1", False, scales[-1])
    to_rgb("to_rgbs.0", "generator.to_rgb1")
    for i, read in enumerate(reversed(scales[:-1])):
        styled_conv(2 * i + 1, f"generator.convs.{2 * i}", True, read)
        styled_conv(2 * i + 2, f"generator.convs.{2 * i + 1}", False, read)
        to_rgb(f"to_rgbs.{i + 1}", f"generator.to_rgbs.{i}")
    assert not unfilled, unfilled.keys()


def _encoder_layer(published: Mapping[str, Tensor], k: int) -> tuple[Tensor, Tensor]:
    """Weight and bias of an encoder block, as published; those that halve begin with a filter."""
    place = int(k > 0)
    return published[f"ecd{k}.0.{place}.weight"], published[f"ecd{k}.0.{place + 1}.bias"]


def _encoder_sizes(published: Mapping[str, Tensor], n_blocks: int) -> Iterator[tuple[float, float]]:
    """The rms norm of each encoder block's filters and its largest bias, all gains folded in."""
    for k in range(n_blocks):
        weight, bias = _encoder_layer(published, k)
        energy = float(torch.linalg.vector_norm(weight.float())) ** 2 / weight.numel()
        yield ACTIVATION_GAIN * math.sqrt(energy), ACTIVATION_GAIN * float(bias.abs().amax())


def _rows_of_channels(weight: Tensor) -> Tensor:
    """A channels-last (A, B, k, k) as the (A, k * k, B) that lies in memory."""
    return weight.permute(0, 2, 3, 1).flatten(1, 2)
