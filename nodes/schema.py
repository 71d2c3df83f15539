"""The schema of a node, for hosts of different ages."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from comfy_api.latest import io

from .types import CATEGORY


def node_schema(*, search_aliases: list[str], **described: Any) -> io.Schema:
    """A schema in the pack's category.

    Args:
        search_aliases: Other words under which users look for the node; newer hosts search them.
        **described: The other fields of ``io.Schema``.
    """
    if "search_aliases" in {field.name for field in fields(io.Schema)}:
        described["search_aliases"] = search_aliases
    return io.Schema(category=CATEGORY, **described)
