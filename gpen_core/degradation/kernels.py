"""Kernels of blurs, as (2 r + 1, 2 r + 1) float64 arrays with the sum 1.

References:
    Y.-Q. Liu et al., "Estimating generalized Gaussian blur kernels for out-of-focus image
    deblurring", IEEE TCSVT 31(3), 2021: the generalized and the plateau kernels.
    X. Wang et al., "Real-ESRGAN: training real-world blind super-resolution with pure synthetic
    data", ICCVW 2021: their use for degradations, and the sinc filter.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Kernel: TypeAlias = npt.NDArray[np.float64]

_MIN_SIGMA_PX = 1e-3  # nothing but the centre is left long before
_SAMPLES_A_PIXEL = 32  # of a motion


def gaussian_kernel(
    sigmas: tuple[float, float], angle: float, radius: int, beta: float = 1.0
) -> Kernel:
    """A Gaussian, or a generalized one: exp(-q^beta / 2).

    Args:
        sigmas: Along the two axes, in pixels.
        angle: How far the first axis is turned from x towards y, in radians.
        radius: Where the kernel is cut off, in pixels.
        beta: 1 is a Gaussian; less has a sharper peak and wider tails, more is flatter.
    """
    return _normalized(np.exp(-0.5 * _squared_distance(sigmas, angle, radius) ** beta))


def plateau_kernel(
    sigmas: tuple[float, float], angle: float, radius: int, beta: float = 1.0
) -> Kernel:
    """A kernel with a flat top: 1 / (1 + q^beta). Arguments as for ``gaussian_kernel``."""
    return _normalized(1 / (1 + _squared_distance(sigmas, angle, radius) ** beta))


def sinc_kernel(cutoff: float, radius: int) -> Kernel:
    """The round ideal low pass, cut off: it rings, as oversharpened and oversqueezed pictures do.

    Args:
        cutoff: The highest frequency that passes, in radians a pixel, up to pi.
        radius: Where the kernel is cut off, in pixels.
    """
    from scipy.special import j1  # slow to import

    x = np.arange(-radius, radius + 1)
    distance = np.hypot(x[:, None], x[None])
    distance[radius, radius] = 1  # its own value follows
    kernel = cutoff * j1(cutoff * distance) / (2 * math.pi * distance)
    kernel[radius, radius] = cutoff**2 / (4 * math.pi)
    return _normalized(kernel)


def motion_kernel(length: float, angle: float) -> Kernel:
    """A straight line: every pixel counts by how much of the line lies in it.

    Args:
        length: Of the line in pixels; 1 and less is no motion.
        angle: Of the line, from x towards y, in radians.
    """
    radius = math.ceil(length / 2)
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1))
    n_samples = max(1, math.ceil(length * _SAMPLES_A_PIXEL))
    along = ((np.arange(n_samples) + 0.5) / n_samples - 0.5) * length
    rows, columns = (
        np.floor(along * direction + 0.5).astype(int) + radius
        for direction in (math.sin(angle), math.cos(angle))
    )
    np.add.at(kernel, (rows, columns), 1)
    return _normalized(kernel)


def identity_kernel(radius: int) -> Kernel:
    """The kernel that changes nothing."""
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1))
    kernel[radius, radius] = 1
    return kernel


def _squared_distance(sigmas: tuple[float, float], angle: float, radius: int) -> Kernel:
    """From the centre, in sigmas."""
    first, second = (max(sigma, _MIN_SIGMA_PX) for sigma in sigmas)
    x = np.arange(-radius, radius + 1, dtype=np.float64)
    along = x[None] * math.cos(angle) + x[:, None] * math.sin(angle)
    across = x[:, None] * math.cos(angle) - x[None] * math.sin(angle)
    squared: Kernel = (along / first) ** 2 + (across / second) ** 2
    return squared


def _normalized(kernel: Kernel) -> Kernel:
    normalized: Kernel = kernel / kernel.sum()
    return normalized
