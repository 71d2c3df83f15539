"""Folders, finding and fetching of model files, inside ComfyUI's modules but without a server."""

import asyncio
import dataclasses
import hashlib
import os
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gpen_core.bundled import BUNDLED_RESTORER
from gpen_core.checkpoints.checkpoint import read_notice, save_checkpoint
from gpen_core.checkpoints.registry import GPEN_MODELS, find_known
from gpen_core.network.config import GpenConfig
from gpen_core.network.synthetic import random_state_dict
from support.file_server import file_server


@pytest.mark.parametrize("name", ["../secret.pth", "/etc/secret.pth", "..\\secret.pth"])
def test_a_name_cannot_leave_the_models_folder(folders, models, tmp_path, name):
    (tmp_path / "gpen").mkdir()
    (tmp_path / "secret.pth").write_bytes(b"")
    with pytest.raises(FileNotFoundError):
        models.checkpoint_path(name, may_download=True)


@pytest.fixture
def no_network(monkeypatch):
    """Downloads are allowed, and one that is tried fails the test."""

    def forbidden(*_arguments):
        raise AssertionError("a connection was opened")

    monkeypatch.delenv("GPEN_DOWNLOAD")
    monkeypatch.setattr(socket.socket, "connect", forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)


def test_auto_is_resnet50_if_its_file_is_there_else_the_bundled_detector(
    folders, models, tmp_path, no_network
):
    folder = tmp_path / "facedetection"
    assert models.detector_path("auto") == models.BUNDLED_DETECTOR
    folder.mkdir()
    (folder / "detection_mobilenet0.25_Final.pth").touch()
    assert models.detector_path("auto") == models.BUNDLED_DETECTOR
    (folder / "detection_Resnet50_Final.pth").touch()
    assert models.detector_path("auto") == folder / "detection_Resnet50_Final.pth"


def test_mobile_is_the_users_file_if_it_is_there_else_the_bundled_detector(
    folders, models, tmp_path, no_network
):
    assert models.detector_path("retinaface_mobile0.25") == models.BUNDLED_DETECTOR
    path = tmp_path / "facedetection" / "detection_mobilenet0.25_Final.pth"
    path.parent.mkdir()
    path.touch()
    assert models.detector_path("retinaface_mobile0.25") == path


@pytest.mark.parametrize("choice", ["auto", "retinaface_mobile0.25"])
def test_a_detector_is_loaded_without_a_models_folder_and_without_a_network(
    folders, models, tmp_path, no_network, choice
):
    hosted = models.host_detector(choice, (1, 3, 64, 64), models.SearchSettings())
    assert hosted.network.name == "retinaface_mobile0.25"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", ["0", "false", "NO", " off "])
def test_a_missing_file_says_what_to_do_where_downloads_are_off(
    folders, models, tmp_path, monkeypatch, value
):
    monkeypatch.setenv("GPEN_DOWNLOAD", value)
    with pytest.raises(FileNotFoundError, match=r"press R in ComfyUI") as raised:
        models.checkpoint_path("GPEN-BFR-512.onnx", may_download=True)
    said = str(raised.value)
    assert "GPEN_DOWNLOAD=0" in said
    assert "https://huggingface.co/" in said
    assert f"put it into {tmp_path / 'facerestore_models'}" in said
    with pytest.raises(FileNotFoundError, match="choose another"):
        models.checkpoint_path("my-own.pth", may_download=True)


def test_a_missing_file_says_what_to_do_where_the_widget_is_off(folders, models, monkeypatch):
    monkeypatch.delenv("GPEN_DOWNLOAD")
    with pytest.raises(FileNotFoundError, match="Turn on download in Load GPEN Model"):
        models.checkpoint_path("GPEN-BFR-512.onnx", may_download=False)


