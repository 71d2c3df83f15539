"""The bundled workflows in a real ComfyUI, from the files as users open them."""

import json
from pathlib import Path

import av
import numpy as np
import pytest

from comfy_workflow import nodes_of_type, ui_to_api

pytestmark = pytest.mark.host

WORKFLOWS = Path(__file__).resolve().parents[2] / "workflows"

# Around the astronaut's face.
FACE = (slice(0, 260), slice(110, 350))
N_FRAMES = 4


def load(name: str) -> dict:
    return json.loads((WORKFLOWS / f"{name}.json").read_text("utf-8"))


def prepared(comfy, workflow: dict, picture: str) -> dict:
    """The workflow in API format, unchanged but for the names of model and picture."""
    prompt = ui_to_api(workflow, comfy.object_info())
    for node in nodes_of_type(prompt, "LoadImage"):
        prompt[node]["inputs"]["image"] = picture
    for node in nodes_of_type(prompt, "GPEN_LoadModel"):
        prompt[node]["inputs"]["model_name"] = "GPEN-random-256.pth"
    return prompt


@pytest.mark.parametrize("name", ["restore_faces", "likeness"])
def test_workflow_restores_the_face_and_nothing_else(comfy, astronaut_pixels, astronaut_name, name):
    prompt = prepared(comfy, load(name), astronaut_name)
    (save,) = nodes_of_type(prompt, "SaveImage")
    restored = comfy.read_image(comfy.run(prompt).images(save)[0])
    changed = np.abs(restored.astype(int) - astronaut_pixels).max(axis=2)
    assert changed[FACE].max() > 50
    changed[FACE] = 0
    assert changed.max() == 0


def test_small_faces_workflow_enlarges_the_picture_until_the_face_fits(comfy, astronaut_name):
    prompt = prepared(comfy, load("small_faces"), astronaut_name)
    (save,) = nodes_of_type(prompt, "SaveImage")
    restored = comfy.read_image(comfy.run(prompt).images(save)[0])
    # The face is about 170 pixels, the network's crop 256.
    assert 1.3 < restored.shape[0] / 512 < 1.7


def test_video_workflow_restores_every_frame_and_keeps_the_frame_rate(
    comfy, astronaut_pixels, tmp_path
):
    video = tmp_path / "clip.mp4"
    with av.open(str(video), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 512, 512, "yuv420p"
        for _ in range(N_FRAMES):
            frame = av.VideoFrame.from_ndarray(astronaut_pixels, format="rgb24")
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
    assert np.abs(frames[0][FACE].astype(int) - astronaut_pixels[FACE]).mean() > 10
    assert np.abs(frames[0][300:].astype(int) - astronaut_pixels[300:]).mean() < 10


SIZES = (512, 1024, 2048)
TILE_PX, SPACING_PX = 1024, 8


def sheet_of(prompt: dict, node: str) -> list[list[str]]:
    """The nodes whose pictures stand on a stitched sheet, row by row."""
    inputs = prompt[node]["inputs"]
    if prompt[node]["_meta"]["title"] == "As large as the row above":
        node = inputs["image"][0]
    if prompt[node]["class_type"] != "ImageStitch":
        return [[node]]
    one, two = (sheet_of(prompt, inputs[name][0]) for name in ("image1", "image2"))
    return one + two if inputs["direction"] == "down" else [one[0] + two[0]]


def gallery_rows(prompt: dict) -> list[list[str]]:
    (save,) = nodes_of_type(prompt, "SaveImage")
    return sheet_of(prompt, prompt[save]["inputs"]["images"][0])


def whole_gallery() -> dict:
    """The gallery with the columns that are off turned on."""
    workflow = load("gallery")
    for node in workflow["nodes"]:
        node["mode"] = 0
    return workflow


def test_gallery_sheet_holds_the_networks_and_below_one_changed_setting_each(comfy):
    prompt = ui_to_api(whole_gallery(), comfy.object_info())
    networks, settings = gallery_rows(prompt)
    enlarged, *restored = [prompt[node] for node in networks]
    assert enlarged["class_type"] == "ImageScale"
    assert enlarged["inputs"]["upscale_method"] == "bicubic"
    names = [prompt[node["inputs"]["model"][0]]["inputs"]["model_name"] for node in restored]
    assert names == ["auto", *(f"GPEN-BFR-{size}.onnx" for size in SIZES)]
    assert [node["_meta"]["title"] for node in restored] == [
        "2 auto",
        *(f"{number} GPEN-{size}" for number, size in enumerate(SIZES, start=3)),
    ]
    usual = restored[0]["inputs"]
    for title, node in zip(
        ("blend 0.5", "detail 0.6", "color 1", "grain 1", "template gpen"), settings, strict=True
    ):
        inputs = prompt[node]["inputs"]
        (name,) = [name for name in inputs if inputs[name] != usual[name]]
        assert f"{name} {inputs[name]}" == title.replace(" 1", f" {inputs[name]}")
        assert prompt[node]["_meta"]["title"] == f"auto, {title}"


def test_gallery_columns_that_need_a_download_are_off_and_not_on_the_sheet(comfy):
    prompt = ui_to_api(load("gallery"), comfy.object_info())
    (loader,) = nodes_of_type(prompt, "GPEN_LoadModel")
    assert prompt[loader]["inputs"]["model_name"] == "auto"
    networks, settings = gallery_rows(prompt)
    assert [prompt[node]["_meta"]["title"] for node in networks] == [
        "1 Bicubic enlargement",
        "2 auto",
    ]
    assert len(settings) == 5


def test_gallery_workflow_puts_every_result_where_the_note_says(comfy, astronaut_name):
    prompt = prepared(comfy, whole_gallery(), astronaut_name)
    networks, settings = gallery_rows(prompt)
    loader = prompt[networks[1]]["inputs"]["model"][0]
    prompt[loader]["inputs"]["model_name"] = "GPEN-identity-512.safetensors"
    (save,) = nodes_of_type(prompt, "SaveImage")
    result = comfy.run(prompt)
    sheet = comfy.read_image(result.images(save)[0]).astype(int)
    stride = TILE_PX + SPACING_PX
    assert sheet.shape == (2 * stride - SPACING_PX, 5 * stride - SPACING_PX, 3)
    top, bottom = (
        [sheet[y : y + TILE_PX, x * stride : x * stride + TILE_PX] for x in range(5)]
        for y in (0, stride)
    )
    away = [np.abs(tile - top[0]).mean() for tile in (*top, *bottom)]
    # Only the identity network gives the face back as it was, but for Lanczos instead of bicubic.
    assert max(away[1], *away[5:8], away[9]) < 2
    assert min(away[2:5]) > 10
    for node in (*networks[1:], *settings):
        assert "1 face in 1 image" in result.texts(node)[0]
