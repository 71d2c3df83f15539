"""Workflow files as ComfyUI's web page saves them, converted to the API format that it queues.

Follows the front end (1.32): ``graphToPrompt``, the order of a node's widgets, bypassed nodes.
Not supported: subgraphs and group nodes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

WIDGET_TYPES = frozenset({"BOOLEAN", "COLOR", "COMBO", "FLOAT", "INT", "MARKDOWN", "STRING"})
"""Input types for which the front end itself makes a widget."""

_ANNOTATIONS = frozenset({"Note", "MarkdownNote"})
_PRIMITIVE = "PrimitiveNode"
_REROUTE = "Reroute"
_MUTED, _BYPASSED = 2, 4  # LiteGraph's node modes NEVER and BYPASS
_SEED_NAMES = frozenset({"seed", "noise_seed"})
_CONTROL_MODES = frozenset({"fixed", "increment", "decrement", "randomize", "increment-wrap"})


class WorkflowError(ValueError):
    """A workflow file does not fit the nodes it names."""


@dataclass(frozen=True)
class _Link:
    origin_id: str
    origin_slot: int
    type: str


@dataclass(frozen=True)
class _Widget:
    name: str
    default: Any
    n_controls: int
    """Values after its own that steer it between runs, such as control_after_generate."""


def ui_to_api(
    workflow: Mapping[str, Any],
    object_info: Mapping[str, Mapping[str, Any]],
    extra_widget_types: Collection[str] = (),
) -> dict[str, dict[str, Any]]:
    """Convert a saved workflow to what the web page would queue for it.

    Args:
        workflow: Content of the file.
        object_info: Schemas of all nodes by id, from the server.
        extra_widget_types: Input types for which a pack's JavaScript makes a widget.

    Raises:
        WorkflowError: The workflow names a node or input that does not exist, misses a control
            value, or needs something that is not supported.
    """
    return _Converter(workflow, object_info, WIDGET_TYPES.union(extra_widget_types)).convert()


def nodes_of_type(prompt: Mapping[str, Mapping[str, Any]], class_type: str) -> list[str]:
    """Ids of the nodes of one type in an API format graph, in its order."""
    return [key for key, node in prompt.items() if node["class_type"] == class_type]


class _Converter:
    def __init__(
        self,
        workflow: Mapping[str, Any],
        object_info: Mapping[str, Mapping[str, Any]],
        widget_types: Collection[str],
    ) -> None:
        if (workflow.get("definitions") or {}).get("subgraphs"):
            raise WorkflowError("workflow: expected no subgraphs, got some. Unpack them first.")
        self.nodes = {str(node["id"]): node for node in workflow["nodes"]}
        self.links = dict(_read_link(link) for link in workflow["links"])
        self.object_info = object_info
        self.widget_types = widget_types

    def convert(self) -> dict[str, dict[str, Any]]:
        prompt = {}
        for key, node in self.nodes.items():
            if node["type"] in _ANNOTATIONS | {_PRIMITIVE, _REROUTE}:
                continue
            if node.get("mode", 0) in (_MUTED, _BYPASSED):
                continue
            if node["type"] not in self.object_info:
                raise WorkflowError(f"{_title(node)}: expected a node of the server, got none.")
            prompt[key] = {
                "class_type": node["type"],
                "inputs": {**self._widget_values(node), **self._linked_values(node)},
                "_meta": {"title": _title(node)},
            }
        for converted in prompt.values():
            # A link from a muted node takes the value of the widget it drives away with it.
            converted["inputs"] = {
                name: value
                for name, value in converted["inputs"].items()
                if not isinstance(value, list) or value[0] in prompt
            }
        return prompt

    def _widget_values(self, node: Mapping[str, Any]) -> dict[str, Any]:
        stored = node.get("widgets_values") or []
        widgets = list(self._widgets(node))
        if isinstance(stored, Mapping):
            return {widget.name: stored.get(widget.name, widget.default) for widget in widgets}
        remaining = list(stored)
        values = {}
        for widget in widgets:
            # A widget younger than the file keeps its default.
            values[widget.name] = _wrapped(remaining.pop(0) if remaining else widget.default)
            controls, remaining = remaining[: widget.n_controls], remaining[widget.n_controls :]
            if controls and controls[0] not in _CONTROL_MODES:
                raise WorkflowError(
                    f"{_title(node)}: expected one of {sorted(_CONTROL_MODES)} after the value of "
                    f"{widget.name!r}, got {controls[0]!r}."
                )
        return values

    def _widgets(self, node: Mapping[str, Any]) -> Iterator[_Widget]:
        """Widgets of a node in the front end's order, without upload buttons (they come last)."""
        info = self.object_info[node["type"]]
        order = info.get("input_order") or {}
        for section in ("required", "optional"):
            specs = info["input"].get(section) or {}
            for name in order.get(section, specs):
                kind, options = specs[name][0], (specs[name][1:] or [{}])[0]
                forced = options.get("forceInput") or (
                    section == "optional" and options.get("defaultInput")
                )
                if isinstance(kind, list):
                    kind, options = "COMBO", {"options": kind, **options}
                kind = options.get("widgetType", kind)
                if kind in self.widget_types and not forced:
                    yield _Widget(name, _default(kind, options), _n_controls(name, kind, options))

    def _linked_values(self, node: Mapping[str, Any]) -> dict[str, Any]:
        info = self.object_info[node["type"]]
        known = {name for section in info["input"].values() for name in section}
        values = {}
        for slot in node.get("inputs") or []:
            if slot.get("link") is None:
                continue
            if slot["name"] not in known:
                raise WorkflowError(
                    f"{_title(node)}: expected one of the inputs {sorted(known)}, got a link to "
                    f"{slot['name']!r}."
                )
            source = self._source(slot["link"], slot.get("type", "*"))
            if source is not None:
                values[slot["name"]] = source
        return values

    def _source(self, link_id: int, wanted_type: str) -> Any:
        """What feeds a link: [node id, slot], a primitive's value, or None if nothing does."""
        visited = set()
        while link_id not in visited:
            visited.add(link_id)
            if link_id not in self.links:
                raise WorkflowError(f"workflow: expected a link with id {link_id}, got none.")
            link = self.links[link_id]
            node = self.nodes.get(link.origin_id)
            if node is None:
                raise WorkflowError(f"workflow: link {link_id} starts at a node that is not there.")
            if node["type"] == _PRIMITIVE:
                return _wrapped(node["widgets_values"][0])
            if node["type"] == _REROUTE:
                slot = node["inputs"][0]
            elif node.get("mode", 0) == _BYPASSED:
                bypass = _bypass_slot(node, link.origin_slot, wanted_type)
                if bypass is None:
                    return None
                slot = bypass
            else:
                return [link.origin_id, link.origin_slot]
            if slot.get("link") is None:
                return None
            link_id = slot["link"]
        raise WorkflowError(f"workflow: link {link_id} leads back to itself.")


