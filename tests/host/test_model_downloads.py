"""Models that are not on disk, chosen in a real ComfyUI whose mirror is a server of the test."""

import io
import json
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import skimage.data
import torch

from comfy_server import ComfyServer
from comfy_workflow import nodes_of_type, ui_to_api
from gpen_core.checkpoints.registry import DETECTOR_MODELS, find_known
from gpen_core.checkpoints.restorers import BUNDLED_NAME
from gpen_core.network.config import GpenConfig
from gpen_core.network.synthetic import random_state_dict
from support.file_server import file_server, stalled

pytestmark = pytest.mark.host

REPOSITORY = Path(__file__).resolve().parents[2]
# Nobody published a hash of this one, so a network that nobody trained can stand in for it.
UNPINNED = find_known("pytorch_model.pt")
PINNED = find_known("GPEN-BFR-2048.onnx")
DETECTOR = DETECTOR_MODELS["retinaface_resnet50"]


@pytest.fixture(scope="module")
def checkpoint() -> bytes:
    stream = io.BytesIO()
    torch.save(random_state_dict(GpenConfig(256, 1, 0.0625)), stream)
    return stream.getvalue()


@pytest.fixture(scope="module")
def site():
    with file_server() as server:
        yield server


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def comfy(site, models, packs):
    variables = {"GPEN_DOWNLOAD": "1", "GPEN_MODEL_MIRROR": site.url}
    with ComfyServer(models=[models], packs=packs, variables=variables) as server:
        yield server


@pytest.fixture(autouse=True)
def fresh(site, models, checkpoint):
    """No model on disk, and the usual files on the server."""
    for file in models.rglob("*"):
        if file.is_file():
            file.unlink()
    site.script, site.requests = [], []
    site.files = {urlsplit(UNPINNED.url).path: checkpoint, urlsplit(PINNED.url).path: checkpoint}


def restore_crops(name: str, **widgets) -> dict:
    """A graph that needs a checkpoint and no detector."""
    return {
        "model": {
            "class_type": "GPEN_LoadModel",
            "inputs": {"model_name": name, "dtype": "auto", **widgets},
        },
        "image": {
            "class_type": "EmptyImage",
            "inputs": {"width": 256, "height": 256, "batch_size": 1, "color": 8421504},
        },
        "restore": {
            "class_type": "GPEN_RestoreCrops",
            "inputs": {"model": ["model", 0], "crops": ["image", 0]},
        },
        "save": {
            "class_type": "SaveImage",
            "inputs": {"images": ["restore", 0], "filename_prefix": "test"},
        },
    }


