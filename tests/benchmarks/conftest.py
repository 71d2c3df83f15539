"""The scripts of ``benchmarks/``, importable by name."""

import sys

import pytest
import skimage.data
import torch

from environment import REPOSITORY

# Appended, so that no script shadows a library.
sys.path.append(str(REPOSITORY / "benchmarks"))


@pytest.fixture(scope="session")
def astronaut():
    """(1, 3, 512, 512) in [0, 1]: one face."""
    return torch.tensor(skimage.data.astronaut()).permute(2, 0, 1)[None] / 255
