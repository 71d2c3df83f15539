"""What the Comfy Registry reads: the table in pyproject.toml, icon, banner and what is left out."""

import re
import subprocess

import pytest
from PIL import Image

from environment import REPOSITORY
from gpen_core.bundled import BUNDLED_DETECTOR

tomllib = pytest.importorskip("tomllib")  # from Python 3.11 on

NAME = re.compile(r"[a-z][a-z0-9]*([-_.][a-z0-9]+)*")
NEEDED = ("__init__.py", "gpen_core", "js", "locales", "nodes", "workflows", "requirements.txt")
LEFT_BLANK = {"PublisherId", "Icon", "Banner"}  # known to the publisher alone


@pytest.fixture(scope="module")
def table():
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))


def test_the_project_is_named_and_versioned_as_the_registry_demands(table):
    project = table["project"]
    assert project["name"] == "gpen-face-restore"
    assert NAME.fullmatch(project["name"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"])
    assert (REPOSITORY / project["license"]["file"]).is_file()
    assert "Operating System :: OS Independent" in project["classifiers"]


def test_the_comfy_table_has_only_what_the_registry_knows(table):
    comfy = table["tool"]["comfy"]
    assert comfy["DisplayName"] == "GPEN Face Restore"
    assert comfy["requires-comfyui"] == ">=0.3.75"
    assert comfy.keys() - LEFT_BLANK <= {"DisplayName", "requires-comfyui", "includes"}
    for key in ("Icon", "Banner"):
        assert comfy.get(key, "https://").startswith("https://")
    assert "web" not in comfy  # ComfyUI would register it beside WEB_DIRECTORY


def test_dependencies_are_those_of_the_requirements_and_pinned_nowhere(table):
    lines = (REPOSITORY / "requirements.txt").read_text("utf-8").splitlines()
    required = [line for line in lines if line and not line.startswith("#")]
    assert table["project"]["dependencies"] == required
    assert all(re.fullmatch(r"[a-z-]+", name) for name in required)


def test_icon_and_banner_have_the_sizes_of_the_registry():
    for name, is_right in (
        ("icon", lambda width, height: width == height <= 400),
        ("banner", lambda width, height: width * 9 == height * 21),
    ):
        file = REPOSITORY / "docs" / "images" / f"{name}.png"
        with Image.open(file) as picture:
            assert picture.format == "PNG"
            assert is_right(*picture.size), picture.size
        assert file.stat().st_size < 100_000


def test_the_package_leaves_out_what_users_do_not_need_and_nothing_else():
    ignored = _ignored(["tests/conftest.py", "benchmarks/speed.py", "tools/demo.py", "Makefile"])
    assert len(ignored) == 4
    files = [
        str(file.relative_to(REPOSITORY))
        for name in NEEDED
        for file in [REPOSITORY / name, *(REPOSITORY / name).rglob("*")]
    ]
    assert _ignored([*files, "pyproject.toml", "LICENSE", "README.md"]) == []


def test_the_wheel_has_every_bundled_file(table):
    patterns = table["tool"]["setuptools"]["package-data"]["gpen_core"]
    folder = REPOSITORY / "gpen_core" / "bundled"
    files = [f for f in folder.iterdir() if f.is_file() and f.suffix != ".py"]
    assert {"README.md", "LICENSE.retinaface", BUNDLED_DETECTOR.name} <= {
        file.name for file in files
    }
    for file in files:
        inside = file.relative_to(REPOSITORY / "gpen_core")
        assert any(inside.match(pattern) for pattern in patterns), file
    assert BUNDLED_DETECTOR.stat().st_size < 2_000_000


def _ignored(files):
    """Those that ``.comfyignore``, which is read like a ``.gitignore``, leaves out."""
    command = ["git", "-c", f"core.excludesFile={REPOSITORY / '.comfyignore'}"]
    command += ["check-ignore", "--no-index", "--stdin"]
    done = subprocess.run(  # noqa: S603 a fixed command
        command, cwd=REPOSITORY, input="\n".join(files), capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    return [line for line in done.stdout.splitlines() if "__pycache__" not in line]


def test_every_package_is_installed(table):
    settings = table["tool"]["setuptools"]
    inside = (REPOSITORY / "gpen_core").rglob("__init__.py")
    found = {".".join(file.parent.relative_to(REPOSITORY).parts) for file in inside}

    assert set(settings["packages"]) == found | {"gpen_training"}
    assert settings["package-dir"] == {"gpen_training": "training"}
