"""Checkpoints that nobody trained: random ones, and one that makes the network return its input.

They exercise the code where the weights do not matter; training starts from the second. Neither
restores anything.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import SettingError
from .config import ACTIVATION_GAIN, GpenConfig, expected_shapes, published_fir_kernel

# Added to the input while it passes the leaky ReLUs. Input beyond [-1, 1] that antialiased
# resampling may overshoot to stays positive too.
_OFFSET = 2.0


def random_state_dict(config: GpenConfig, seed: int = 0) -> dict[str, Tensor]:
    """A published state dict of random weights, float32, at the scale of trained ones.

    All tensors that training moves away from their initial value are random too (biases,
    injection strengths), so that a mistake in any of them shows in the output.
    """
    generator = torch.Generator().manual_seed(seed)
    state_dict: dict[str, Tensor] = {}
    for name, shape in expected_shapes(config).items():
        noise = torch.randn(shape, generator=generator)
        if name.endswith(".kernel"):
            state_dict[name] = published_fir_kernel(name)
        elif name.endswith("modulation.bias"):
            state_dict[name] = 1.0 + 0.1 * noise
        elif name.endswith("noise.weight"):
            state_dict[name] = 0.5 + 0.1 * noise
        elif name.startswith("generator.style.") and name.endswith(".weight"):
            state_dict[name] = 100.0 * noise
        elif name.endswith("bias"):
            state_dict[name] = 0.1 * noise
        else:
            state_dict[name] = noise
    return state_dict


def identity_state_dict(config: GpenConfig) -> dict[str, Tensor]:
    """A published state dict with which the network returns its input, to rounding.

    The first encoder convolution lifts the image above zero, its map is injected at full
    resolution into the last styled convolution, and the last RGB layer takes it down again;
    everything else is zero.

    Raises:
        SettingError: Features are added instead of concatenated and so cannot bypass the decoder,
            or fewer than three channels exist at full resolution.
    """
    n_chs = config.channels(config.size)
    if not config.concat or n_chs < 3:
        raise SettingError(
            f"config: expected concatenating injection and 3 channels at {config.size}, got "
            f"concat={config.concat} and {n_chs} channels. Raise narrow or channel_multiplier."
        )
    state_dict = {
        name: published_fir_kernel(name) if name.endswith(".kernel") else torch.zeros(shape)
        for name, shape in expected_shapes(config).items()
    }
    rgb = torch.arange(3)

    # Encoder: f = sqrt(2) * (image + offset); stored weights are divided by sqrt(fan-in = 3).
    state_dict["ecd0.0.0.weight"][rgb, rgb, 0, 0] = 3**0.5
    state_dict["ecd0.0.1.bias"][rgb] = _OFFSET

    # Last styled convolution: concatenates f as it is, and again multiplies by sqrt(2).
    last = len(config.resolutions) - 2
    state_dict[f"generator.convs.{2 * last + 1}.noise.weight"].fill_(1.0)

    # Last RGB layer: half of the injected channels, less the offset. Modulation by a style of one.
    in_chs = 2 * n_chs
    to_rgb = f"generator.to_rgbs.{last}"
    state_dict[f"{to_rgb}.conv.modulation.bias"].fill_(1.0)
    state_dict[f"{to_rgb}.conv.weight"][0, rgb, n_chs + rgb] = in_chs**0.5 / ACTIVATION_GAIN**2
    state_dict[f"{to_rgb}.bias"].fill_(-_OFFSET)
    return state_dict
