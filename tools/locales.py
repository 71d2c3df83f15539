"""Keep the translations of the nodes complete: ``locales/<language>/`` in ComfyUI's format.

English is written from the schemas of the nodes, so that no text is typed twice. The other
languages are compared with it: what is missing or left over is listed, and texts whose English has
changed. ComfyUI serves these files at ``/i18n``; its front end falls back to the schemas.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

from environment import REPOSITORY, host_folder

FOLDER = REPOSITORY / "locales"
ENGLISH = "en"
LANGUAGES = ("de", "es", "fr", "ja", "ko", "ru", "zh")  # ComfyUI's codes
NODES_FILE = "nodeDefs.json"
MAIN_FILE = "main.json"
# What ComfyUI itself has no translation for.
OWN_CATEGORIES = ("face restoration",)
OWN_TYPES = ("GPEN_MODEL", "GPEN_FACES")

Texts = dict[str, Any]
"""What a file holds: texts by name, in as many levels as ComfyUI looks up."""


def main() -> int:
    """Write English and compare the rest; the exit status is 1 if a translation needs work."""
    english = english_texts(load_node_classes())
    before = dict(flatten(read_locale(ENGLISH)))
    write_locale(ENGLISH, english)
    after = dict(flatten(english))
    changed = [key for key in after if key in before and before[key] != after[key]]
    for key in changed:
        print(f"changed in English, translate again: {'/'.join(key)}")
    problems = [
        f"{language}: {problem}"
        for language in LANGUAGES
        for problem in differences(english, read_locale(language))
    ]
    print("\n".join(problems) or f"{len(after)} texts in {len(LANGUAGES) + 1} languages.")
    return 1 if problems or changed else 0


def load_node_classes() -> list[Any]:
    """The node classes of the pack, imported as ComfyUI does it, on the CPU."""
    sys.path.insert(0, str(host_folder()))
    # Before ComfyUI puts its folder "comfy" on the path, in which there is another "utils".
    importlib.import_module("utils.install_util")
    importlib.import_module("comfy.cli_args").args.cpu = True
    importlib.import_module("server")  # loads what the pack finds loaded in ComfyUI
    return node_classes(_import_pack())


def node_classes(pack: ModuleType) -> list[Any]:
    """The node classes of the imported pack, in the order of the menu."""
    extension = asyncio.run(pack.comfy_entrypoint())
    classes: list[Any] = asyncio.run(extension.get_node_list())
    return classes


def english_texts(classes: Iterable[Any]) -> dict[str, Texts]:
    """The texts of the schemas, by the file that they belong into."""
    return {
        NODES_FILE: {node.GET_SCHEMA().node_id: _node_texts(node.GET_SCHEMA()) for node in classes},
        MAIN_FILE: {
            "nodeCategories": {name: name for name in OWN_CATEGORIES},
            "dataTypes": {name: name for name in OWN_TYPES},
        },
    }


def read_locale(language: str) -> dict[str, Texts]:
    """The texts of a language by file; a file that is not there is empty."""
    files = {name: FOLDER / language / name for name in (NODES_FILE, MAIN_FILE)}
    return {
        name: json.loads(file.read_text("utf-8")) if file.is_file() else {}
        for name, file in files.items()
    }


def write_locale(language: str, texts: dict[str, Texts]) -> None:
    """Write the files of a language."""
    for name, content in texts.items():
        file = FOLDER / language / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", "utf-8")


def flatten(texts: Texts, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every text with the names that lead to it."""
    for name, value in texts.items():
        if isinstance(value, dict):
            yield from flatten(value, (*path, name))
        else:
            yield (*path, name), value


def differences(english: Texts, translated: Texts) -> list[str]:
    """What is missing in a translation, empty in it, or left over."""
    wanted, found = dict(flatten(english)), dict(flatten(translated))
    return [
        *(f"missing: {'/'.join(key)}" for key in wanted if key not in found),
        *(f"empty: {'/'.join(key)}" for key, text in found.items() if not text.strip()),
        *(f"left over: {'/'.join(key)}" for key in found if key not in wanted),
    ]


def _node_texts(schema: Any) -> Texts:
    return {
        "display_name": schema.display_name,
        "description": schema.description,
        "inputs": {
            widget.id: {"name": widget.display_name or widget.id, "tooltip": widget.tooltip}
            for widget in schema.inputs
        },
        "outputs": {
            str(index): _output_texts(socket) for index, socket in enumerate(schema.outputs)
        },
    }


def _output_texts(socket: Any) -> Texts:
    # An output that is called like its type gets its name from the type's translation.
    is_named = socket.display_name not in (None, socket.get_io_type())
    name = {"name": socket.display_name} if is_named else {}
    return {**name, "tooltip": socket.tooltip}


def _import_pack() -> ModuleType:
    name = "gpen_face_restore"
    spec = importlib.util.spec_from_file_location(
        name, REPOSITORY / "__init__.py", submodule_search_locations=[str(REPOSITORY)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main())
