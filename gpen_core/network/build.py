"""From a published state dict to a network."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..errors import CheckpointMismatchError
from ..images.validation import is_finite
from .config import fir_kernel
from .detect import detect_config
from .folding import fill_network
from .generator import GpenGenerator

_FIR_TOLERANCE = 1e-3


def build_model(
    state_dict: Mapping[str, Tensor],
    dtype: torch.dtype = torch.float32,
    name: str = "state dict",
) -> GpenGenerator:
    """Build the network from a published state dict, on the CPU, in evaluation mode.

    Args:
        state_dict: Names and tensors as published, of any floating dtype. Not modified.
        dtype: What to run the convolutions in: float32, float16 or bfloat16, which is float16
            up to 128 pixels. On a CPU all float16 is computed in float32.
        name: What to call the state dict in error messages.

    Raises:
        NotGpenError: The keys are not those of a GPEN network.
        CheckpointMismatchError: Tensors are missing, unexpected, misshapen or not finite.
    """
    config = detect_config(state_dict, name)
    for key, tensor in state_dict.items():
        if not is_finite(tensor):
            raise CheckpointMismatchError(
                f"{name}: expected finite weights, got NaN or infinity in {key!r}. "
                "The file is damaged; download it again."
            )
        if key.endswith(".kernel") and not _is_low_pass(tensor):
            raise CheckpointMismatchError(
                f"{name}: expected the FIR filter [1, 3, 3, 1] in {key!r}, got another. "
                "The file is damaged or of an unknown variant."
            )
    network = GpenGenerator(config, dtype)
    fill_network(network, state_dict)
    return network.eval()


def _is_low_pass(kernel: Tensor) -> bool:
    """Whether a (4, 4) kernel is the one filter that the network computes with, up to its gain."""
    kernel = kernel.float()
    return torch.allclose(kernel / kernel.sum(), fir_kernel(), atol=_FIR_TOLERANCE)
