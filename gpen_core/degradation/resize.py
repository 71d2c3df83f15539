"""Changes of size, and turning to and fro: detail is lost, and some of what is left aliases."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from ..settings import Choice
from .stage import Draws, Limits, Range, Stage, Step, or_on_cpu


class Interpolation(Choice):
    """How pixels are made of others. Only area looks at all of them where a picture shrinks."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    AREA = "area"


class SizeChange(Choice):
    """Which way the size goes, after ``factor``."""

    KEEP = "keep"
    DOWN = "down"
    UP = "up"


@dataclass(frozen=True)
class ResizeSettings(Stage):
    """Another size, which stays until the picture gets its own back at the end."""

    factor: Annotated[Range, Limits(0.25, 64)] = (1.0, 1.0)
    """What the sides of the whole picture are divided by; below 1 it grows."""
    short_side: Annotated[Range, Limits(0, 4096)] = (0.0, 0.0)
    """Shrinks larger pictures to this short side, in true pixels; 0 does not."""
    changes: Mapping[SizeChange, float] = field(default_factory=lambda: {SizeChange.KEEP: 1.0})
    """A further change of size: which way."""
    down: Annotated[Range, Limits(0.01, 1)] = (1.0, 1.0)
    """What the sides are multiplied by on the way down."""
    up: Annotated[Range, Limits(1, 4)] = (1.0, 1.0)
    """What the sides are multiplied by on the way up."""
    interpolation: Mapping[Interpolation, float] = field(
        default_factory=lambda: {Interpolation.BILINEAR: 1.0}
    )

    def draw(self, draws: Draws, size: tuple[int, int]) -> list[Step]:
        """The step for one picture whose own size is (height, width), or none."""
        factor = draws.toward(1.0, self.factor)
        short_side = draws.uniform(self.short_side)
        if short_side:
            shrunk = max(1.0, min(size) / short_side)
            factor *= 1 + draws.strength * (shrunk - 1)
        down, up = draws.toward(1.0, self.down), draws.toward(1.0, self.up)
        further = {SizeChange.KEEP: 1.0, SizeChange.DOWN: down, SizeChange.UP: up}
        change = further[draws.one_of(self.changes)]
        interpolation = draws.one_of(self.interpolation)
        if factor == 1 and change == 1:
            return []
        height, width = (max(1, int(side / factor * change)) for side in size)
        return [Resize((height, width), interpolation)]


@dataclass(frozen=True)
class ResizeBackSettings(Stage):
    """How the picture gets its own size back."""

    interpolation: Mapping[Interpolation, float] = field(
        default_factory=lambda: {Interpolation.BILINEAR: 1.0}
    )

    def draw(self, draws: Draws, size: tuple[int, int]) -> list[Step]:
        """The step for one picture whose own size is (height, width)."""
        return [Resize(size, draws.one_of(self.interpolation))]


@dataclass(frozen=True)
class TiltSettings(Stage):
    """Turning by an angle and back, as a tool does that straightens faces and puts them back."""

    degrees: Annotated[Range, Limits(0, 45)] = (0.0, 0.0)
    """One way or the other."""

    def draw(self, draws: Draws) -> list[Step]:
        """The step for one picture, or none."""
        degrees = draws.signed(self.degrees)
        return [Tilt(degrees)] if degrees else []


@dataclass(frozen=True)
class Resize:
    """Changes the size."""

    size: tuple[int, int]
    """Height and width in pixels."""
    interpolation: Interpolation

    def __str__(self) -> str:
        return f"resized to {self.size[1]} x {self.size[0]} ({self.interpolation.value})"

    def apply(self, pixels: Tensor, _: torch.Generator) -> Tensor:
        """Resize, without smoothing first what would alias."""
        if pixels.shape[1:] == self.size:
            return pixels
        mode = self.interpolation.value
        resized = or_on_cpu(lambda x: F.interpolate(x, self.size, mode=mode), pixels[None])[0]
        return resized.clamp(0, 1) if self.interpolation is Interpolation.BICUBIC else resized


@dataclass(frozen=True)
class Tilt:
    """Turns the picture and turns it back, interpolating linearly both times."""

    degrees: float

    def __str__(self) -> str:
        return f"turned by {self.degrees:+.1f} degrees and back"

    def apply(self, pixels: Tensor, _: torch.Generator) -> Tensor:
        """Turn twice."""
        return _turn(_turn(pixels, self.degrees), -self.degrees)


def _turn(pixels: Tensor, degrees: float) -> Tensor:
    """Turned around its middle; padding replicates the border."""
    height, width = pixels.shape[1:]
    x = torch.arange(width, device=pixels.device) - (width - 1) / 2
    y = torch.arange(height, device=pixels.device)[:, None] - (height - 1) / 2
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    # Clamped to the centres of the border pixels: not every device can sample beyond.
    grid = torch.stack(
        [
            ((x * cosine - y * sine) * 2 / width).clamp(1 / width - 1, 1 - 1 / width),
            ((x * sine + y * cosine) * 2 / height).clamp(1 / height - 1, 1 - 1 / height),
        ],
        dim=-1,
    )
    return F.grid_sample(pixels[None], grid[None].to(pixels.dtype), align_corners=False)[0]
