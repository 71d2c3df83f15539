"""Where the command line computes, in what precision and how many faces at once."""

from __future__ import annotations

import torch

from .. import DTYPES, SettingError

AUTO = "auto"
DEVICES = ("cpu", "cuda", "mps")


def choose_device(choice: str) -> torch.device:
    """The device of a name; ``auto`` is the fastest available.

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
