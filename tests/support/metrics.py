"""Distances between tensors."""

import math

from torch import Tensor


def relative_l2(actual: Tensor, expected: Tensor) -> float:
    """Norm of the difference over the norm of what was expected."""
    actual, expected = actual.double(), expected.double()
    return float((actual - expected).norm() / expected.norm())


def psnr(actual: Tensor, expected: Tensor) -> float:
    """Peak signal to noise ratio in dB of images in [0, 1]."""
    error = float((actual.double() - expected.double()).square().mean())
    return math.inf if error == 0 else -10 * math.log10(error)
