"""Values of widgets that ComfyUI has not checked: in its older versions any combo, always NaN."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from inspect import signature
from numbers import Real
from typing import Any, TypeVar, cast

from comfy_api.latest import io

from ..gpen_core import SettingError

Execute = TypeVar("Execute", bound=Callable[..., io.NodeOutput])

_FILES = {"model_name"}
"""Combos of files: any name may come, because the error of a missing file says where it belongs."""
_MAX_SHOWN = 80


def checks_widgets(execute: Execute) -> Execute:
    """Let the ``execute`` of a node refuse what none of its widgets can hold."""
    names = [*signature(execute).parameters][1:]

    @wraps(execute)
    def checked(cls: type[io.ComfyNode], *values: Any, **inputs: Any) -> io.NodeOutput:
        given = dict(zip(names, values, strict=False))
        check_widgets(cls.define_schema().inputs, {**given, **inputs})
        return execute(cls, *values, **inputs)

    return cast(Execute, checked)


def check_widgets(widgets: Iterable[io.Input], inputs: Mapping[str, Any]) -> None:
    """Check that each value is of its widget's kind, whether it was set there or linked to it.

    Args:
        widgets: The inputs of a schema; sockets are passed over.
        inputs: Values by id; what is missing is passed over.

    Raises:
        SettingError: One is another text than the options, null, NaN or of another type.
    """
    for widget in widgets:
        if not isinstance(widget, io.WidgetInput) or widget.id not in inputs:
            continue
        value = inputs[widget.id]
        is_allowed, expected, remedy = _judge(widget, value)
        if not is_allowed:
            shown = repr(value)
            if len(shown) > _MAX_SHOWN:
                shown = f"{shown[:_MAX_SHOWN]}..."
            raise SettingError(f"{widget.id}: expected {expected}, got {shown}. {remedy}")


def _judge(widget: io.WidgetInput, value: object) -> tuple[bool, str, str]:
    """Whether a widget can hold a value; what it can hold, and what to do, in words."""
    if isinstance(widget, io.Combo.Input):
        if widget.id in _FILES:
            return isinstance(value, str), "the name of a file", "Choose one in the widget."
        options = ", ".join(map(repr, widget.options))
        return value in widget.options, f"one of {options}", "Choose one in the widget."
    if isinstance(widget, io.Boolean.Input):
        is_switch = isinstance(value, Real) and value in (0, 1)
        return is_switch, "true or false", "Switch it on or off."
    if isinstance(widget, io.Int.Input | io.Float.Input):
        is_number = isinstance(value, Real) and math.isfinite(value)
        kind = "a number"
        if isinstance(widget, io.Int.Input):
            kind = "a whole number"
            is_number = is_number and value == math.floor(cast(Real, value))
        return is_number, f"{kind} from {widget.min} to {widget.max}", "Enter one."
    return isinstance(value, str), "text", "Enter it, or leave the widget empty."
