"""Imports run one way: the drawn graph has no circle and no arrow upward."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

import gpen_core

PACKAGE = Path(gpen_core.__file__).parent
REPOSITORY = PACKAGE.parent
FLOORS = (
    {"errors", "files", "monitor"},
    {"bundled", "images", "settings"},
    {"geometry", "network"},
    {"checkpoints", "degradation"},
    {"downloads", "faces"},
    {"blending", "comparison"},
    {"pipeline"},
    {"restorer", "swaps"},
    {"media"},
    {"gpen_core"},  # what it exports
    {"commands"},
    {"__main__"},
)
"""The rooms, lowest first: each may import from lower floors, and from itself."""

DEEP_IMPORTS = {
    ("training/network.py", "network"): "states the published network once more, to be trained",
    ("training/start.py", "network"): "draws weights of the published names and shapes",
    ("benchmarks/costs.py", "network"): "counts the arithmetic of each layer",
    ("benchmarks/gpu.py", "network"): "switches kernels on and off",
    ("benchmarks/half_precision.py", "network"): "looks at the values between the layers",
    ("benchmarks/fidelity.py", "geometry"): "measures the resampling by itself",
    ("benchmarks/quality.py", "commands"): "chooses the device as the command line does",
}
"""What reaches past the exports into a room, and why."""


class Arrow(NamedTuple):
    """One import: which module takes which name from which."""

    source: str
    target: str
    name: str | None
    place: str


def module_name(path: Path) -> str:
    parts = ("gpen_core", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported(node: ast.AST, package: str):
    """Module and name of each thing that a statement imports."""
    if isinstance(node, ast.Import):
        yield from ((alias.name, None) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parents = package.split(".")[: 1 - node.level or None]
            base = ".".join([*parents, *filter(None, [node.module])])
        for alias in node.names:
            module = f"{base}.{alias.name}".lstrip(".")
            yield (module, None) if module in MODULES or not base else (base, alias.name)


def draw_arrows():
    """Every import in the package, also inside functions and for type checking only."""
    for source, path in MODULES.items():
        package = source if path.name == "__init__.py" else source.rpartition(".")[0]
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            for target, name in imported(node, package):
                place = f"{path.relative_to(REPOSITORY)}:{node.lineno}"
                yield Arrow(source, target, name, place)


ARROWS = list(draw_arrows())
INNER = [arrow for arrow in ARROWS if arrow.target in MODULES]


def room(module: str) -> str:
    """The folder or file of the top level that a module belongs to."""
    return module.split(".")[1] if "." in module else module


def floor(module: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room(module) in rooms)


def test_every_room_has_one_floor():
    assert sorted(name for rooms in FLOORS for name in rooms) == sorted(set(map(room, MODULES)))


def test_no_import_runs_up_or_across_a_floor():
    wrong = [
        f"{arrow.place} imports {arrow.target}"
        for arrow in INNER
        if room(arrow.source) != room(arrow.target) and floor(arrow.source) <= floor(arrow.target)
    ]
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle():
    graph = {module: set() for module in MODULES}
    for arrow in INNER:
        graph[arrow.source].add(arrow.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_what_stands_on_the_core_imports_only_what_it_exports():
    found = {
        (user, room(target))
        for user, package, path in users()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        for target, _ in imported(node, package)
        if target.startswith("gpen_core.") and not target.startswith(package)
    }
    assert found == set(DEEP_IMPORTS)


def users():
    """Name, package and path of each file that uses the core."""
    for folder in ("nodes", "gpen_core/commands", "training", "tools", "benchmarks"):
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            yield f"{folder}/{path.name}", folder.replace("/", "."), path


def test_the_core_knows_nothing_of_comfyui():
    hosts = {"nodes", "comfy", "comfy_api", "comfy_execution", "comfy_extras", "folder_paths"}
    wrong = [
        f"{arrow.place} imports {arrow.target}"
        for arrow in ARROWS
        if arrow.target.split(".")[0] in hosts or arrow.target.startswith("gpen_core.nodes")
    ]
    assert wrong == []


def test_no_private_name_leaves_its_module():
    wrong = [
        f"{arrow.place} imports {arrow.name} from {arrow.target}"
        for arrow in INNER
        if arrow.name and arrow.name.startswith("_") and not arrow.name.startswith("__")
    ]
    assert wrong == []
