"""The photo that demo and pictures show, whole and damaged."""

from __future__ import annotations

import sys

import numpy as np
import torch

from environment import REPOSITORY

sys.path.append(str(REPOSITORY))  # appended, so that the pack's nodes/ shadows nothing

from gpen_core import degrade, find_preset

DAMAGE = "webcam"
DAMAGE_SEED = 2


def sample_photo() -> np.ndarray:
    """(512, 512, 3) uint8 RGB: Eileen Collins, NASA, public domain."""
    from skimage.data import astronaut

    return np.asarray(astronaut())  # type: ignore[no-untyped-call]


def damage(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB pixels as a bad camera and a bad line would deliver them."""
    degraded = degrade(to_images(pixels), find_preset(DAMAGE), seed=DAMAGE_SEED)
    return np.asarray(degraded[0].permute(1, 2, 0).mul(255).round().byte().numpy())


def to_images(pixels: np.ndarray) -> torch.Tensor:
    """(H, W, 3) uint8 pixels -> (1, 3, H, W) float32 in [0, 1]."""
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 255