def files_in(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def options(comfy) -> tuple[list[str], dict[str, str]]:
    spec = comfy.object_info("GPEN_LoadModel")["input"]["required"]["model_name"][1]
    return spec["options"], spec["gpen_absent"]


def texts(result) -> str:
    """All that nodes showed of themselves while they ran."""
    return "\n".join(data["text"] for data in result.of_type("progress_text"))


def error_message(comfy, prompt: dict) -> str:
    result = comfy.wait(comfy.queue(prompt))
    assert result.status == "error"
    return result.error["exception_message"]


def test_an_absent_model_that_is_chosen_is_downloaded_loaded_and_used(
    comfy, site, models, checkpoint
):
    names, notes = options(comfy)
    assert notes[UNPINNED.filename] == "download"
    result = comfy.run(restore_crops(UNPINNED.filename, download=True))
    assert comfy.read_image(result.images("save")[0]).shape == (256, 256, 3)
    assert files_in(models) == [f"facerestore_models/{UNPINNED.filename}"]
    bars = [p for p in result.of_type("progress") if p["node"] == "model"]
    assert bars[-1]["value"] == bars[-1]["max"] == len(checkpoint)
    shown = texts(result)
    assert f"Downloading {UNPINNED.filename}: " in shown
    assert f"Downloaded {UNPINNED.filename}." in shown
    # The same value is in the list as before, on disk now; nothing is fetched again.
    names_after, notes_after = options(comfy)
    assert sorted(names_after) == sorted(names)
    assert names_after[2] == UNPINNED.filename
    assert UNPINNED.filename not in notes_after
    assert comfy.run(restore_crops(UNPINNED.filename, download=True)).status == "success"
    assert len(site.requests) == 1


def test_auto_downloads_nothing_and_takes_the_bundled_network(comfy, site, models):
    shown = texts(comfy.run(restore_crops("auto", download=True)))
    assert f"auto took {BUNDLED_NAME}. " in shown
    assert f"with {BUNDLED_NAME} at 256 px" in shown
    assert (site.requests, files_in(models)) == ([], [])


def test_auto_takes_a_file_that_has_come_since_the_last_run(comfy, models, checkpoint):
    prompt = restore_crops("auto", dtype="fp32")
    assert BUNDLED_NAME in texts(comfy.run(prompt))
    path = models / "gpen" / "GPEN-mine-256.pth"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(checkpoint)
    shown = texts(comfy.run(prompt))
    assert f"auto took {path.name}." in shown
    assert f"with {path.name} at 256 px" in shown


def test_a_prompt_from_before_the_widget_still_runs(comfy):
    assert comfy.run(restore_crops(UNPINNED.filename, dtype="fp32")).status == "success"


def test_a_file_with_another_hash_is_refused_and_leaves_nothing(comfy, models):
    message = error_message(comfy, restore_crops(PINNED.filename))
    assert f"expected SHA-256 {PINNED.sha256}" in message
    assert PINNED.url in message
    assert f"put it into {models / 'facerestore_models'}" in message
    assert files_in(models) == []


def test_the_widget_turned_off_downloads_nothing(comfy, site, models):
    message = error_message(comfy, restore_crops(UNPINNED.filename, download=False))
    assert "Turn on download" in message
    assert UNPINNED.url in message
    assert str(models / "facerestore_models") in message
    assert site.requests == []


def test_a_file_that_the_mirror_does_not_have_is_named_with_its_source(comfy, models):
    message = error_message(comfy, restore_crops("GPEN-BFR-1024.onnx"))
    assert "status 404" in message
    assert find_known("GPEN-BFR-1024.onnx").url in message
    assert files_in(models) == []


def test_cancel_is_heard_and_the_next_run_goes_on_where_it_ended(comfy, site, models, checkpoint):
    half = len(checkpoint) // 2
    site.script = [stalled(half)]
    prompt_id = comfy.queue(restore_crops(UNPINNED.filename, dtype="bf16"))
    comfy.wait_event(prompt_id, "progress", where=lambda p: p["node"] == "model")
    comfy.interrupt()
    assert comfy.wait(prompt_id, timeout=20).status == "interrupted"
    part = models / "facerestore_models" / f"{UNPINNED.filename}.part"
    kept = part.stat().st_size
    assert 0 < kept <= half
    assert comfy.run(restore_crops(UNPINNED.filename, dtype="bf16")).status == "success"
    assert site.requests[-1][1]["Range"] == f"bytes={kept}-"
    assert files_in(models) == [f"facerestore_models/{UNPINNED.filename}"]


def detect(comfy, detector: str) -> dict:
    """A graph that counts the faces of the astronaut."""
    image = comfy.upload_image(np.asarray(skimage.data.astronaut()), "downloads.png")
    return {
        "image": {"class_type": "LoadImage", "inputs": {"image": image}},
        "detect": {
            "class_type": "GPEN_DetectFaces",
            "inputs": {
                "image": ["image", 0],
                "detector": detector,
                "detection_size": 640,
                "threshold": 0.8,
                "scales": "also large",
                "rotations": "off",
                "min_face_size": 0,
            },
        },
        "preview": {"class_type": "PreviewAny", "inputs": {"source": ["detect", 2]}},
    }


@pytest.mark.parametrize("detector", ["auto", "retinaface_mobile0.25"])
def test_faces_are_found_without_a_file_and_without_a_download(comfy, site, models, detector):
    assert comfy.run(detect(comfy, detector)).texts("preview") == ["1"]
    assert site.requests == []
    assert files_in(models) == []


def test_resnet50_is_downloaded_if_it_is_chosen(comfy, site, models):
    site.files[urlsplit(DETECTOR.url).path] = b"not the published detector"
    message = error_message(comfy, detect(comfy, "retinaface_resnet50"))
    assert f"{DETECTOR.filename}: expected {DETECTOR.n_bytes} bytes, got a file of 26" in message
    assert [path for path, _ in site.requests] == [urlsplit(DETECTOR.url).path]
    assert files_in(models) == []


@pytest.mark.parametrize(
    "file", sorted((REPOSITORY / "workflows").glob("*.json")), ids=lambda file: file.stem
)
def test_bundled_workflows_turn_the_download_on(comfy, file):
    prompt = ui_to_api(json.loads(file.read_text("utf-8")), comfy.object_info())
    for node in nodes_of_type(prompt, "GPEN_LoadModel"):
        inputs = prompt[node]["inputs"]
        assert list(inputs) == ["model_name", "dtype", "download"]
        assert inputs["download"] is True
        assert inputs["model_name"] in options(comfy)[0]
