"""Grey pictures and shifted colours, as cameras and old films have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from ..images.srgb import luma
from .stage import Draws, Limits, Probability, Range, Stage, Step

_ADJUSTMENTS = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0}


@dataclass(frozen=True)
class ColorSettings(Stage):
    """Colour, before anything else happens to the picture."""

    grey: Probability = 0.0
    """Probability that the picture becomes grey."""
    probability: Probability = 1.0
    """Of the shift, and of the four adjustments together."""
    shift: Annotated[Range, Limits(0, 255)] = (0.0, 0.0)
    """How far each channel is moved up or down, in steps of 8 bits."""
    brightness: Annotated[Range, Limits(0, 4)] = (1.0, 1.0)
    """Factor."""
    contrast: Annotated[Range, Limits(0, 4)] = (1.0, 1.0)
    """Factor of the distance from the mean grey."""
    saturation: Annotated[Range, Limits(0, 4)] = (1.0, 1.0)
    """Factor of the distance from grey."""
    hue: Annotated[Range, Limits(0, 0.5)] = (0.0, 0.0)
    """How far hues are turned one way or the other, in turns."""

    def draw(self, draws: Draws) -> list[Step]:
        """The steps for one picture."""
        steps: list[Step] = []
        shifts = [draws.signed(self.shift) for _ in range(3)]
        if draws.happens(self.probability) and any(shifts):
            steps.append(Shift((shifts[0], shifts[1], shifts[2])))
        factors = {
            "brightness": draws.toward(1.0, self.brightness),
            "contrast": draws.toward(1.0, self.contrast),
            "saturation": draws.toward(1.0, self.saturation),
            "hue": draws.signed(self.hue),
        }
        order = [list(factors)[i] for i in draws.random.permutation(len(factors))]
        if draws.happens(self.probability):
            adjustments = [Adjust(name, factors[name]) for name in order]
            steps += [step for step in adjustments if step.factor != _ADJUSTMENTS[step.what]]
        if draws.happens(self.grey):
            steps.append(Grey(draws.strength))
        return steps


@dataclass(frozen=True)
class Shift:
    """Moves each channel up or down."""

    steps: tuple[float, float, float]
    """In steps of 8 bits."""

    def __str__(self) -> str:
        return "colour shift {:+.1f} {:+.1f} {:+.1f}".format(*self.steps)

    def apply(self, pixels: Tensor, _: torch.Generator) -> Tensor:
        """Shift."""
        shifts = torch.tensor(self.steps, dtype=pixels.dtype).to(pixels.device)
        return (pixels + shifts.view(3, 1, 1) / 255).clamp(0, 1)


@dataclass(frozen=True)
class Adjust:
    """Changes brightness, contrast, saturation or hue."""

    what: str
    factor: float
    """For the hue: turns."""

    def __str__(self) -> str:
        return f"{self.what} {self.factor:{'+.3f' if self.what == 'hue' else '.2f'}}"

    def apply(self, pixels: Tensor, _: torch.Generator) -> Tensor:
        """Adjust."""
        from torchvision.transforms.v2 import functional  # slow to import

        adjusted: Tensor = getattr(functional, f"adjust_{self.what}")(pixels, self.factor)
        return adjusted.clamp(0, 1)


@dataclass(frozen=True)
class Grey:
    """Takes the colour out."""

    amount: float = 1.0

    def __str__(self) -> str:
        return "grey" if self.amount == 1 else f"{self.amount:.0%} grey"

    def apply(self, pixels: Tensor, _: torch.Generator) -> Tensor:
        """Mix with the luma."""
        return torch.lerp(pixels, luma(pixels).expand_as(pixels), self.amount)
