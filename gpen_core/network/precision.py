"""In which dtype each resolution of the network is kept, and what it is computed in.

bfloat16 keeps eight bits of a number, which is not enough for the whole network: the encoder ends
in the one vector that styles every map of the decoder, and rounding it differently changes all of
them. Up to 128 pixels a "bfloat16" network is therefore float16, three bits more exact, which runs
as fast on a GPU and where the normalised weights do not overflow.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
"""What a network may be asked to compute in, by the names in menus and options."""

_FINEST_OF_FLOAT16 = 128


def dtype_at(resolution: int, dtype: torch.dtype) -> torch.dtype:
    """What the convolutions at a resolution in pixels are kept in if ``dtype`` is asked for."""
    is_coarse = resolution <= _FINEST_OF_FLOAT16
    return torch.float16 if is_coarse and dtype == torch.bfloat16 else dtype


def arithmetic_dtype(weight: Tensor) -> torch.dtype:
    """What a layer with this weight computes in.

    It is the weight's own dtype, but for float16 on a CPU: most have no arithmetic in it and take
    more than ten times as long as for float32.
    """
    if weight.dtype == torch.float16 and weight.device.type == "cpu":
        return torch.float32
    return weight.dtype


@contextlib.contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """Convolve float32 in float32: by default a GPU does it in TF32, no more exact than float16."""
    try:
        rounds = device.type != "cpu" and torch.backends.cudnn.allow_tf32
    except RuntimeError:  # the host has set it for each kind of layer: its choice
        rounds = False
    if rounds:
        torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        if rounds:
            torch.backends.cudnn.allow_tf32 = True
