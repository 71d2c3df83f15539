"""Blur, the ringing of sharp low passes, and too much sharpening: all are convolutions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from ..settings import Choice
from .kernels import (
    Kernel,
    gaussian_kernel,
    identity_kernel,
    motion_kernel,
    plateau_kernel,
    sinc_kernel,
)
from .stage import Draws, Limits, Probability, Range, Stage, Step, or_on_cpu

_REACH = 4  # sigmas
_SMALL_SINC_PX = 13  # smaller kernels cannot hold the lowest cut-offs, as Real-ESRGAN has it
_SMALL_SINC_CUTOFF = math.pi / 3
_SHARPENING_SIGMA_PX = 1.0


class BlurKind(Choice):
    """Shape of a blur."""

    GAUSSIAN = "gaussian"
    ANISOTROPIC = "anisotropic"
    """Gaussian with two sigmas and an angle. So are the other two of this kind."""
    GENERALIZED = "generalized"
    GENERALIZED_ANISOTROPIC = "generalized anisotropic"
    PLATEAU = "plateau"
    PLATEAU_ANISOTROPIC = "plateau anisotropic"
    SINC = "sinc"


_ANISOTROPIC = {
    BlurKind.ANISOTROPIC,
    BlurKind.GENERALIZED_ANISOTROPIC,
    BlurKind.PLATEAU_ANISOTROPIC,
}
_PLATEAUS = {BlurKind.PLATEAU, BlurKind.PLATEAU_ANISOTROPIC}
_GENERALIZED = {BlurKind.GENERALIZED, BlurKind.GENERALIZED_ANISOTROPIC}


@dataclass(frozen=True)
class BlurSettings(Stage):
    """Blur. Pixels are stated for a picture of 512."""

    probability: Probability = 1.0
    kinds: Mapping[BlurKind, float] = field(default_factory=lambda: {BlurKind.GAUSSIAN: 1.0})
    sigma: Annotated[Range, Limits(0, 64)] = (0.0, 0.0)
    """Of all kinds but sinc, in pixels."""
    size: Annotated[Range, Limits(0, 512)] = (0.0, 0.0)
    """Width in pixels at which kernels are cut off if four sigmas reach further. 0: not before."""
    beta: Annotated[Range, Limits(0.1, 8)] = (0.5, 4.0)
    """Shape of generalized Gaussians: below or above 1 equally often."""
    plateau_beta: Annotated[Range, Limits(0.1, 8)] = (1.0, 2.0)
    """Shape of plateaus."""
    cutoff: Annotated[Range, Limits(0.1, math.pi)] = (math.pi / 5, math.pi)
    """Of sinc kernels, in radians a pixel; not below pi / 3 for kernels under 13 pixels."""

    def draw(self, draws: Draws) -> list[Step]:
        """The step for one picture, or none."""
        happens = draws.happens(self.probability)
        kind = draws.one_of(self.kinds)
        size = draws.uniform(self.size)
        angle = draws.uniform((-math.pi, math.pi))
        if kind is BlurKind.SINC:
            step = draw_sinc(draws, size, self.cutoff)
        else:
            step = self._draw_round(draws, kind, size, angle)
        return [step] if happens and not step.is_identity else []

    def _draw_round(self, draws: Draws, kind: BlurKind, size: float, angle: float) -> Convolution:
        sigmas = [draws.toward(0.0, self.sigma) * draws.scale for _ in range(2)]
        beta = 1.0
        if kind in _PLATEAUS | _GENERALIZED:
            between = self.plateau_beta if kind in _PLATEAUS else self.beta
            beta = _draw_beta(draws, between)
        text = f"{sigmas[0]:.2f} px"
        if kind in _ANISOTROPIC:
            text = f"{sigmas[0]:.2f} x {sigmas[1]:.2f} px at {_degrees(angle)}"
        else:
            sigmas[1], angle = sigmas[0], 0.0
        radius = max(1, math.ceil(_REACH * max(sigmas)))
        if size > 0:
            radius = min(radius, _radius(size, draws.scale))
        make = plateau_kernel if kind in _PLATEAUS else gaussian_kernel
        kernel = make((sigmas[0], sigmas[1]), angle, radius, beta)
        return Convolution(kernel, f"{kind.value} blur {text}")


@dataclass(frozen=True)
class MotionSettings(Stage):
    """Blur by a straight motion in any direction. Pixels are stated for a picture of 512."""

    probability: Probability = 1.0
    length: Annotated[Range, Limits(1, 256)] = (1.0, 1.0)
    """In pixels; 1 is no motion."""

    def draw(self, draws: Draws) -> list[Step]:
        """The step for one picture, or none."""
        happens = draws.happens(self.probability)
        length = 1 + (draws.toward(1.0, self.length) - 1) * draws.scale
        angle = draws.uniform((-math.pi, math.pi))
        step = Convolution(
            motion_kernel(length, angle), f"motion blur {length:.1f} px at {_degrees(angle)}"
        )
        return [step] if happens and not step.is_identity else []


@dataclass(frozen=True)
class SincSettings(Stage):
    """A sinc filter near the end. Pixels are stated for a picture of 512."""

    probability: Probability = 0.0
    size: Annotated[Range, Limits(3, 512)] = (7.0, 21.0)
    """Width of the kernel in pixels."""
    cutoff: Annotated[Range, Limits(0.1, math.pi)] = (math.pi / 3, math.pi)
    """Highest frequency that passes, in radians a pixel."""

    def draw(self, draws: Draws) -> list[Step]:
        """The step for one picture, or none."""
        happens = draws.happens(self.probability)
        step = draw_sinc(draws, draws.uniform(self.size), self.cutoff)
        return [step] if happens and not step.is_identity else []


@dataclass(frozen=True)
class SharpenSettings(Stage):
    """Sharpening, as cameras do it."""

    amount: Annotated[Range, Limits(0, 8)] = (0.0, 0.0)
    """Share of the finest detail that is added to it."""

    def draw(self, draws: Draws) -> list[Step]:
        """The step for one picture, or none."""
        amount = draws.toward(0.0, self.amount)
        sigma = _SHARPENING_SIGMA_PX * draws.scale
        radius = max(1, math.ceil(_REACH * sigma))
        smooth = gaussian_kernel((sigma, sigma), 0.0, radius)
        kernel = (1 + amount) * identity_kernel(radius) - amount * smooth
        return [Convolution(kernel, f"sharpened by {amount:.0%}")] if amount else []


@dataclass(frozen=True, eq=False)
class Convolution:
    """Convolves with a kernel, reflecting the picture at its borders."""

    kernel: Kernel
    text: str

    def __str__(self) -> str:
        return self.text

    @property
    def is_identity(self) -> bool:
        """Whether nothing but the kernel's centre counts."""
        return bool((self.kernel != 0).sum() == 1)

    def apply(self, pixels: Tensor, _: torch.Generator) -> Tensor:
        """Convolve."""
        return convolve(pixels, self.kernel).clamp(0, 1)


