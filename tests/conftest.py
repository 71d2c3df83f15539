"""Fixtures for every test: the package under test and the data files that some tests need."""

import importlib.util
import os
import sys
from pathlib import Path

import hypothesis
import pytest
import torch

# Speed is no test: the first example may have a library to load.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # runs kernels on the CPU; read when Triton is imported

REPOSITORY = Path(__file__).resolve().parent.parent


def _register(name: str, folder: Path) -> None:
    """Import a package by its folder, keeping the repository off ``sys.path``.

    With the repository on the path its ``nodes`` package would shadow ComfyUI's ``nodes.py``.
    """
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


_register("gpen_core", REPOSITORY / "gpen_core")
_register("training", REPOSITORY / "training")

pytest_plugins = ["support.host_fixtures", "support.photos"]


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder with golden/, models/ and images/, named by GPEN_TEST_DATA; skips without it."""
    folder = os.environ.get("GPEN_TEST_DATA")
    if not folder:
        pytest.skip("GPEN_TEST_DATA does not name a folder with golden/, models/ and images/")
    return Path(folder)
