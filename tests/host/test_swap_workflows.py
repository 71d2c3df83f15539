"""The bundled swap workflows, from the files as users open them, with stand-ins for other packs."""

import json
from pathlib import Path

import av
import numpy as np
import pytest

from comfy_workflow import nodes_of_type, ui_to_api
from support.crowd import crowd

pytestmark = pytest.mark.host

WORKFLOWS = Path(__file__).resolve().parents[2] / "workflows"
SWAP_MODEL = "inswapper_128.onnx"
N_FRAMES = 4


def prepared(comfy, name: str, source: str, picture: str | None = None) -> dict:
    """The workflow in API format, unchanged but for the names of model and pictures."""
    workflow = json.loads((WORKFLOWS / f"{name}.json").read_text("utf-8"))
    prompt = ui_to_api(workflow, comfy.object_info())
    for node in nodes_of_type(prompt, "LoadImage"):
        is_source = prompt[node]["_meta"]["title"] == "The face to put in"
        prompt[node]["inputs"]["image"] = source if is_source else picture
    for node in nodes_of_type(prompt, "GPEN_LoadModel"):
        prompt[node]["inputs"]["model_name"] = "GPEN-random-256.pth"
    return prompt


def only(prompt: dict, class_type: str) -> str:
    (node,) = nodes_of_type(prompt, class_type)
    return node


@pytest.mark.parametrize("name", ["reactor_swap", "reactor_swap_2048", "reactor_swap_video"])
def test_swap_workflows_name_the_swap_model_and_leave_its_restoration_off(name):
    workflow = json.loads((WORKFLOWS / f"{name}.json").read_text("utf-8"))
    (swap,) = [node for node in workflow["nodes"] if node["type"].startswith("ReActorFaceSwap")]
    (model,) = swap["properties"]["models"]
    assert model["name"] == SWAP_MODEL
    assert model["url"].endswith(f"/{SWAP_MODEL}")
    assert model["directory"] == "insightface"
    assert len(model["hash"]) == 64
    (note,) = [node for node in workflow["nodes"] if node["type"] == "MarkdownNote"]
    assert f"**{SWAP_MODEL}** in **models/insightface**" in note["widgets_values"][0]
    assert {SWAP_MODEL, "none"} <= {v for v in swap["widgets_values"] if isinstance(v, str)}


def test_the_nodes_of_the_video_pack_are_saved_as_it_saves_them():
    """It takes another format than the saved one where the keys of its buttons are missing."""
    workflow = json.loads((WORKFLOWS / "reactor_swap_video.json").read_text("utf-8"))
    saved = {node["type"]: node.get("widgets_values") for node in workflow["nodes"]}
    assert set(saved["VHS_LoadVideo"]) == {
        *("video", "force_rate", "custom_width", "custom_height", "frame_load_cap"),
        *("skip_first_frames", "select_every_nth", "format"),
        *("choose video to upload", "videopreview"),
    }
    assert set(saved["VHS_VideoCombine"]) == {
        *("frame_rate", "loop_count", "filename_prefix", "format", "pix_fmt", "crf"),
        *("save_metadata", "trim_to_audio", "pingpong", "save_output", "videopreview"),
    }


def test_the_swap_workflow_blends_the_largest_face_and_nothing_else(comfy, astronaut_name):
    prompt = prepared(comfy, "reactor_swap", astronaut_name, comfy.upload_image(crowd(), "s.png"))
    result = comfy.run(prompt)
    text = result.texts(only(prompt, "GPEN_BlendSwap"))[0]
    assert text.startswith("Restored 1 swapped face in 1 image, of 29 found, with GPEN-random")
    blended = comfy.read_image(result.images(only(prompt, "SaveImage"))[0])
    is_changed = np.abs(blended.astype(int) - crowd()).max(axis=2) > 1
    y, x = np.nonzero(is_changed)
    assert 0 < np.ptp(y) < 120
    assert 0 < np.ptp(x) < 120


def test_the_2048_workflow_enlarges_the_picture_and_restores_the_swapped_face(
    comfy, astronaut_name
):
    part = np.ascontiguousarray(crowd()[60:284, 560:864])
    prompt = prepared(comfy, "reactor_swap_2048", astronaut_name, comfy.upload_image(part, "p.png"))
    result = comfy.run(prompt)
    text = result.texts(only(prompt, "GPEN_RestoreFaces"))[0]
    assert text.startswith("Restored 1 face in 1 image with GPEN-random-256.pth at 256 px")
    restored = comfy.read_image(result.images(only(prompt, "SaveImage"))[0])
    assert restored.shape[0] > 1.5 * part.shape[0]


def test_the_video_workflow_swaps_and_blends_every_frame(comfy, astronaut_name, tmp_path):
    video = tmp_path / "swap_me.mp4"
    with av.open(str(video), "w") as container:
        stream = container.add_stream("libx264", rate=12)
        stream.width, stream.height, stream.pix_fmt = 304, 224, "yuv420p"
        stream.options = {"crf": "10"}
        for i in range(N_FRAMES):
            view = np.ascontiguousarray(crowd()[60:284, 560 + 2 * i : 864 + 2 * i])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(view, format="rgb24")))
        container.mux(stream.encode())
    prompt = prepared(comfy, "reactor_swap_video", astronaut_name)
    load = only(prompt, "VHS_LoadVideo")
    prompt[load]["inputs"]["video"] = comfy.upload_image(video)
    combine = only(prompt, "VHS_VideoCombine")
    assert prompt[combine]["inputs"]["frame_rate"] == [only(prompt, "VHS_VideoInfoLoaded"), 0]
    result = comfy.run(prompt)
    blend = only(prompt, "GPEN_BlendSwap")
    assert prompt[blend]["inputs"]["smoothing"] == 0.5
    assert f"{N_FRAMES} swapped faces in {N_FRAMES} images" in result.texts(blend)[0]
    (file,) = result.outputs[combine]["gifs"]
    (tmp_path / "swapped.mp4").write_bytes(comfy.fetch_image(file))
    with av.open(str(tmp_path / "swapped.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == 12
        assert sum(1 for _ in container.decode(stream)) == N_FRAMES
