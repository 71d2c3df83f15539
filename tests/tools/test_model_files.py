"""Finding model files, and fetching them into a folder of our own."""

import socket

import pytest

import model_files
from gpen_core.errors import UnreachableError
from model_files import DOWNLOADABLE, fetch, find_checkpoint


def test_fetch_asks_the_mirror_and_says_where_the_file_belongs(tmp_path, monkeypatch):
    monkeypatch.setattr(model_files, "DOWNLOAD_FOLDER", tmp_path)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        mirror = f"http://127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setenv("GPEN_MODEL_MIRROR", mirror)
        with pytest.raises(UnreachableError, match=f"{mirror}/datasets") as raised:
            fetch(DOWNLOADABLE[0], "facerestore_models")
    assert f"put it into {tmp_path / 'facerestore_models'}" in str(raised.value)


def test_find_checkpoint_prefers_the_largest_restoration_model(tmp_path):
    names = [
        "facerestore_models/GPEN-BFR-512.pth",
        "gpen/GPEN-BFR-1024.onnx",
        "gpen/GPEN-Colorization-2048.pth",
        "gpen/GPEN-BFR-2048.txt",
        "gpen/GFPGANv1.4.pth",
    ]
    assert find_checkpoint([tmp_path]) is None
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert find_checkpoint([tmp_path]) == tmp_path / "gpen/GPEN-BFR-1024.onnx"
    (tmp_path / "facerestore_models/gpen_bfr_2048.onnx").touch()
    assert find_checkpoint([tmp_path]).name == "gpen_bfr_2048.onnx"
