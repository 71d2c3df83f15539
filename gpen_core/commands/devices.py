"""Where the command line computes, in what precision and how many faces at once."""

from __future__ import annotations

import torch

from .. import GpenGenerator, SettingError

AUTO = "auto"
DEVICES = ("cpu", "cuda", "mps")
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

_MAX_FACES_AT_ONCE = 16
_SHARE_OF_FREE_MEMORY = 0.7


def choose_device(choice: str) -> torch.device:
    """The device of a name; ``auto`` is the fastest that is there.

    Raises:
        SettingError: There is no such device here.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if choice == AUTO:
        return torch.device(next(name for name, is_there in available.items() if is_there))
    if not available[choice]:
        raise SettingError(
            f"device: expected one that PyTorch finds here, got {choice}. "
            "Use --device auto, or install a PyTorch for that device."
        )
    return torch.device(choice)


def choose_dtype(choice: str, device: torch.device) -> torch.dtype:
    """The dtype of a name; ``auto`` is fp16 on CUDA, and fp32 elsewhere."""
    if choice != AUTO:
        return DTYPES[choice]
    return torch.float16 if device.type == "cuda" else torch.float32


def choose_batch(choice: int | None, model: GpenGenerator, device: torch.device) -> int:
    """How many faces go through the network together; None: what fits, up to 16."""
    if choice is not None:
        return choice
    if device.type != "cuda":
        return 1  # more would only take more memory
    free, _ = torch.cuda.mem_get_info(device)
    return max(
        1, min(_MAX_FACES_AT_ONCE, int(free * _SHARE_OF_FREE_MEMORY / model.activation_bytes()))
    )
