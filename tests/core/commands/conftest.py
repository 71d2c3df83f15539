"""A checkpoint for commands to read."""

import pytest
import torch

from gpen_core.network.config import GpenConfig
from gpen_core.network.synthetic import random_state_dict

CONFIG = GpenConfig(256, 1, 0.0625, style_dim=32)


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "model.pth"
    torch.save({"g_ema": random_state_dict(CONFIG)}, path)
    return path
