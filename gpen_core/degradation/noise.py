"""Noise of sensors, films and transmissions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from ..images.srgb import luma
from ..settings import Choice
from .blur import convolve
from .kernels import gaussian_kernel
from .stage import Draws, Limits, Probability, Range, Stage, Step

_TAIL = 10  # sigmas of a Poisson distribution that are tabulated


class NoiseKind(Choice):
    """Where noise comes from."""

    GAUSSIAN = "gaussian"
    POISSON = "poisson"
    """Of counted light: more in bright places."""
    SPECKLE = "speckle"
    """In proportion to the image."""
    SALT_AND_PEPPER = "salt and pepper"
    """Single white and black values."""


@dataclass(frozen=True)
class NoiseSettings(Stage):
    """Noise, in the pixels that the image has at that point."""

    kinds: Mapping[NoiseKind, float] = field(default_factory=lambda: {NoiseKind.GAUSSIAN: 1.0})
    sigma: Annotated[Range, Limits(0, 255)] = (0.0, 0.0)
    """Of Gaussian noise and speckle on white, in steps of 8 bits."""
    poisson: Annotated[Range, Limits(0, 16)] = (0.0, 0.0)
    """Factor of Poisson noise; 1 is that of as many counts as there are levels."""
    amount: Annotated[Range, Limits(0, 1)] = (0.0, 0.0)
    """Share of values that become salt or pepper."""
    salt: Annotated[Range, Limits(0, 1)] = (0.5, 0.5)
    """Share of salt, which is white, among those."""
    grey: Probability = 0.0
    """Probability that all channels have the same noise."""
    chroma: Annotated[Range, Limits(0, 4)] = (1.0, 1.0)
    """Factor of the colour in Gaussian noise; 0 is grey."""
    grain: Annotated[Range, Limits(0, 16)] = (0.0, 0.0)
    """Sigma of the grains of Gaussian noise, in pixels of an image of 512; 0 is white noise."""

    def draw(self, draws: Draws) -> list[Step]:
        """The step for one image, or none."""
        kind = draws.one_of(self.kinds)
        step = Noise(
            kind,
            amount={
                NoiseKind.GAUSSIAN: draws.toward(0.0, self.sigma) / 255,
                NoiseKind.POISSON: draws.toward(0.0, self.poisson),
                NoiseKind.SPECKLE: draws.toward(0.0, self.sigma) / 255,
                NoiseKind.SALT_AND_PEPPER: draws.toward(0.0, self.amount),
            }[kind],
            is_grey=draws.happens(self.grey),
            salt=draws.uniform(self.salt),
            chroma=draws.uniform(self.chroma),
            grain_px=draws.uniform(self.grain) * draws.scale,
        )
        return [step] if step.amount else []


@dataclass(frozen=True)
class Noise:
    """Adds noise."""

    kind: NoiseKind
    amount: float
    """Sigma of an image in [0, 1], factor or share, as the kind has it."""
    is_grey: bool = False
    salt: float = 0.5
    chroma: float = 1.0
    grain_px: float = 0.0

    def __str__(self) -> str:
        amounts = {NoiseKind.POISSON: f"x {self.amount:.2f}"}
        amounts[NoiseKind.SALT_AND_PEPPER] = f"{self.amount:.2%}"
        amount = amounts.get(self.kind, f"sigma {255 * self.amount:.1f}")
        return f"{'grey ' if self.is_grey else ''}{self.kind.value} noise {amount}"

    def apply(self, pixels: Tensor, patterns: torch.Generator) -> Tensor:
        """Add it."""
        if self.kind is NoiseKind.SALT_AND_PEPPER:
            pattern = self._draw(torch.rand, pixels, patterns).to(pixels.device)
            seasoned = torch.where(pattern < self.amount, 0.0, pixels)
            return torch.where(pattern < self.amount * self.salt, 1.0, seasoned)
        if self.kind is NoiseKind.POISSON:
            uniform = self._draw(torch.rand, pixels, patterns)
            noise = poisson_noise(luma(pixels)[None] if self.is_grey else pixels, uniform)
            return (pixels + self.amount * noise).clamp(0, 1)
        noise = self._draw(torch.randn, pixels, patterns).to(pixels.device)
        if self.grain_px:
            radius = max(1, math.ceil(4 * self.grain_px))
            kernel = gaussian_kernel((self.grain_px, self.grain_px), 0.0, radius)
            noise = convolve(noise, kernel / np.linalg.norm(kernel))
        if self.chroma != 1 and not self.is_grey:
            noise = torch.lerp(luma(noise).expand_as(noise), noise, self.chroma)
        if self.kind is NoiseKind.SPECKLE:
            noise = noise * pixels
        return (pixels + self.amount * noise).clamp(0, 1)

    def _draw(
        self, draw: Callable[..., Tensor], pixels: Tensor, patterns: torch.Generator
    ) -> Tensor:
        """(1 or 3, h, w) on the CPU, so that it is the same for every device."""
        return draw(1 if self.is_grey else 3, *pixels.shape[1:], generator=patterns)


def poisson_noise(pixels: Tensor, uniform: Tensor) -> Tensor:
    """What counting light adds to an image that is rounded to 8 bits.

    There are as many counts in white as the image has levels, up to the next power of two, as
    Real-ESRGAN has it. Each value is the quantile of its own uniform number, so that values a
    rounding error apart on two devices do not upset all that follow.

    Args:
        pixels: (C, h, w) float32 in [0, 1].
        uniform: (C, h, w) float32 in [0, 1), on the CPU.

    Returns:
        (C, h, w), of mean 0.
    """
    from scipy.special import gammaln, xlogy  # slow to import

    rounded = (pixels.clamp(0, 1) * 255).round().to(torch.uint8)
    samples = rounded.cpu().numpy().reshape(-1)
    is_there = np.bincount(samples, minlength=256) > 0
    levels = np.flatnonzero(is_there)
    which = (is_there.cumsum() - 1)[samples]  # the level of each value
    n_counts = 2.0 ** math.ceil(math.log2(len(levels)))
    means = levels[:, None] / 255 * n_counts
    counts = np.arange(math.ceil(n_counts + _TAIL * math.sqrt(n_counts)) + _TAIL)
    logarithms = xlogy(counts, means) - means - gammaln(counts + 1)
    cumulative = np.minimum(np.exp(logarithms).cumsum(axis=1), 1)
    # One sorted table of all levels: that of level i lies in i to i + 1.
    rows = np.arange(len(levels))
    positions = which + uniform.double().numpy().reshape(-1)
    found = np.searchsorted((rows[:, None] + cumulative).reshape(-1), positions, side="right")
    drawn = np.minimum(found - which * len(counts), len(counts) - 1)
    values = torch.from_numpy(drawn.astype(np.float32) / np.float32(n_counts))
    return values.view(pixels.shape).to(pixels.device) - rounded / 255
