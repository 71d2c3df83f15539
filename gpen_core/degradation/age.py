"""What time does to a print: sepia, fading, scratches and dust."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .stage import REFERENCE_PX, Draws, Limits, Probability, Range, Stage, Step

Points: TypeAlias = npt.NDArray[Any]

# Weights of red, green and blue in each of them.
_SEPIA = ((0.393, 0.769, 0.189), (0.349, 0.686, 0.168), (0.272, 0.534, 0.131))
_SLOPE = 0.15  # of scratches, at most
_OPACITY = (0.4, 0.9)


@dataclass(frozen=True)
class AgeSettings(Stage):
    """Age. Pixels are stated for a picture of 512."""

    sepia: Probability = 0.0
    """Probability."""
    contrast: Annotated[Range, Limits(0, 1)] = (1.0, 1.0)
    """Factor of the distance from middle grey; less is more faded."""
    black: Annotated[Range, Limits(0, 1)] = (0.0, 0.0)
    """How far black has become grey."""
    scratches: Annotated[Range, Limits(0, 200)] = (0.0, 0.0)
    """How many, white and black; on all frames of a clip the same."""
    scratch_width: Annotated[Range, Limits(0.5, 32)] = (1.0, 3.0)
    """In pixels."""
    dust: Annotated[Range, Limits(0, 2000)] = (0.0, 0.0)
    """How many spots, white and black; on each frame of a clip others."""
    dust_size: Annotated[Range, Limits(0.5, 64)] = (1.0, 4.0)
    """Width of spots in pixels."""

    def draw(self, draws: Draws) -> list[Step]:
        """The steps for one picture."""
        steps: list[Step] = []
        if draws.happens(self.sepia):
            steps.append(Sepia(draws.strength))
        fade = Fade(draws.toward(1.0, self.contrast), draws.toward(0.0, self.black))
        if fade != Fade(1.0, 0.0):
            steps.append(fade)
        n_drawn = round(draws.uniform(self.scratches))
        scratches = [self._draw_scratch(draws) for _ in range(n_drawn)]
        scratches = scratches[: round(draws.strength * n_drawn)]
        if scratches:
            steps.append(Scratches(tuple(scratches)))
        n_spots = round(draws.toward(0.0, self.dust))
        if n_spots:
            steps.append(Dust(n_spots, self.dust_size))
        return steps

    def _draw_scratch(self, draws: Draws) -> Mark:
        x, middle = draws.uniform((0, 1)), draws.uniform((0, 1))
        reach = draws.uniform((0.1, 1)) / 2
        lean = draws.uniform((-_SLOPE, _SLOPE)) * reach
        return Mark(
            (x - lean, middle - reach),
            (x + lean, middle + reach),
            draws.uniform(self.scratch_width),
            draws.uniform(_OPACITY),
            draws.happens(0.5),
        )


@dataclass(frozen=True)
class Sepia:
    """Brown instead of colours."""

    amount: float = 1.0

    def __str__(self) -> str:
        return "sepia" if self.amount == 1 else f"{self.amount:.0%} sepia"

    def apply(self, pixels: Tensor, _: torch.Generator) -> Tensor:
        """Mix with brown."""
        weights = torch.tensor(_SEPIA, dtype=pixels.dtype).to(pixels.device)
        brown = (weights @ pixels.flatten(1)).clamp(0, 1).view_as(pixels)
        return torch.lerp(pixels, brown, self.amount)


@dataclass(frozen=True)
class Fade:
    """Less contrast, and grey instead of black."""

    contrast: float
    black: float

    def __str__(self) -> str:
        return f"faded to {self.contrast:.0%} contrast, black at {self.black:.0%}"

    def apply(self, pixels: Tensor, _: torch.Generator) -> Tensor:
        """Fade."""
        flat = 0.5 + self.contrast * (pixels - 0.5)
        return self.black + (1 - self.black) * flat


@dataclass(frozen=True)
class Mark:
    """A straight line with round ends over the picture."""

    start: tuple[float, float]
    """x and y, in widths and heights of the picture."""
    end: tuple[float, float]
    width: float
    """In pixels of a picture of 512."""
    opacity: float
    is_white: bool


@dataclass(frozen=True)
class Scratches:
    """Scratches, mostly upright ones, as films get from their machines."""

    marks: tuple[Mark, ...]

    def __str__(self) -> str:
        return _counted(len(self.marks), "scratch", "scratches")

    def apply(self, pixels: Tensor, _: torch.Generator) -> Tensor:
        """Draw them."""
        return _draw_marks(pixels, self.marks)


@dataclass(frozen=True)
class Dust:
    """Specks and short hairs."""

    n_specks: int
    size: Range
    """Least and largest width in pixels of a picture of 512."""

    def __str__(self) -> str:
        return _counted(self.n_specks, "speck of dust", "specks of dust")

    def apply(self, pixels: Tensor, patterns: torch.Generator) -> Tensor:
        """Draw them."""
        low, high = self.size
        marks = []
        for x, y, size, angle, opacity, color in torch.rand(
            self.n_specks, 6, generator=patterns
        ).tolist():
            width = low + size * (high - low)
            reach = width / REFERENCE_PX / 2
            dx, dy = reach * math.cos(2 * math.pi * angle), reach * math.sin(2 * math.pi * angle)
            opacity = _OPACITY[0] + opacity * (_OPACITY[1] - _OPACITY[0])
            marks.append(Mark((x - dx, y - dy), (x + dx, y + dy), width, opacity, color < 0.5))
        return _draw_marks(pixels, marks)


def _draw_marks(pixels: Tensor, marks: Iterable[Mark]) -> Tensor:
    height, width = pixels.shape[1:]
    scale = min(height, width) / REFERENCE_PX
    kept = np.ones((height, width), np.float32)  # of the picture
    light = np.zeros((height, width), np.float32)
    for mark in marks:
        ends = np.array([mark.start, mark.end]) * (width, height) - 0.5  # of pixel centres
        half = mark.width * scale / 2
        reach = half + 1
        left, top = np.floor(ends.min(axis=0) - reach).astype(int).clip(0)
        right, bottom = np.ceil(ends.max(axis=0) + reach).astype(int) + 1
        place = (slice(top, bottom), slice(left, right))
        rows, columns = kept[place].shape
        distance = _distance(np.arange(left, left + columns), np.arange(top, top + rows), ends)
        # How much of a pixel lies under the line, as if it crossed it upright.
        cover = np.minimum(half, distance + 0.5) - np.maximum(-half, distance - 0.5)
        cover = (mark.opacity * cover.clip(0, 1)).astype(np.float32)
        kept[place] *= 1 - cover
        light[place] *= 1 - cover
        light[place] += cover * mark.is_white
    keep, add = (torch.from_numpy(layer).to(pixels.device) for layer in (kept, light))
    return pixels * keep + add


def _distance(x: Points, y: Points, ends: Points) -> Points:
    """Of every pixel centre, (len(y), len(x)), from the line between two points."""
    (x0, y0), along = ends[0], ends[1] - ends[0]
    squared = max(float(along @ along), 1e-12)
    share = ((x[None] - x0) * along[0] + (y[:, None] - y0) * along[1]) / squared
    share = share.clip(0, 1)
    distance: Points = np.hypot(x[None] - x0 - share * along[0], y[:, None] - y0 - share * along[1])
    return distance


def _counted(number: int, one: str, several: str) -> str:
    return f"1 {one}" if number == 1 else f"{number} {several}"
