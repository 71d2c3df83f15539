"""What ``import gpen_core`` gives, and what it brings in."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gpen_core
from gpen_core import errors, media

REPOSITORY = Path(gpen_core.__file__).parents[1]


@pytest.mark.parametrize("name", gpen_core.__all__)
def test_every_public_name_is_there(name):
    assert getattr(gpen_core, name) is not None
    assert name in dir(gpen_core)


def test_type_checkers_and_python_find_every_name_in_the_same_module():
    tree = ast.parse(Path(gpen_core.__file__).read_text("utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
    typed = {alias.asname: f"gpen_core.{node.module}" for node in imports for alias in node.names}
    assert {name: f"gpen_core{module}" for name, module in gpen_core._HOMES.items()} == typed


def test_a_name_that_is_not_public_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'gpen_core' has no attribute 'read_pictures'"):
        _ = gpen_core.read_pictures


def test_every_error_is_public():
    kinds = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.GpenError)
    }
    assert kinds <= set(gpen_core.__all__)


def test_all_that_reads_and_writes_pictures_is_public():
    assert set(media.__all__) <= set(gpen_core.__all__)


def test_the_version_is_that_of_the_project():
    project = (REPOSITORY / "pyproject.toml").read_text("utf-8")
    assert f'\nversion = "{gpen_core.__version__}"\n' in project
    assert re.fullmatch(r"\d+\.\d+\.\d+", gpen_core.__version__)


@pytest.mark.parametrize("project", [None, '[project]\nname = "another"\nversion = "7.0.0"\n'])
def test_a_copy_of_the_package_alone_does_not_know_its_version(tmp_path, project):
    (tmp_path / "gpen_core").mkdir()
    shutil.copy(gpen_core.__file__, tmp_path / "gpen_core")
    if project:
        (tmp_path / "pyproject.toml").write_text(project, "utf-8")
    assert printed("gpen_core.__version__", tmp_path) == "unknown"


def test_importing_brings_in_nothing_that_only_some_need():
    slow = ["av", "cv2", "facexlib", "kornia", "scipy", "torchvision"]
    assert printed(f"[name for name in {slow} if name in sys.modules]", REPOSITORY) == "[]"


def printed(expression, folder):
    """What a fresh Python in a folder prints after it has imported the package found there."""
    script = f"import sys, gpen_core; print({expression})"
    ran = subprocess.run(  # noqa: S603
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=True
    )
    return ran.stdout.strip()
