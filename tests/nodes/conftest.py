"""The pack imported inside ComfyUI's modules, on the CPU, without a server."""

import importlib.util
import sys

import pytest
import torch

from environment import REPOSITORY, host_folder

PACK = "gpen_pack"


def _import_pack():
    host = host_folder()
    sys.path.insert(0, str(host))
    import comfy.cli_args

    comfy.cli_args.args.cpu = True  # before the first import of its model management
    import server  # noqa: F401 loads what the pack finds loaded in ComfyUI

    spec = importlib.util.spec_from_file_location(
        PACK, REPOSITORY / "__init__.py", submodule_search_locations=[str(REPOSITORY)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[PACK] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def pack():
    """The root package, as ComfyUI imports it."""
    if not (host_folder() / "main.py").is_file():
        pytest.skip("no ComfyUI: run 'make setup'")
    with torch.inference_mode(False):
        return sys.modules.get(PACK) or _import_pack()


@pytest.fixture(scope="session")
def host(pack):
    """The pack's own module around ComfyUI."""
    return sys.modules[f"{PACK}.nodes.host"]
