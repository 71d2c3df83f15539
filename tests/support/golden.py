"""Random checkpoints with the outputs of a plain implementation."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor


def load_golden(folder: Path, name: str) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """State dict, crops in [-1, 1] and expected output of a golden checkpoint."""
    state_dict = torch.load(folder / "golden" / f"{name}.pth", weights_only=True)
    with np.load(folder / "golden" / f"{name}_io.npz") as arrays:
        crops = torch.from_numpy(arrays["input_u8"]).float() / 255 * 2 - 1
        return state_dict, crops, torch.from_numpy(arrays["output"])
