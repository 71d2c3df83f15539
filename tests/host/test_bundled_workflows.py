"""The general workflows in a real ComfyUI without a models folder and without downloads."""

import io
import json

import av
import numpy as np
import pytest
import skimage.data
from PIL import Image

from comfy_server import ComfyServer
from comfy_workflow import nodes_of_type, ui_to_api
from environment import REPOSITORY
from gpen_core.bundled import BUNDLED_RESTORER
from gpen_core.checkpoints.checkpoint import read_notice
from gpen_core.checkpoints.restorers import BUNDLED_NAME

pytestmark = pytest.mark.host

FILES = {file.stem: file for file in (REPOSITORY / "workflows").glob("*.json")}
NEEDS_A_DOWNLOAD = "reactor_swap_2048"
# Around the astronaut's face.
FACE = (slice(0, 260), slice(110, 350))


@pytest.fixture(scope="module")
def comfy(packs):
    with ComfyServer(packs=packs, variables={"GPEN_DOWNLOAD": "0"}) as server:
        yield server


@pytest.fixture(scope="module")
def damaged() -> np.ndarray:
    """The astronaut, small and enlarged again, through JPEG: what the bundled network is for."""
    stream = io.BytesIO()
    photo = Image.fromarray(skimage.data.astronaut())
    photo.resize((200, 200), Image.Resampling.BILINEAR).save(stream, "JPEG", quality=40)
    return np.asarray(Image.open(stream).resize(photo.size, Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def clip(tmp_path_factory, damaged):
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 512, 512, "yuv420p"
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(damaged, format="rgb24")))
        container.mux(stream.encode())
    return path


def prepared(comfy, name: str, damaged: np.ndarray, clip) -> dict:
    """The workflow in API format, unchanged but for the pictures and the video."""
    prompt = ui_to_api(json.loads(FILES[name].read_text("utf-8")), comfy.object_info())
    files = {
        ("LoadImage", "image"): comfy.upload_image(damaged, "damaged.png"),
        ("LoadVideo", "file"): comfy.upload_image(clip),
        ("VHS_LoadVideo", "video"): "clip.mp4",
    }
    mirrored = np.ascontiguousarray(damaged[:, ::-1])
    for (kind, widget), file in files.items():
        for node in nodes_of_type(prompt, kind):
            prompt[node]["inputs"][widget] = file
            if prompt[node]["_meta"]["title"] == "The face to put in":
                prompt[node]["inputs"][widget] = comfy.upload_image(mirrored, "mirrored.png")
    return prompt


@pytest.mark.parametrize("name", sorted(set(FILES) - {NEEDS_A_DOWNLOAD}))
def test_a_general_workflow_restores_the_face_at_once(comfy, damaged, clip, name):
    prompt = prepared(comfy, name, damaged, clip)
    restoring = [
        *nodes_of_type(prompt, "GPEN_RestoreFaces"),
        *nodes_of_type(prompt, "GPEN_BlendSwap"),
    ]
    # Pictures of what comes into the restoring nodes and out of them.
    for node in restoring:
        inputs = prompt[node]["inputs"]
        given = inputs.get("image") or inputs["swapped"]
        for key, link in ((f"{node} before", given), (f"{node} after", [node, 0])):
            prompt[key] = {"class_type": "PreviewImage", "inputs": {"images": link}}
    result = comfy.run(prompt)
    assert restoring
    for node in restoring:
        (text,) = result.texts(node)
        assert text.startswith("Restored ")
        assert f" with {BUNDLED_NAME} at 256 px" in text
        assert read_notice(BUNDLED_RESTORER) in text
        before, after = (
            Image.fromarray(comfy.read_image(result.images(f"{node} {when}")[0]))
            for when in ("before", "after")
        )
        before = before.resize(after.size, Image.Resampling.LANCZOS)
        change = np.abs(np.asarray(after).astype(float) - np.asarray(before))
        if after.size == (512, 512):
            change = change[FACE]
        assert change.max() > 10


def test_the_loader_says_which_network_auto_took(comfy, damaged, clip):
    prompt = prepared(comfy, "restore_faces", damaged, clip)
    (loader,) = nodes_of_type(prompt, "GPEN_LoadModel")
    prompt[loader]["inputs"]["dtype"] = "fp32"  # or it would be in ComfyUI's cache
    result = comfy.run(prompt)
    (text,) = (data["text"] for data in result.of_type("progress_text") if "took" in data["text"])
    assert text.startswith(f"auto took {BUNDLED_NAME}. {read_notice(BUNDLED_RESTORER)}")
    assert "Load GPEN Model downloads the one you choose" in text


def test_the_2048_workflow_keeps_its_network_and_says_where_to_get_it(comfy, damaged, clip):
    prompt = prepared(comfy, NEEDS_A_DOWNLOAD, damaged, clip)
    result = comfy.wait(comfy.queue(prompt))
    assert result.status == "error"
    assert "GPEN-BFR-2048.onnx: expected in" in result.error["exception_message"]