def convolve(pixels: Tensor, kernel: Kernel) -> Tensor:
    """Convolve (C, h, w) float32 with a kernel of odd size; the borders are reflected.

    By Fourier transforms: as quick for large kernels as for small ones, and hardly slower than
    anything else for those.
    """
    from scipy.fft import next_fast_len  # slow to import

    radius = len(kernel) // 2
    height, width = pixels.shape[1:]
    taps = torch.from_numpy(kernel).to(pixels.dtype).to(pixels.device)

    def transform(padded: Tensor) -> Tensor:
        # What wraps around falls into the padding, which is cut off.
        size = [next_fast_len(n, real=True) for n in padded.shape[1:]]
        product = torch.fft.rfft2(padded, size) * torch.fft.rfft2(taps.to(padded.device), size)
        convolved: Tensor = torch.fft.irfft2(product, size)
        return convolved[:, 2 * radius :, 2 * radius :][:, :height, :width]

    return or_on_cpu(transform, _reflect(pixels, radius))


def draw_sinc(draws: Draws, size: float, cutoffs: Range) -> Convolution:
    """A sinc filter; towards strength 0 it is mixed with no filter at all."""
    if size < _SMALL_SINC_PX:
        low = max(cutoffs[0], _SMALL_SINC_CUTOFF)
        cutoffs = (low, max(low, cutoffs[1]))
    cutoff = draws.uniform(cutoffs)
    radius = _radius(size, draws.scale)
    kernel = sinc_kernel(min(math.pi, cutoff / draws.scale), radius)
    none = identity_kernel(radius)
    mixture = none + draws.strength * (kernel - none)
    return Convolution(mixture, f"sinc filter at {cutoff / math.pi:.2f} pi, {2 * radius + 1} px")


def _draw_beta(draws: Draws, between: Range) -> float:
    """Below or above 1 with the same chance, though the range above is wider."""
    low, high = between
    sides = [(low, max(low, 1.0)), (min(high, 1.0), high)]
    return draws.uniform(sides[int(draws.happens(0.5))])


def _radius(size: float, scale: float) -> int:
    """Of a kernel whose width is stated for a picture of 512."""
    return max(1, round((size - 1) / 2 * scale))


def _reflect(pixels: Tensor, radius: int) -> Tensor:
    """(C, h, w) with a margin in which the picture is mirrored at its outermost pixels."""
    if radius < min(pixels.shape[1:]):
        return F.pad(pixels[None], (radius,) * 4, "reflect")[0]
    for axis in (1, 2):  # back and forth in a picture that is smaller than the margin
        last = pixels.shape[axis] - 1
        places = torch.arange(-radius, last + radius + 1) % max(1, 2 * last)
        places = torch.minimum(places, 2 * last - places).clamp_min(0)
        pixels = pixels.index_select(axis, places.to(pixels.device))
    return pixels


def _degrees(angle: float) -> str:
    return f"{math.degrees(angle) % 180:.0f} degrees"
