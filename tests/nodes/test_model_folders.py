"""The folders that models lie in, beside packs that replace folder categories."""

import importlib.util
import itertools
import os

import pytest

from environment import REPOSITORY
from support.host_fixtures import STAND_INS

NAMES = {"GPEN-BFR-512.onnx", "GPEN-mine.pth", "old/GPEN-BFR-256.safetensors"}


def run_script(path) -> None:
    spec = importlib.util.spec_from_file_location("script", path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


@pytest.fixture(params=[False, True], ids=["default-folder", "extra-folder"])
def shelf(request, no_folders, tmp_path):
    """A folder of checkpoints: ComfyUI's own, or one that the user has added."""
    folder = tmp_path / "facerestore_models"
    if request.param:
        folder = tmp_path / "elsewhere" / "faces"
        no_folders.add_model_folder_path("facerestore_models", str(folder), is_default=True)
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def import_reactor() -> None:
    run_script(STAND_INS / "reactor" / "__init__.py")


@pytest.fixture(params=["reactor-first", "reactor-second", "alone"])
def start(request, model_folders):
    """ComfyUI's start, up to where all packs are imported."""
    packs = {
        "alone": [model_folders.register_model_folders],
        "reactor-first": [import_reactor, model_folders.register_model_folders],
        "reactor-second": [model_folders.register_model_folders, import_reactor],
    }[request.param]

    def run() -> None:
        for step in (lambda: run_script(REPOSITORY / "prestartup_script.py"), *packs):
            step()

    return run


def test_whatever_lies_in_the_folders_is_listed_found_and_never_called_absent(
    shelf, start, models, model_folders
):
    start()
    assert {name.replace(os.sep, "/") for name in model_folders.checkpoints_on_disk()} == NAMES
    for name in NAMES:
        assert models.checkpoint_path(name, may_download=False) == shelf / name
    assert set(models.list_checkpoints()) >= NAMES
    assert not NAMES & set(models.absent_checkpoints())


def test_what_arrives_later_is_listed(shelf, start, model_folders):
    start()
    model_folders.checkpoints_on_disk()
    (shelf / "GPEN-late.pth").touch()
    os.utime(shelf, ns=(1, 1))  # a clock may be too coarse to show that something came
    assert "GPEN-late.pth" in model_folders.checkpoints_on_disk()


def test_downloads_go_where_the_user_keeps_such_models(shelf, start, model_folders):
    start()
    assert model_folders.searched_folders(["facerestore_models"])[0] == str(shelf)


def test_a_folder_that_another_pack_adds_later_is_searched(no_folders, start, models, tmp_path):
    start()
    added = tmp_path / "added"
    added.mkdir()
    (added / "GPEN-added.pth").touch()
    no_folders.add_model_folder_path("facerestore_models", str(added))
    assert models.checkpoint_path("GPEN-added.pth", may_download=False) == added / "GPEN-added.pth"


def test_registering_twice_keeps_what_is_registered(no_folders, model_folders, tmp_path):
    mine = str(tmp_path / "mine")
    no_folders.add_model_folder_path("facerestore_models", mine)
    for _ in range(2):
        model_folders.register_model_folders()
    paths = no_folders.get_folder_paths("facerestore_models")
    assert paths == [mine, str(tmp_path / "facerestore_models")]
    for name in ("gpen", "facedetection"):
        assert no_folders.get_folder_paths(name) == [str(tmp_path / name)]


def test_the_script_before_the_start_knows_every_folder_of_the_pack(no_folders, model_folders):
    for name in model_folders.MODEL_FOLDERS:
        no_folders.add_model_folder_path(name, f"/models/{name}")
    run_script(REPOSITORY / "prestartup_script.py")
    categories = itertools.chain.from_iterable(
        (name, f"gpen_{name}") for name in model_folders.MODEL_FOLDERS
    )
    assert set(no_folders.folder_names_and_paths) == set(categories)