def test_a_broken_file_says_where_it_lies_and_where_to_get_it(folders, models, tmp_path):
    path = tmp_path / "facedetection" / "detection_Resnet50_Final.pth"
    path.parent.mkdir()
    path.write_text("<html>404</html>")
    with pytest.raises(ValueError, match="a web page") as raised:
        models.host_detector("retinaface_resnet50", (1, 3, 64, 64), models.SearchSettings())
    assert str(path) in str(raised.value)
    assert "https://github.com/xinntao/facexlib/" in str(raised.value)


def test_names_stay_the_same_when_a_file_arrives_and_only_the_note_goes(
    folders, models, tmp_path, monkeypatch
):
    monkeypatch.delenv("GPEN_DOWNLOAD")
    before, notes = models.list_checkpoints(), models.absent_checkpoints()
    assert before[:2] == ["auto", "GPEN-small-256 (bundled)"]
    assert before[2:] == [model.filename for model in GPEN_MODELS] == list(notes)
    assert notes["GPEN-BFR-512.onnx"] == "download, 284 MB"
    assert notes["GPEN-BFR-2048.onnx"] == "download"  # nobody published its size
    (tmp_path / "gpen").mkdir()
    (tmp_path / "gpen" / "GPEN-BFR-512.onnx").touch()
    assert models.list_checkpoints()[2] == "GPEN-BFR-512.onnx"
    assert sorted(models.list_checkpoints()) == sorted(before)
    assert set(notes) - set(models.absent_checkpoints()) == {"GPEN-BFR-512.onnx"}
    monkeypatch.setenv("GPEN_DOWNLOAD", "0")
    assert set(models.absent_checkpoints().values()) == {"not on disk"}


@pytest.fixture
def loader(models, pack):
    """The node class, with its folders in place."""
    return sys.modules[f"{pack.__name__}.nodes.load_model"].GpenLoadModel


@pytest.fixture
def texts(models, monkeypatch):
    """What the node shows of itself while it runs."""
    shown = []
    monkeypatch.setattr(models, "show_text_in_running_node", shown.append)
    return shown


def write(path: Path, size: int = 256) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(random_state_dict(GpenConfig(size, 1, 0.0625, 2, 32)), path)
    return path


def test_auto_is_the_default_of_the_menu_and_the_bundled_one_comes_next(folders, loader, tmp_path):
    write(tmp_path / "gpen" / "another.safetensors")
    (widget, *_) = loader.define_schema().inputs
    assert widget.default == widget.options[0] == "auto"
    assert widget.options[1:3] == ["GPEN-small-256 (bundled)", "another.safetensors"]
    assert widget.extra_dict["gpen_absent"].keys() == set(widget.options[3:])


def test_auto_loads_the_bundled_network_where_there_is_no_other(folders, models, loader, texts):
    loaded = models.host_model("auto", "fp32", may_download=True)
    assert loaded.name == "GPEN-small-256 (bundled)"
    assert loaded.notice.startswith(read_notice(BUNDLED_RESTORER))
    assert "GPEN-BFR-512 or a larger one. Load GPEN Model downloads" in loaded.notice
    assert texts == [f"auto took GPEN-small-256 (bundled). {loaded.notice}"]


def test_auto_loads_the_largest_network_and_says_which(folders, models, loader, tmp_path, texts):
    write(tmp_path / "gpen" / "GPEN-a-256.safetensors")
    write(tmp_path / "facerestore_models" / "in" / "GPEN-b-512.safetensors", 512)
    write(tmp_path / "gpen" / "GPEN-Colorization-512.safetensors", 512)
    (tmp_path / "gpen" / "GPEN-BFR-2048.onnx").write_text("<html>404</html>")
    loaded = models.host_model("auto", "fp32", may_download=False)
    assert loaded.name == "GPEN-b-512.safetensors"
    assert loaded.network.config.size == 512
    assert loaded.notice.startswith("Passed over: GPEN-BFR-2048.onnx: expected")
    assert texts == [f"auto took GPEN-b-512.safetensors. {loaded.notice}"]


