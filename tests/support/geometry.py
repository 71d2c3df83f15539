"""Transforms and pictures whose exact values are known."""

import math

import torch
from torch import Tensor


def similarity(
    scale: float, degrees: float = 0.0, shift: tuple[float, float] = (0.0, 0.0)
) -> Tensor:
    """A (2, 3) float64 matrix that scales, turns x towards y, then shifts."""
    cos, sin = (scale * f(math.radians(degrees)) for f in (math.cos, math.sin))
    return torch.tensor([[cos, -sin, shift[0]], [sin, cos, shift[1]]], dtype=torch.float64)


def noise(size: int, seed: int = 0) -> Tensor:
    """(3, size, size) independent pixels in [0, 1]."""
    return torch.rand(3, size, size, generator=torch.Generator().manual_seed(seed))


def smooth(size: int) -> Tensor:
    """(3, size, size) without detail near the pixel grid; ``smooth_at`` gives it anywhere."""
    y, x = torch.meshgrid(*[torch.arange(size) + 0.5] * 2, indexing="ij")
    return smooth_at(x, y)


def smooth_at(x: Tensor, y: Tensor) -> Tensor:
    """The three channels of ``smooth`` at any positions."""
    return torch.stack(
        [0.5 + 0.4 * torch.sin(x / 17), 0.5 + 0.4 * torch.cos(y / 19), (x + 2 * y) / 2000]
    ).float()
