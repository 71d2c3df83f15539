"""The weights that training starts from."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gpen_core import GpenConfig
from gpen_core.network.config import (
    ACTIVATION_GAIN,
    LEAKY_SLOPE,
    STYLE_LEARNING_RATE,
    expected_shapes,
    published_fir_kernel,
)

from .errors import TrainingError

_MODULATION_SPREAD = 0.05
_COPIES = 6
"""Channels of the first map that carry the picture: its three colours and their negatives."""


def start_from_identity(config: GpenConfig, seed: int) -> dict[str, Tensor]:
    """A network that returns its input and whose other channels are ready to learn.

    GPEN has no path from input to output that skips the network, so from random weights the first
    hours go into learning to copy. Here the encoder maps hold the picture and its negative, smaller
    from level to level. The largest are injected into the last layer, and its RGB layer puts the
    two together: what a leaky ReLU takes from one of them it leaves to the other. All other
    channels compute random features. No other RGB layer looks at anything yet, but each has the
    picture at its size before it.

    Returns:
        A published state dict, float32.

    Raises:
        TrainingError: The configuration has no way for the picture: too few channels at full
            resolution, or features that are added instead of concatenated.
    """
    n_chs = config.channels(config.size)
    if n_chs < _COPIES or not config.concat:
        raise TrainingError(
            f"config: expected {_COPIES} channels or more at {config.size} pixels, concatenated, "
            f"got {n_chs} and concat={config.concat}. Raise narrow."
        )
    generator = torch.Generator().manual_seed(seed)
    weights = {
        name: _first_weight(name, shape, generator)
        for name, shape in expected_shapes(config).items()
    }
    last = len(config.resolutions) - 2
    colors = torch.cat((torch.eye(3), -torch.eye(3)))  # [6, 3]
    weights["ecd0.0.0.weight"][:_COPIES, :, 0, 0] = math.sqrt(3) * colors
    for k in range(1, len(config.resolutions)):
        weight = weights[f"ecd{k}.0.1.weight"]  # [O, I, 3, 3], read by its middle alone
        weight[:_COPIES] = 0
        copied = math.sqrt(weight[0].numel()) / (ACTIVATION_GAIN * (1 + LEAKY_SLOPE))
        weight[:_COPIES, :_COPIES, 1, 1] = copied * (colors @ colors.T)
    to_rgb = weights[f"generator.to_rgbs.{last}.conv.weight"]  # [1, 3, 2 * C, 1, 1]
    # Two activations: x and -x become x * gain^2 and -x * (gain * slope)^2, or the reverse.
    copied = math.sqrt(2 * n_chs) / (ACTIVATION_GAIN**2 * (1 + LEAKY_SLOPE**2))
    to_rgb[0, :, n_chs : n_chs + _COPIES, 0, 0] = copied * colors.T
    return weights


def _first_weight(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    if name.endswith(".kernel"):
        return published_fir_kernel(name)
    if name.endswith(("noise.weight", "modulation.bias")):
        return torch.ones(shape)
    if name.endswith(".bias") or "to_rgb" in name:
        return torch.zeros(shape)
    weight = torch.randn(shape, generator=generator)
    if name.endswith("modulation.weight"):
        # Or features would mean something else for every face, and nothing could be learnt of them.
        return weight * _MODULATION_SPREAD
    return weight / STYLE_LEARNING_RATE if name.startswith("generator.style.") else weight
