"""What a workflow file must keep to; each check lists what is wrong with it."""

import itertools
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from comfy_workflow import ui_to_api

TITLE_HEIGHT = 30
MAX_THUMBNAIL_BYTES = 100_000
MIN_THUMBNAIL_WIDTH = 480
NOTES = {"Note", "MarkdownNote"}
UPLOADS = {"image_upload", "video_upload", "audio_upload"}
UNMARKED_UPLOADS = {("VHS_LoadVideo", "video")}

Box = tuple[float, float, float, float]


def node_problems(workflow: dict, schemas: dict) -> Iterator[str]:
    """Nodes that the server does not have, or with other outputs than it says."""
    ids = [node["id"] for node in workflow["nodes"]]
    if len(set(ids)) < len(ids):
        yield f"two nodes share an id: {sorted(ids)}"
    for node in workflow["nodes"]:
        if node["type"] in NOTES:
            continue
        schema = schemas.get(node["type"])
        if schema is None:
            yield f"{_name(node)}: no such node"
            continue
        saved = [slot["type"] for slot in node.get("outputs", [])]
        if saved != _types(schema["output"]):
            yield f"{_name(node)}: outputs {saved}, the schema has {schema['output']}"
        known = set(_input_types(schema))
        saved_names = {slot["name"] for slot in node.get("inputs", [])}
        # The page adds a button beside a file's name as an input of its own.
        for name in saved_names - known - {"upload", "choose video to upload"}:
            yield f"{_name(node)}: no input {name!r}"


def link_problems(workflow: dict, schemas: dict) -> Iterator[str]:
    """Links that the nodes at their ends do not know, or whose type does not fit there."""
    nodes = {node["id"]: node for node in workflow["nodes"]}
    links = {link[0]: link for link in workflow["links"]}
    if len(links) < len(workflow["links"]):
        yield "two links share an id"
    for number, origin, origin_slot, target, target_slot, kind in links.values():
        if origin not in nodes or target not in nodes:
            yield f"link {number}: one of its nodes is not there"
            continue
        output = _slot(nodes[origin]["outputs"], origin_slot)
        entry = _slot(nodes[target]["inputs"], target_slot)
        if number not in (output.get("links") or []):
            yield f"link {number}: {_name(nodes[origin])} does not know it"
        if entry.get("link") != number:
            yield f"link {number}: {_name(nodes[target])} does not know it"
        out_types = _types(schemas[nodes[origin]["type"]]["output"])
        given = out_types[origin_slot] if origin_slot < len(out_types) else None
        wanted = _input_types(schemas[nodes[target]["type"]]).get(entry.get("name"))
        if not (given == kind and wanted is not None and _fits(given, wanted)):
            yield f"link {number}: {given} as {kind} into {entry.get('name')} of type {wanted}"
    for node in nodes.values():
        known = [slot.get("link") for slot in node.get("inputs", [])]
        known += [link for slot in node.get("outputs", []) for link in slot.get("links") or []]
        for number in known:
            if number is not None and number not in links:
                yield f"{_name(node)}: link {number} is not in the table"
        required = schemas.get(node["type"], {}).get("input", {}).get("required", {})
        for slot in node.get("inputs", []):
            if slot["name"] in required and slot.get("link") is None and "widget" not in slot:
                yield f"{_name(node)}: nothing is connected to {slot['name']}"


def widget_problems(workflow: dict, schemas: dict) -> Iterator[str]:
    """Values that are no choice of their menu, outside their limits, or of another type."""
    for node in ui_to_api(workflow, schemas).values():
        specs = {
            name: spec
            for section in schemas[node["class_type"]]["input"].values()
            for name, spec in section.items()
        }
        for name, value in node["inputs"].items():
            kind, options = specs[name][0], (specs[name][1:] or [{}])[0]
            is_upload = UPLOADS & set(options) or (node["class_type"], name) in UNMARKED_UPLOADS
            if isinstance(value, list) or is_upload:
                continue  # a link, or a file that users have and we do not
            if reason := _widget_problem(kind, options, value):
                yield f"{node['_meta']['title']}: {name} is {value!r}, {reason}"


