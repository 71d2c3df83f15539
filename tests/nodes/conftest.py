"""The pack imported inside ComfyUI's modules, on the CPU, without a server."""

import asyncio
import importlib.util
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from environment import REPOSITORY, host_folder
from gpen_core.checkpoints.checkpoint import save_checkpoint
from gpen_core.network.config import GpenConfig
from gpen_core.network.synthetic import identity_state_dict

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


@pytest.fixture(scope="module")
def node_classes(pack):
    """The classes of all nodes."""

    async def load():
        extension = await pack.comfy_entrypoint()
        return await extension.get_node_list()

    # In a thread: after browser tests this one has an event loop running.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(load())).result()


@pytest.fixture(scope="session")
def host(pack):
    """The pack's own module around ComfyUI."""
    return sys.modules[f"{PACK}.nodes.host"]


@pytest.fixture(scope="session")
def models(pack):
    """The pack's own module around model files."""
    return sys.modules[f"{PACK}.nodes.models"]


@pytest.fixture(scope="session")
def model_folders(pack):
    """The pack's own module around the folders of model files."""
    return sys.modules[f"{PACK}.nodes.model_folders"]


@pytest.fixture
def no_folders(tmp_path, monkeypatch):
    """ComfyUI's folder table, empty, of this test alone."""
    import folder_paths

    monkeypatch.setattr(folder_paths, "models_dir", str(tmp_path))
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", {})
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    return folder_paths


@pytest.fixture
def folders(no_folders, model_folders, monkeypatch):
    """ComfyUI's folder table with the pack's folders in it, of this test alone; no downloads."""
    monkeypatch.setenv("GPEN_DOWNLOAD", "0")
    model_folders.register_model_folders()
    return no_folders


@pytest.fixture
def hosted(folders, models, tmp_path):
    """A checkpoint in ComfyUI's memory management."""
    (tmp_path / "gpen").mkdir()
    state_dict = identity_state_dict(GpenConfig(256, 1, 0.0625))
    save_checkpoint(state_dict, tmp_path / "gpen" / "a.safetensors")
    return models.host_model("a.safetensors", "auto", may_download=False)
