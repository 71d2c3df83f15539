"""What networks are run on, and networks on the stand-in for a GPU."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gpen_core.network.build import build_model
from gpen_core.network.config import GpenConfig

from .stand_in_gpu import DEVICE, stand_in_gpu

IDENTITY_NOTICE = "Identity checkpoint for tests: the network returns its input."


def random_crops(config: GpenConfig, n: int = 1, seed: int = 1) -> Tensor:
    """(N, 3, S, S) noise in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 3, config.size, config.size, generator=generator) * 2 - 1


def restore_on_stand_in(
    state_dict: Mapping[str, Tensor], dtype: torch.dtype, crops: Tensor
) -> Tensor:
    """What a network on a device makes of crops on the CPU, on the CPU."""
    with stand_in_gpu():
        network = build_model(state_dict, dtype).to(DEVICE)
        return network(crops.to(DEVICE)).cpu()
