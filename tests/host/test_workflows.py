"""The bundled workflows in a real ComfyUI, from the files as users open them."""

import itertools
import json
from pathlib import Path

import av
import numpy as np
import pytest
import skimage.data

from comfy_workflow import nodes_of_type, ui_to_api

pytestmark = [pytest.mark.host, pytest.mark.usefixtures("models_dir")]

WORKFLOWS = Path(__file__).resolve().parents[2] / "workflows"
NAMES = [
    "likeness",
    "reactor_swap",
    "reactor_swap_2048",
    "reactor_swap_video",
    "restore_faces",
    "small_faces",
    "video",
]

# Around the astronaut's face.
FACE = (slice(0, 260), slice(110, 350))
N_FRAMES = 4


def load(name: str) -> dict:
    return json.loads((WORKFLOWS / f"{name}.json").read_text("utf-8"))


def prepared(comfy, name: str, picture: str) -> dict:
    """The workflow in API format, unchanged but for the names of model and picture."""
    prompt = ui_to_api(load(name), comfy.object_info())
    for node in nodes_of_type(prompt, "LoadImage"):
        prompt[node]["inputs"]["image"] = picture
    for node in nodes_of_type(prompt, "GPEN_LoadModel"):
        prompt[node]["inputs"]["model_name"] = "GPEN-random-256.pth"
    return prompt


@pytest.fixture(scope="module")
def astronaut():
    return skimage.data.astronaut()


@pytest.fixture(scope="module")
def astronaut_name(comfy, astronaut):
    return comfy.upload_image(astronaut, "workflow.png")


def test_the_template_browser_lists_every_workflow_with_its_picture(comfy):
    listed = json.loads(comfy.get_text("/api/workflow_templates"))["gpen_face_restore"]
    assert sorted(listed) == NAMES
    assert sorted(file.stem for file in WORKFLOWS.glob("*.json")) == NAMES
    for name in NAMES:
        assert (WORKFLOWS / f"{name}.jpg").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_workflow_nodes_exist_carry_a_note_and_do_not_overlap(comfy, name):
    workflow, schemas = load(name), comfy.object_info()
    nodes = workflow["nodes"]
    types = [node["type"] for node in nodes]
    assert "MarkdownNote" in types
    assert set(types) - {"MarkdownNote"} <= set(schemas)
    title_height = 30
    for one, other in itertools.combinations(nodes, 2):
        (x, y), (w, h) = one["pos"], one["size"]
        (other_x, other_y), (other_w, other_h) = other["pos"], other["size"]
        apart = (
            x + w <= other_x
            or other_x + other_w <= x
            or y + h <= other_y - title_height
            or other_y + other_h <= y - title_height
        )
        assert apart, (one["type"], other["type"])


@pytest.mark.parametrize("name", ["restore_faces", "likeness"])
def test_workflow_restores_the_face_and_nothing_else(comfy, astronaut, astronaut_name, name):
    prompt = prepared(comfy, name, astronaut_name)
    (save,) = nodes_of_type(prompt, "SaveImage")
    restored = comfy.read_image(comfy.run(prompt).images(save)[0])
    changed = np.abs(restored.astype(int) - astronaut).max(axis=2)
    assert changed[FACE].max() > 50
    changed[FACE] = 0
    assert changed.max() == 0


def test_small_faces_workflow_enlarges_the_picture_until_the_face_fits(comfy, astronaut_name):
    prompt = prepared(comfy, "small_faces", astronaut_name)
    (save,) = nodes_of_type(prompt, "SaveImage")
    restored = comfy.read_image(comfy.run(prompt).images(save)[0])
    # The face is about 170 pixels, the network's crop 256.
    assert 1.3 < restored.shape[0] / 512 < 1.7


def test_video_workflow_restores_every_frame_and_keeps_the_frame_rate(comfy, astronaut, tmp_path):
    video = tmp_path / "clip.mp4"
    with av.open(str(video), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 512, 512, "yuv420p"
        for _ in range(N_FRAMES):
            frame = av.VideoFrame.from_ndarray(astronaut, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    name = comfy.upload_image(video)  # ComfyUI's input folder takes any file
    prompt = ui_to_api(load("video"), comfy.object_info())
    (load_video,) = nodes_of_type(prompt, "LoadVideo")
    (load_model,) = nodes_of_type(prompt, "GPEN_LoadModel")
    (restore,) = nodes_of_type(prompt, "GPEN_RestoreFaces")
    (save,) = nodes_of_type(prompt, "SaveVideo")
    prompt[load_video]["inputs"]["file"] = name
    prompt[load_model]["inputs"]["model_name"] = "GPEN-random-256.pth"
    result = comfy.run(prompt)
    assert result.texts(restore)[0].startswith(f"Restored {N_FRAMES} faces in {N_FRAMES} images")
    (tmp_path / "restored.mp4").write_bytes(comfy.fetch_image(result.images(save)[0]))
    with av.open(str(tmp_path / "restored.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == 10
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(frames) == N_FRAMES
    assert np.abs(frames[0][FACE].astype(int) - astronaut[FACE]).mean() > 10
    assert np.abs(frames[0][300:].astype(int) - astronaut[300:]).mean() < 10
