"""What the documentation states and something else knows: the two must not drift apart."""

import re
import shlex

import pytest

from environment import REPOSITORY
from gpen_core.__main__ import make_parser
from gpen_core.bundled import BUNDLED_DETECTOR, BUNDLED_RESTORER
from gpen_core.checkpoints.registry import DETECTOR_MODELS, KNOWN_MODELS, PARSER_MODELS, find_known
from gpen_core.checkpoints.restorers import BUNDLED_NAME

README = (REPOSITORY / "README.md").read_text("utf-8")
PAGES = {
    file: file.read_text("utf-8")
    for folder in (".", "docs", "js/docs", "gpen_core/bundled", "training", "benchmarks/results")
    for file in sorted((REPOSITORY / folder).glob("*.md"))
}
SOURCES = {
    file: file.read_text("utf-8")
    for folder in ("gpen_core", "nodes")
    for file in sorted((REPOSITORY / folder).rglob("*.py"))
}
TESTS = "".join(file.read_text("utf-8") for file in sorted((REPOSITORY / "tests").rglob("*.py")))
MEGABYTES = r"[^()\n]{0,3}\((\d+(?:\.\d+)?) MB\)"
BUNDLED = {
    BUNDLED_NAME.removesuffix(" (bundled)"): BUNDLED_RESTORER,
    "mobile0.25": BUNDLED_DETECTOR,
}
NUMBER = re.compile(r"\d+\.\d+|\d+")
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda file: file.name)


def _section(text, heading):
    (found,) = re.findall(rf"^#+ {heading}\n(.*?)(?=^#|\Z)", text, re.DOTALL | re.MULTILINE)
    return found


def _messages():
    """The source with literals that go over several lines joined, as users read them."""
    return re.sub(r"\"\s*\n\s*f?\"", "", "".join(SOURCES.values()))


@every_page
def test_every_hash_is_that_of_a_known_file(page):
    known = {sha256 for model in KNOWN_MODELS for sha256 in model.hashes}
    known |= set(re.findall(r"SOURCE_SHA256 = \"(\w+)\"", TESTS))
    assert set(re.findall(r"\b[0-9a-f]{64}\b", PAGES[page])) <= known


@every_page
def test_every_file_of_weights_is_one_that_is_published(page):
    names = re.findall(r"`([\w.-]+\.(?:onnx|pth|pt))`", PAGES[page])
    assert {name for name in names if find_known(name) is None} <= {"state.pt"}


def test_the_readme_names_every_published_file_with_its_size():
    table = _section(README, "Models")
    for model in KNOWN_MODELS:
        assert f"`{model.filename}`" in table
        size = re.findall(rf"`{re.escape(model.filename)}`\)?{MEGABYTES}", table)
        size += re.findall(rf"\[`{re.escape(model.filename)}`\]\([^)]+\){MEGABYTES}", table)
        assert size == ([f"{model.n_bytes / 1e6:.0f}"] if model.n_bytes else []), model


def test_sizes_are_those_of_the_files():
    names = {
        **{name: model.n_bytes for name, model in {**DETECTOR_MODELS, **PARSER_MODELS}.items()},
        **{name.removeprefix("retinaface_"): m.n_bytes for name, m in DETECTOR_MODELS.items()},
        **{model.filename: model.n_bytes for model in KNOWN_MODELS},
        **{name: file.stat().st_size for name, file in BUNDLED.items()},
    }
    n_checked = 0
    for text in [*PAGES.values(), _messages()]:
        for name, n_bytes in names.items():
            for megabytes in re.findall(rf"{re.escape(name)}`?{MEGABYTES}", text):
                decimals = len(megabytes.partition(".")[2])
                assert megabytes == f"{n_bytes / 1e6:.{decimals}f}", name
                n_checked += 1
    assert n_checked > 10


def test_the_readme_lists_every_node_with_its_help_page():
    pages = re.findall(r"js/docs/(\w+)\.md", _section(README, "Nodes"))
    assert sorted(pages) == sorted(file.stem for file in (REPOSITORY / "js/docs").glob("*.md"))


def test_figures_of_the_readme_stand_on_the_page_that_it_links():
    items = re.findall(r"^- (.+?)\((docs/\w+\.md)", _section(README, "Measured"), re.M | re.S)
    assert len(items) == 3
    for item, page in items:
        assert set(NUMBER.findall(item)) <= set(NUMBER.findall(PAGES[REPOSITORY / page]))


def test_figures_of_speed_are_those_of_the_results():
    rows = dict(
        re.findall(r"^\| ([\w ]+) \| (\d.*) \|$", PAGES[REPOSITORY / "docs/speed.md"], re.M)
    )
    results = PAGES[REPOSITORY / "benchmarks/results/cpu.md"]
    names = {"this pack": "ours", "onnxruntime": "onnxruntime", "plain PyTorch": "plain"}
    assert rows.keys() == names.keys()
    for name, cells in rows.items():
        expected = []
        for size in (512, 2048):
            found = re.search(
                rf"^\| {names[name]} \| {size} \| (\d+) \| [\d.]+ \| ([\d.]+) \|", results, re.M
            )
            expected += [int(found[1]) / 1000, float(found[2])]
        assert [float(cell) for cell in cells.split(" | ")] == pytest.approx(expected, abs=0.051)


def test_messages_quoted_in_troubleshooting_are_those_of_the_code():
    messages = _messages()
    page = PAGES[REPOSITORY / "docs/troubleshooting.md"]
    quoted = re.findall(r"^\| \"([^\"]+)\"", page, re.MULTILINE)
    assert len(quoted) > 5
    for text in quoted:
        for part in text.split(" ... "):
            assert part in messages, part


@every_page
def test_every_command_line_is_one_that_the_parser_takes(page):
    for line in re.findall(r"^gpen (.+?)(?:  #.*)?$", _code(PAGES[page]), re.MULTILINE):
        arguments = shlex.split(line)
        assert make_parser(arguments[0]).parse_args(arguments)


@every_page
def test_environment_variables_exist(page):
    tools = "".join(file.read_text("utf-8") for file in (REPOSITORY / "tools").rglob("*.py"))
    code = "".join(SOURCES.values()) + tools + TESTS
    words = re.findall(r"\bGPEN_[A-Z_]+\b", PAGES[page])
    assert {word for word in words if f'"{word}"' not in code} == set()


@every_page
def test_make_targets_exist(page):
    makefile = (REPOSITORY / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"`?\bmake ([a-z-]+)[^a-z -]", _code(PAGES[page]))) <= targets


def _code(text):
    """What is set as code, inline or in a block."""
    return "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL))


def test_the_picture_of_the_tree_and_its_page_name_every_room():
    page = PAGES[REPOSITORY / "docs/architecture.md"]
    picture = (REPOSITORY / "docs/images/architecture.svg").read_text("utf-8")
    core = REPOSITORY / "gpen_core"
    rooms = [f"{file.parent.name}/" for file in core.glob("*/__init__.py")]
    rooms += [file.name for file in core.glob("*.py") if not file.name.startswith("_")]
    assert len(rooms) > 12
    for room in rooms:
        assert f"`{room}`" in page
        assert f">{room}<" in picture


def test_the_changelog_describes_the_version_of_the_project():
    project = (REPOSITORY / "pyproject.toml").read_text("utf-8")
    version = re.search(r"^version = \"(.+)\"$", project, re.MULTILINE)[1]
    changelog = (REPOSITORY / "CHANGELOG.md").read_text("utf-8")
    assert re.search(r"^## (\S+)", changelog, re.MULTILINE)[1] == version
