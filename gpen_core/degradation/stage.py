"""What the stages of a degradation share: ranges to draw from, draws, and steps that were drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate
from typing import Annotated, Any, Protocol, TypeVar, get_args, get_type_hints

import numpy as np
import torch
from torch import Tensor

from ..errors import DegradeSettingsError, is_out_of_memory

Range = tuple[float, float]
"""Lowest and highest of what is drawn evenly between them; equal for a fixed value."""
REFERENCE_PX = 512
"""Short side of the picture for which pixels are stated."""

_Choice = TypeVar("_Choice", bound=Enum)


class Step(Protocol):
    """One thing that is done to a picture, with everything about it decided; its text says what."""

    def apply(self, pixels: Tensor, patterns: torch.Generator) -> Tensor:
        """Do it.

        Args:
            pixels: (3, h, w) float32, RGB, in [0, 1]. Not modified.
            patterns: On the CPU; what is drawn for every pixel comes from it.

        Returns:
            (3, h', w') float32, RGB, in [0, 1]; the size may differ.
        """


@dataclass(frozen=True)
class Limits:
    """Of a field of a ``Stage``."""

    minimum: float
    maximum: float


Probability = Annotated[float, Limits(0, 1)]


@dataclass(frozen=True)
class Stage:
    """Base of the settings of a stage. By default a stage does nothing.

    Raises:
        DegradeSettingsError: A range has low above high, or something is outside its limits.
    """

    def __post_init__(self) -> None:
        """Check every field; names of kinds become kinds."""
        for name, hint in get_type_hints(type(self), include_extras=True).items():
            value, label = getattr(self, name), f"{type(self).__name__}.{name}"
            first, second, *_ = get_args(hint)
            if not isinstance(second, Limits):  # of a mapping
                object.__setattr__(self, name, _check_weights(label, value, first))
            elif first is float:
                _check_share(label, value)
            else:
                _check_range(label, value, second)


@dataclass(frozen=True)
class Draws:
    """Draws the parameters of one picture.

    What is drawn does not depend on the strength, only how it is applied does.
    """

    random: np.random.Generator
    strength: float
    """0 to 1; how far parameters are from those that do nothing."""
    scale: float
    """Pixels of the picture for one of a picture of 512."""

    def uniform(self, between: Range) -> float:
        """A number between two."""
        low, high = between
        return low + (high - low) * self.random.random()

    def toward(self, none: float, between: Range) -> float:
        """A number between two, brought towards the one that does nothing."""
        return none + self.strength * (self.uniform(between) - none)

    def signed(self, between: Range) -> float:
        """A number between two or their opposites, brought towards 0."""
        magnitude = self.toward(0.0, between)
        return magnitude if self.happens(0.5) else -magnitude

    def happens(self, probability: float) -> bool:
        """Whether something does."""
        return bool(self.random.random() < probability)

    def one_of(self, weights: Mapping[_Choice, float]) -> _Choice:
        """One of several kinds."""
        chosen = self.random.random() * sum(weights.values())
        passed = accumulate(weights.values())
        return next(kind for kind, limit in zip(weights, passed, strict=True) if chosen < limit)


def or_on_cpu(operation: Callable[[Tensor], Tensor], pixels: Tensor) -> Tensor:
    """The result of an operation that not every device has."""
    try:
        return operation(pixels)
    except RuntimeError as error:  # NotImplementedError too
        if pixels.device.type == "cpu" or is_out_of_memory(error):
            raise
        return operation(pixels.cpu()).to(pixels.device)


def _check_range(name: str, value: Any, limits: Limits) -> None:
    try:
        low, high = (float(bound) for bound in value)
    except (TypeError, ValueError):
        low = math.nan
    if not limits.minimum <= low <= high <= limits.maximum:
        raise DegradeSettingsError(
            f"{name}: expected (low, high) with {limits.minimum:g} <= low <= high <= "
            f"{limits.maximum:g}, got {value!r}. Give two numbers within these limits, the lower "
            "one first."
        )


def _check_share(name: str, value: Any) -> None:
    if not (isinstance(value, int | float) and 0 <= value <= 1):
        raise DegradeSettingsError(
            f"{name}: expected a probability from 0 to 1, got {value!r}. Bring it into that range."
        )


def _check_weights(name: str, value: Any, kinds: type[Enum]) -> dict[Enum, float]:
    names = ", ".join(str(kind.value) for kind in kinds)
    try:
        weights = {kinds(kind): float(weight) for kind, weight in value.items()}
    except (AttributeError, TypeError, ValueError):
        weights = {}
    total = sum(weights.values())
    if not (0 < total < math.inf and min(weights.values()) >= 0):
        raise DegradeSettingsError(
            f"{name}: expected a weight of 0 or more for some of {names}, got {value!r}. "
            "Correct the names, and give one of them a weight above 0."
        )
    return weights
