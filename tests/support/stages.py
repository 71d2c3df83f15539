"""Pictures for the stages of a degradation, and a stage applied to them."""

import torch

from .geometry import smooth


def apply(step, pixels, seed=0):
    before = pixels.clone()
    result = step.apply(pixels, torch.Generator().manual_seed(seed))
    assert torch.equal(pixels, before)
    return result


def even(value, height=200, width=300):
    return torch.full((3, height, width), value)


def picture(height=48, width=64):
    return smooth(max(height, width))[:, :height, :width].clone()


def bytes_of(pixels):
    return (pixels * 255).round().to(torch.uint8)