def layout_problems(workflow: dict) -> Iterator[str]:
    """Nodes or groups over each other, nodes across the edge of a group, nodes in none."""
    nodes = [(_name(node), _node_box(node)) for node in workflow["nodes"]]
    groups = [(f"group {g['title']}", _box(*g["bounding"])) for g in workflow.get("groups", [])]
    for same in (nodes, groups):
        for (one, box), (other, other_box) in itertools.combinations(same, 2):
            if _overlap(box, other_box):
                yield f"{one} lies over {other}"
    for node, (name, box) in zip(workflow["nodes"], nodes, strict=True):
        around = [group for group in groups if _overlap(box, group[1])]
        for group, group_box in around:
            if not _contains(group_box, box):
                yield f"{name} reaches out of {group}"
        if groups and not around and node["type"] not in NOTES:
            yield f"{name} is in no group"
    for group, group_box in groups:
        if not any(_contains(group_box, box) for _, box in nodes):
            yield f"{group} is empty"


def note_problems(workflow: dict) -> Iterator[str]:
    """No heading, or models that are to be had and not told of."""
    notes = [node["widgets_values"][0] for node in workflow["nodes"] if node["type"] in NOTES]
    if not notes or not notes[0].startswith("## "):
        yield "no note with a heading"
    for node in workflow["nodes"]:
        for model in node.get("properties", {}).get("models", []):
            for word in (model["name"], f"models/{model['directory']}"):
                if not any(word in note for note in notes):
                    yield f"no note names {word}"


def thumbnail_problems(file: Path) -> Iterator[str]:
    """What is wrong with the picture of a template, at this path."""
    if not file.is_file():
        yield "no thumbnail"
        return
    if file.stat().st_size > MAX_THUMBNAIL_BYTES:
        yield f"{file.stat().st_size} bytes"
    with Image.open(file) as image:
        image.load()
        if image.format != "JPEG" or image.width < MIN_THUMBNAIL_WIDTH:
            yield f"a {image.format} of {image.width} pixels"
        if image.convert("L").getextrema()[1] < 100:
            yield "it is black"


def _widget_problem(kind: object, options: dict, value: object) -> str | None:
    if isinstance(kind, list) or kind == "COMBO":
        choices = kind if isinstance(kind, list) else options["options"]
        return None if value in choices else f"not in {choices}"
    types = {"INT": int, "FLOAT": (int, float), "BOOLEAN": bool, "STRING": str}[str(kind)]
    is_number_wanted = kind in ("INT", "FLOAT")
    if not isinstance(value, types) or (is_number_wanted and isinstance(value, bool)):
        return f"not of type {kind}"
    if is_number_wanted and not options.get("min", value) <= value <= options.get("max", value):
        return f"outside {options.get('min')} to {options.get('max')}"
    return None


def _input_types(schema: dict) -> dict[str, str]:
    return {
        name: "COMBO" if isinstance(spec[0], list) else spec[0]
        for section in ("required", "optional")
        for name, spec in schema["input"].get(section, {}).items()
    }


def _types(outputs: list) -> list[str]:
    return ["COMBO" if isinstance(kind, list) else kind for kind in outputs]


def _fits(given: str, wanted: str) -> bool:
    return "*" in (given, wanted) or bool(set(given.split(",")) & set(wanted.split(",")))


def _slot(slots: list[dict], number: int) -> dict:
    return slots[number] if number < len(slots) else {}


def _name(node: dict) -> str:
    return f"{node.get('title') or node['type']} ({node['id']})"


def _box(x: float, y: float, width: float, height: float) -> Box:
    return x, y, x + width, y + height


def _node_box(node: dict) -> Box:
    (x, y), (width, height) = node["pos"], node["size"]
    return _box(x, y - TITLE_HEIGHT, width, height + TITLE_HEIGHT)


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _contains(outer: Box, inner: Box) -> bool:
    return (
        outer[0] <= inner[0]
        and outer[1] <= inner[1]
        and inner[2] <= outer[2]
        and inner[3] <= outer[3]
    )
