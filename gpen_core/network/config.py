"""All that is known of the published format of GPEN: sizes, widths, names, shapes and constants.

Network: T. Yang et al., "GAN Prior Embedded Network for Blind Face Restoration in the Wild",
CVPR 2021.

The published files keep StyleGAN2's equalised learning rate: each weight is stored at unit
variance and multiplied by a constant at run time, ``gain / sqrt(inputs of a filter)``.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

SUPPORTED_SIZES = (256, 512, 1024, 2048)
WIDE_CHANNELS = 512
"""At 4x4 to 32x32, before any factor."""
MULTIPLIED_CHANNELS = {64: 256, 128: 128, 256: 64, 512: 32, 1024: 16, 2048: 8}
"""At the resolutions to which ``channel_multiplier`` applies."""

ACTIVATION_GAIN = math.sqrt(2.0)
"""Factor after every leaky ReLU."""
LEAKY_SLOPE = 0.2
STYLE_LEARNING_RATE = 0.01
"""Factor on weights and biases of the style network."""
DEMODULATION_EPSILON = 1e-8
FIR_TAPS = (1.0, 3.0, 3.0, 1.0)
"""The low-pass filter of every resampling layer, along each axis, up to its gain."""

UNUSED_PREFIX = "generator.noises."
"""StyleGAN2's fixed noise maps, which GPEN replaces by features; some files still hold them."""


@dataclass(frozen=True)
class GpenConfig:
    """Everything in which GPEN networks differ, weights aside."""

    size: int
    """Height and width of the input and the output, in pixels."""
    channel_multiplier: float = 2
    """Factor on the channels at 64x64 and above. 2 in the published 512, 1024 and 2048 models."""
    narrow: float = 1
    """Factor on all channels. 1 in the published 512, 1024 and 2048 models, 0.5 in the 256 one."""
    n_mlp: int = 8
    """Number of linear layers in the style network."""
    style_dim: int = 512
    """Length of the style vector."""
    concat: bool = True
    """Encoder features are concatenated to the decoder's (all published models) or added."""

    def channels(self, resolution: int) -> int:
        """Channels of encoder and decoder at one resolution, before any concatenation."""
        if resolution in MULTIPLIED_CHANNELS:
            base = MULTIPLIED_CHANNELS[resolution] * self.channel_multiplier * self.narrow
        else:
            base = WIDE_CHANNELS * self.narrow
        return math.floor(base + 1e-6)

    @classmethod
    def published(cls, size: int) -> GpenConfig:
        """The configuration of the published model of a size."""
        return cls(size, 1, 0.5) if size == 256 else cls(size)

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Resolutions of the decoder, from 4 to ``size``."""
        return tuple(2**k for k in range(2, self.size.bit_length()))

    @property
    def injected_width(self) -> int:
        """Channels after injection, as a multiple of those before it."""
        return 2 if self.concat else 1

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values, for metadata and JSON."""
        return asdict(self)


def expected_shapes(config: GpenConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor in the published state dict of a network.

    The ``*.kernel`` buffers are included: the published files store the FIR filter once per layer.
    """
    size, style_dim, width = config.size, config.style_dim, config.injected_width
    shapes: dict[str, tuple[int, ...]] = {}

    for i in range(1, config.n_mlp + 1):
        shapes[f"generator.style.{i}.weight"] = (style_dim, style_dim)
        shapes[f"generator.style.{i}.bias"] = (style_dim,)
    shapes["generator.input.input"] = (1, config.channels(4), 4, 4)

    def add_styled_conv(name: str, in_chs: int, out_chs: int, upsample: bool) -> None:
        shapes[f"{name}.conv.weight"] = (1, out_chs, in_chs, 3, 3)
        shapes[f"{name}.conv.modulation.weight"] = (in_chs, style_dim)
        shapes[f"{name}.conv.modulation.bias"] = (in_chs,)
        if upsample:
            shapes[f"{name}.conv.blur.kernel"] = (4, 4)
        shapes[f"{name}.noise.weight"] = (1,)
        shapes[f"{name}.activate.bias"] = (out_chs * width,)

    def add_to_rgb(name: str, in_chs: int, upsample: bool) -> None:
        shapes[f"{name}.bias"] = (1, 3, 1, 1)
        if upsample:
            shapes[f"{name}.upsample.kernel"] = (4, 4)
        shapes[f"{name}.conv.weight"] = (1, 3, in_chs, 1, 1)
        shapes[f"{name}.conv.modulation.weight"] = (in_chs, style_dim)
        shapes[f"{name}.conv.modulation.bias"] = (in_chs,)

    in_chs = config.channels(4)
    add_styled_conv("generator.conv1", in_chs, in_chs, upsample=False)
    in_chs *= width
    add_to_rgb("generator.to_rgb1", in_chs, upsample=False)
    for i, resolution in enumerate(config.resolutions[1:]):
        out_chs = config.channels(resolution)
        add_styled_conv(f"generator.convs.{2 * i}", in_chs, out_chs, upsample=True)
        in_chs = out_chs * width
        add_styled_conv(f"generator.convs.{2 * i + 1}", in_chs, out_chs, upsample=False)
        add_to_rgb(f"generator.to_rgbs.{i}", in_chs, upsample=True)

    shapes["ecd0.0.0.weight"] = (config.channels(size), 3, 1, 1)
    shapes["ecd0.0.1.bias"] = (config.channels(size),)
    for k in range(1, len(config.resolutions)):
        in_chs, out_chs = config.channels(size >> (k - 1)), config.channels(size >> k)
        shapes[f"ecd{k}.0.0.kernel"] = (4, 4)
        shapes[f"ecd{k}.0.1.weight"] = (out_chs, in_chs, 3, 3)
        shapes[f"ecd{k}.0.2.bias"] = (out_chs,)
    shapes["final_linear.0.weight"] = (style_dim, config.channels(4) * 16)
    shapes["final_linear.0.bias"] = (style_dim,)
    return shapes


def fir_kernel(gain: float = 1.0) -> Tensor:
    """The low-pass filter as a (4, 4) kernel, float32, with sum ``gain``."""
    taps = torch.tensor(FIR_TAPS)
    kernel = torch.outer(taps, taps)
    return kernel * (gain / kernel.sum())


def published_fir_kernel(name: str) -> Tensor:
    """The filter as the buffer ``name`` of a published state dict holds it."""
    return fir_kernel(gain=1.0 if name.startswith("ecd") else 4.0)