def _read_link(link: Any) -> tuple[int, _Link]:
    if isinstance(link, Mapping):  # schema version 1
        return link["id"], _Link(str(link["origin_id"]), link["origin_slot"], link["type"])
    return link[0], _Link(str(link[1]), link[2], link[5])


def _bypass_slot(
    node: Mapping[str, Any], output_slot: int, wanted_type: str
) -> Mapping[str, Any] | None:
    """The input that a bypassed node hands through to one of its outputs."""
    inputs: list[Mapping[str, Any]] = node.get("inputs") or []
    if not inputs:
        return None
    output_type = node["outputs"][output_slot]["type"]
    opposite = inputs[output_slot] if output_slot < len(inputs) else None
    if wanted_type in ("*", ""):
        return opposite or inputs[0]
    if opposite is not None and _fits(opposite["type"], output_type, wanted_type):
        return opposite
    exact = next((slot for slot in inputs if slot["type"] == wanted_type), None)
    return exact or next(
        (slot for slot in inputs if _fits(slot["type"], output_type, wanted_type)), None
    )


def _fits(source: str, *targets: str) -> bool:
    kinds = set(source.split(","))
    return all("*" in (source, target) or kinds & set(target.split(",")) for target in targets)


def _default(kind: str, options: Mapping[str, Any]) -> Any:
    if "default" in options:
        return options["default"]
    if kind == "COMBO":
        return next(iter(options.get("options") or []), None)
    return {"BOOLEAN": False, "FLOAT": 0, "INT": 0}.get(kind, "")


def _n_controls(name: str, kind: str, options: Mapping[str, Any]) -> int:
    is_steered = options.get("control_after_generate", name in _SEED_NAMES)
    if kind == "INT" and is_steered:
        return 1
    # A steered combo also has a filter text.
    return 2 if kind == "COMBO" and options.get("control_after_generate") else 0


def _wrapped(value: Any) -> Any:
    # In API format a bare list would be a link.
    return {"__value__": value} if isinstance(value, list) else value


def _title(node: Mapping[str, Any]) -> str:
    return str(node.get("title") or f"{node['type']} {node['id']}")
