"""Which network the command line restores with: without a choice, with ``auto`` and by name."""

import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from gpen_core.__main__ import main
from gpen_core.bundled import BUNDLED_RESTORER
from gpen_core.checkpoints.checkpoint import read_notice, save_checkpoint
from gpen_core.checkpoints.restorers import BUNDLED_NAME
from gpen_core.network.config import GpenConfig
from gpen_core.network.synthetic import random_state_dict

# Around the astronaut's face.
FACE = (slice(0, 260), slice(110, 350))


@pytest.fixture(scope="module")
def photo(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "photo.png"
    Image.fromarray(skimage.data.astronaut()).save(path)
    return path


@pytest.fixture(autouse=True)
def no_models_folder(monkeypatch):
    monkeypatch.delenv("GPEN_MODELS_DIR", raising=False)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A models folder with networks of 256 and 512 pixels, and one for another task."""
    models = tmp_path / "models"
    names = {"": 256, "gpen": 512, "facerestore_models": 256}
    for subfolder, size in names.items():
        (models / subfolder).mkdir(exist_ok=True)
        state_dict = random_state_dict(GpenConfig(size, 1, 0.0625, 2, 32))
        save_checkpoint(state_dict, models / subfolder / f"GPEN-{size}.safetensors")
    (models / "GPEN-Colorization-1024.onnx").touch()
    return models


def restore(photo: Path, output: Path, *arguments: str, capsys) -> dict:
    command = ["restore", str(photo), "--output", str(output), "--rotations", "off", "--json"]
    assert main([*command, *map(str, arguments)]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_face_is_restored_without_any_model_on_disk(photo, tmp_path, capsys):
    assert main(["restore", str(photo), "--output", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    assert "1 file, 1 with faces." in printed.out
    assert f"Restoring with {BUNDLED_NAME}. {read_notice(BUNDLED_RESTORER)}" in printed.err
    before, after = (
        np.asarray(Image.open(path)).astype(int) for path in (photo, tmp_path / "out" / "photo.png")
    )
    changed = np.abs(after - before).max(axis=2)
    assert changed[FACE].max() > 4
    changed[FACE] = 0
    assert changed.max() == 0


def test_auto_takes_the_largest_of_the_models_folder(photo, folder, tmp_path, capsys):
    done = restore(photo, tmp_path / "out", "--models", folder, capsys=capsys)
    assert done["model"] == str(folder / "gpen" / "GPEN-512.safetensors")
    assert done["notice"] == ""


def test_auto_says_which_damaged_file_it_passed_over(photo, folder, tmp_path, capsys):
    (folder / "gpen" / "GPEN-BFR-2048.pth").write_bytes(b"PK\x03\x04")
    done = restore(photo, tmp_path / "out", "--models", folder, "--model", "auto", capsys=capsys)
    assert done["model"] == str(folder / "gpen" / "GPEN-512.safetensors")
    assert done["notice"].startswith("Passed over: GPEN-BFR-2048.pth: expected")


def test_the_bundled_network_can_be_named_beside_larger_ones(photo, folder, tmp_path, capsys):
    arguments = ("--models", folder, "--model", "bundled")
    done = restore(photo, tmp_path / "out", *arguments, capsys=capsys)
    assert done["model"] == str(BUNDLED_RESTORER)
    assert done["notice"] == read_notice(BUNDLED_RESTORER)


def test_a_models_folder_that_is_not_there_is_an_error(photo, tmp_path, capsys):
    command = ["restore", str(photo), "--output", str(tmp_path / "out")]
    assert main([*command, "--models", str(tmp_path / "absent")]) == 2
    assert "models: expected a folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
