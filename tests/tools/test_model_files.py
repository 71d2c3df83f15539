"""Finding checkpoints for the demo, and fetching one that is asked for into a folder of our own."""

import socket

import pytest

import model_files
from gpen_core.checkpoints.restorers import BUNDLED_NAME
from gpen_core.errors import CheckpointNotFoundError, UnreachableError
from model_files import ensure_checkpoint, models_folders


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The user's models folder; our own is not there yet, and nobody answers."""
    monkeypatch.delenv("COMFYUI_DIR", raising=False)
    monkeypatch.setenv("GPEN_MODELS_DIR", str(tmp_path))
    monkeypatch.setattr(model_files, "DOWNLOAD_FOLDER", tmp_path / "own")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("GPEN_MODEL_MIRROR", f"http://127.0.0.1:{unused.getsockname()[1]}")
        yield tmp_path


def test_models_folders_are_those_that_are_there(folder):
    assert models_folders() == [folder]
    (folder / "own").mkdir()
    assert models_folders() == [folder, folder / "own"]


@pytest.mark.parametrize("place", ["gpen", "facerestore_models", "own/facerestore_models"])
def test_a_checkpoint_on_disk_is_not_fetched(folder, place):
    (folder / place).mkdir(parents=True)
    (folder / place / "GPEN-BFR-512.onnx").touch()
    ensure_checkpoint("GPEN-BFR-512.onnx")


def test_the_bundled_network_is_always_there(folder):
    ensure_checkpoint(BUNDLED_NAME)


def test_a_published_checkpoint_is_fetched_from_the_mirror_into_our_own_folder(folder):
    with pytest.raises(UnreachableError, match=r"http://127\.0\.0\.1:\d+/datasets") as raised:
        ensure_checkpoint("GPEN-BFR-512.onnx")
    assert f"put it into {folder / 'own' / 'facerestore_models'}" in str(raised.value)


@pytest.mark.parametrize("name", ["mine.onnx", ""])
def test_a_name_that_leads_nowhere_is_an_error_with_the_names_that_do(folder, name):
    with pytest.raises(CheckpointNotFoundError, match=r"GPEN-BFR-2048\.onnx") as raised:
        ensure_checkpoint(name)
    assert f"got {name!r}" in str(raised.value)
