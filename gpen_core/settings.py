"""What settings are made of: choices among words, and numbers within limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import SettingError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Settings = TypeVar("Settings", bound=DataclassInstance)


class Choice(str, Enum):
    """One of several words."""

    @classmethod
    def _missing_(cls, value: object) -> None:
        """Refuse any other.

        Raises:
            SettingError: Always; the message lists the words.
        """
        name = re.sub(r"(?<!^)(?=[A-Z])", " ", cls.__name__).lower()
        options = ", ".join(repr(option.value) for option in cls)
        raise SettingError(f"{name}: expected one of {options}, got {value!r}. Choose one.")


def pick_settings(kind: type[Settings], values: Mapping[str, Any]) -> Settings:
    """Settings of a kind from values of the same names; other values are passed over.

    Args:
        kind: A dataclass, such as ``BlendSettings``.
        values: Such as those of the widgets of a node or of the options of a command. Fields that
            are not among them keep their defaults.
    """
    names = {field.name for field in fields(kind)}
    return kind(**{name: value for name, value in values.items() if name in names})


def check_limits(settings: object, limits: Mapping[str, tuple[float, float]]) -> None:
    """Check that numbers lie between their limits, these included.

    Args:
        settings: Has an attribute for each number.
        limits: The lowest and the highest value of each, by the attribute's name.

    Raises:
        SettingError: One does not.
    """
    for name, (low, high) in limits.items():
        value = getattr(settings, name)
        if not low <= value <= high:
            raise SettingError(
                f"{name}: expected {low:g} to {high:g}, got {value}. Bring it into that range."
            )