def test_the_bundled_network_can_be_chosen_beside_a_larger_one(folders, models, loader, tmp_path):
    write(tmp_path / "gpen" / "GPEN-b-512.safetensors", 512)
    loaded = models.host_model("GPEN-small-256 (bundled)", "fp32", may_download=False)
    assert (loaded.name, loaded.network.config.size) == ("GPEN-small-256 (bundled)", 256)
    assert loaded.notice.startswith(read_notice(BUNDLED_RESTORER))


def test_the_loader_runs_again_when_auto_would_take_another_file(folders, loader, tmp_path):
    def fingerprint(name: str = "auto") -> object:
        folders.filename_list_cache.clear()  # as after the page has been refreshed
        return loader.fingerprint_inputs(name, "auto", True)

    empty, bundled = fingerprint(), fingerprint("GPEN-small-256 (bundled)")
    assert empty == fingerprint() == bundled
    path = write(tmp_path / "gpen" / "GPEN-b-512.safetensors", 512)
    one = fingerprint()
    assert one != empty
    write(tmp_path / "gpen" / "GPEN-Colorization-512.safetensors", 512)
    assert fingerprint() == one
    os.utime(path, (1, 1))
    changed = fingerprint()
    assert changed != one
    assert fingerprint(path.name) != fingerprint("GPEN-BFR-2048.onnx")
    path.unlink()
    assert fingerprint() == empty
    assert fingerprint("GPEN-small-256 (bundled)") == bundled


def test_the_download_widget_is_last_optional_and_off_where_downloads_are(
    folders, loader, monkeypatch
):
    monkeypatch.delenv("GPEN_DOWNLOAD")
    widget = loader.define_schema().inputs[-1]
    assert (widget.id, widget.optional, widget.default) == ("download", True, True)
    monkeypatch.setenv("GPEN_DOWNLOAD", "0")
    assert loader.define_schema().inputs[-1].default is False


def test_a_schema_asks_no_network(folders, models, pack, no_network):
    extension = asyncio.run(pack.comfy_entrypoint())
    for node in asyncio.run(extension.get_node_list()):
        node.define_schema()


@pytest.fixture
def site(monkeypatch):
    with file_server() as server:
        monkeypatch.setenv("GPEN_DOWNLOAD", "1")
        monkeypatch.setenv("GPEN_MODEL_MIRROR", server.url)
        yield server


def test_resnet50_that_is_chosen_and_not_there_is_fetched_and_checked_once(
    folders, models, tmp_path, monkeypatch, site
):
    name = "retinaface_resnet50"
    known = models.DETECTOR_MODELS[name]
    content = b"what stands in for the weights"
    path = tmp_path / "facedetection" / known.filename
    site.files[urlsplit(known.url).path] = content
    with pytest.raises(OSError, match=f"expected {known.n_bytes} bytes, got"):
        models.detector_path(name)
    assert not path.exists()
    here = dataclasses.replace(
        known, sha256=hashlib.sha256(content).hexdigest(), n_bytes=len(content)
    )
    monkeypatch.setitem(models.DETECTOR_MODELS, name, here)
    events = []
    monkeypatch.setattr(models, "send_event", lambda *event: events.append(event))
    assert models.detector_path(name) == path
    assert events == [("gpen.downloaded", {"filename": known.filename})]
    assert path.read_bytes() == content
    n_requests = len(site.requests)
    assert models.detector_path(name) == models.detector_path("auto") == path
    assert len(site.requests) == n_requests


def test_the_user_can_cancel_a_download(folders, models, tmp_path, monkeypatch, site):
    import comfy.model_management as mm

    known = find_known("pytorch_model.pt")
    site.files[urlsplit(known.url).path] = bytes(2**20)

    def cancel(handler):
        handler.head(200, Content_Length=2**20)
        handler.wfile.write(bytes(2**19))
        mm.interrupt_current_processing()
        handler.server.is_over.wait()

    site.script = [cancel]
    with pytest.raises(mm.InterruptProcessingException):
        models.checkpoint_path(known.filename, may_download=True)
    assert not (tmp_path / "facerestore_models" / known.filename).exists()
