"""The schema of a node, for hosts of different ages."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import fields
from typing import Any

from comfy_api.latest import io

from .types import CATEGORY


def node_schema(
    *,
    search_aliases: list[str],
    inputs: Sequence[io.Input] = (),
    shown: Collection[str] | None = None,
    **described: Any,
) -> io.Schema:
    """A schema in the pack's category.

    Args:
        search_aliases: Other words under which users look for the node; newer hosts search them.
        inputs: Sockets and widgets.
        shown: Ids of the widgets that a beginner needs; newer hosts fold the others away as
            advanced ones, older hosts show all. None: all of them.
        **described: The other fields of ``io.Schema``.
    """
    for widget in inputs:
        if shown is not None and isinstance(widget, io.WidgetInput) and widget.id not in shown:
            # Not an argument of theirs: combos take none in older hosts.
            widget.extra_dict = {**(widget.extra_dict or {}), "advanced": True}
    if "search_aliases" in {field.name for field in fields(io.Schema)}:
        described["search_aliases"] = search_aliases
    return io.Schema(category=CATEGORY, inputs=list(inputs), **described)
