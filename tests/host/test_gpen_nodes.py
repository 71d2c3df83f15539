"""The pack's nodes in a real ComfyUI, over HTTP and websocket, as its web page uses them."""

from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from support.defaulting_server import DefaultingServer
from support.networks import IDENTITY_NOTICE
from support.node_ids import NODE_IDS

pytestmark = pytest.mark.host

REPOSITORY = Path(__file__).resolve().parents[2]
# Around the astronaut's face; the crop's mask lies inside it.
FACE = (slice(0, 260), slice(110, 350))


def graph(image: str, model: str = "GPEN-random-256.pth", **widgets) -> dict:
    """Load Image -> Restore Faces -> Save Image; ``defaulted`` fills in the other widgets."""
    restore = {"model": ["model", 0], "image": ["image", 0], "detector": "retinaface_mobile0.25"}
    return {
        "image": {"class_type": "LoadImage", "inputs": {"image": image}},
        "model": {"class_type": "GPEN_LoadModel", "inputs": {"model_name": model}},
        "restore": {"class_type": "GPEN_RestoreFaces", "inputs": {**restore, **widgets}},
        "save": save(["restore", 0]),
    }


def detect() -> dict:
    return {"class_type": "GPEN_DetectFaces", "inputs": {"image": ["image", 0]}}


def save(source: list) -> dict:
    return {"class_type": "SaveImage", "inputs": {"images": source, "filename_prefix": "test"}}


@pytest.fixture(scope="module")
def comfy(comfy):
    return DefaultingServer(comfy)


@pytest.fixture(scope="module")
def faceless_name(comfy) -> str:
    return comfy.upload_image(skimage.data.coffee(), "coffee.png")


@pytest.mark.parametrize("node_id", NODE_IDS)
def test_every_socket_and_widget_has_a_tooltip(comfy, node_id):
    schema = comfy.object_info(node_id)
    assert schema["category"] == "image/face restoration"
    assert schema["description"]
    for specs in schema["input"].values():
        for name, spec in specs.items():
            if spec[0] not in ("UNIQUE_ID", "PROMPT", "EXTRA_PNGINFO"):
                assert len(spec[1].get("tooltip", "")) > 10, name
    assert all(len(tooltip) > 10 for tooltip in schema["output_tooltips"])
    assert len(schema["output_tooltips"]) == len(schema["output"])


@pytest.mark.parametrize("node_id", NODE_IDS)
def test_every_node_has_a_help_page(comfy, node_id):
    assert (REPOSITORY / "js" / "docs" / f"{node_id}.md").is_file()
    page = comfy.get_text(f"/extensions/gpen_face_restore/docs/{node_id}.md")
    assert comfy.object_info(node_id)["display_name"] in page


def test_loader_lists_auto_then_checkpoints_on_disk_and_then_known_ones(comfy):
    widget = comfy.object_info("GPEN_LoadModel")["input"]["required"]["model_name"][1]
    names = widget["options"]
    assert widget["default"] == "auto"
    assert names[:2] == ["auto", "GPEN-small-256 (bundled)"]
    assert names[2:4] == ["GPEN-identity-512.safetensors", "GPEN-random-256.pth"]
    assert names.index("hostile.pth") < names.index("GPEN-BFR-2048.onnx")
    assert "notes.txt" not in names
    assert len(names) == len(set(names))


def test_the_identity_checkpoint_gives_the_photo_back_and_says_so(
    comfy, astronaut_pixels, astronaut_name
):
    result = comfy.run(graph(astronaut_name, "GPEN-identity-512.safetensors"))
    restored = comfy.read_image(result.images("save")[0])
    # ComfyUI's PNGs are truncated, not rounded: a millionth less is one level less.
    assert np.abs(restored.astype(int) - astronaut_pixels).max() <= 1
    (text,) = result.texts("restore")
    assert "512 px (fp32 on cpu" in text
    assert text.endswith(IDENTITY_NOTICE)


def test_all_faces_of_a_group_photo_are_restored_with_progress(comfy, crowd_name):
    prompt = graph(crowd_name)
    result = comfy.run(prompt)
    assert result.texts("restore")[0].startswith("Restored 29 faces in 1 image")
    progress = [p["value"] for p in result.of_type("progress") if p["max"] == 29]
    assert progress == list(range(1, 30))


def test_without_a_face_the_image_comes_back_and_the_text_says_so(comfy, faceless_name):
    result = comfy.run(graph(faceless_name))
    restored = comfy.read_image(result.images("save")[0])
    np.testing.assert_array_equal(restored, skimage.data.coffee())
    assert "No face found" in result.texts("restore")[0]


def test_without_a_face_the_image_is_still_enlarged_if_asked_for(comfy, faceless_name):
    result = comfy.run(graph(faceless_name, output_size="scale", scale=1.5))
    restored = comfy.read_image(result.images("save")[0])
    assert restored.shape == (600, 900, 3)
    assert "only enlarged" in result.texts("restore")[0]


def test_blend_of_zero_saves_the_same_pixels(comfy, astronaut_pixels, astronaut_name):
    result = comfy.run(graph(astronaut_name, blend=0.0))
    np.testing.assert_array_equal(comfy.read_image(result.images("save")[0]), astronaut_pixels)


def test_two_prompts_in_a_row_load_the_model_once(comfy, astronaut_name):
    comfy.run(graph(astronaut_name, feather=0.2))
    log_before = comfy.log()
    result = comfy.run(graph(astronaut_name, feather=0.3))
    assert {"image", "model"} <= set(result.cached)
    assert result.executed == ["restore", "save"]
    assert "Requested to load" not in comfy.log()[len(log_before) :]


def test_detected_faces_are_the_ones_restored(comfy, crowd_name, astronaut_name):
    prompt = graph(crowd_name)
    prompt["detect"] = detect()
    prompt["restore"]["inputs"]["faces"] = ["detect", 0]
    prompt["preview"] = save(["detect", 1])
    prompt["count"] = {"class_type": "PreviewAny", "inputs": {"source": ["detect", 2]}}
    result = comfy.run(prompt)
    assert result.texts("count") == ["29"]
    assert result.texts("restore")[0].startswith("Restored 29 faces")
    preview = comfy.read_image(result.images("preview")[0])
    green = (preview == (80, 220, 100)).all(axis=2)
    assert 29 * 100 < green.sum() < 29 * 2000


def test_selected_faces_are_the_only_ones_restored(comfy, crowd_name):
    prompt = graph(crowd_name)
    prompt["detect"] = detect()
    prompt["select"] = {
        "class_type": "GPEN_SelectFaces",
        "inputs": {"faces": ["detect", 0], "order": "left-right", "indices": "0,2"},
    }
    prompt["restore"]["inputs"]["faces"] = ["select", 0]
    prompt["mask"] = {"class_type": "MaskToImage", "inputs": {"mask": ["restore", 1]}}
    prompt["save mask"] = save(["mask", 0])
    result = comfy.run(prompt)
    assert result.texts("restore")[0].startswith("Restored 2 faces in 1 image")
    columns = comfy.read_image(result.images("save mask")[0])[..., 0].max(axis=0).nonzero()[0]
    assert columns.max() < 300  # both are on the left of 1328


def test_crop_restore_and_paste_make_the_same_picture(comfy, crowd_name):
    prompt = graph(crowd_name, template="gpen")
    prompt["detect"] = detect()
    crop = {"image": ["image", 0], "faces": ["detect", 0], "size": 256, "template": "gpen"}
    prompt["crop"] = {"class_type": "GPEN_CropFaces", "inputs": crop}
    halves = {"model": ["model", 0], "crops": ["crop", 0]}
    prompt["network"] = {"class_type": "GPEN_RestoreCrops", "inputs": halves}
    paste = {"crops": ["network", 0], "image": ["image", 0], "faces": ["detect", 0]}
    prompt["paste"] = {"class_type": "GPEN_PasteFaces", "inputs": {**paste, "template": "gpen"}}
    prompt["save pasted"] = save(["paste", 0])
    result = comfy.run(prompt)
    whole, halves = (comfy.read_image(result.images(k)[0]) for k in ("save", "save pasted"))
    np.testing.assert_array_equal(halves, whole)


def test_a_photo_without_faces_goes_through_the_halves(comfy, faceless_name):
    prompt = graph(faceless_name)
    prompt["detect"] = detect()
    crop = {"image": ["image", 0], "faces": ["detect", 0], "size": 256}
    prompt["crop"] = {"class_type": "GPEN_CropFaces", "inputs": crop}
    halves = {"model": ["model", 0], "crops": ["crop", 0]}
    prompt["network"] = {"class_type": "GPEN_RestoreCrops", "inputs": halves}
    paste = {"crops": ["network", 0], "image": ["image", 0], "faces": ["detect", 0]}
    prompt["paste"] = {"class_type": "GPEN_PasteFaces", "inputs": paste}
    prompt["save"]["inputs"]["images"] = ["paste", 0]
    restored = comfy.read_image(comfy.run(prompt).images("save")[0])
    np.testing.assert_array_equal(restored, skimage.data.coffee())


def test_a_face_mask_limits_what_is_restored(comfy, astronaut_pixels, astronaut_name):
    prompt = graph(astronaut_name)
    prompt["detect"] = detect()
    mask = {
        "image": ["image", 0],
        "faces": ["detect", 0],
        "shape": "ellipse",
        "padding_left": 0.5,
        "feather": 0.0,
    }
    prompt["face mask"] = {"class_type": "GPEN_FaceMask", "inputs": mask}
    prompt["restore"]["inputs"]["mask"] = ["face mask", 0]
    restored = comfy.read_image(comfy.run(prompt).images("save")[0])
    columns = np.abs(restored.astype(int) - astronaut_pixels).max(axis=(0, 2)).nonzero()[0]
    assert columns.min() > 210  # only the right half of the face
    assert columns.max() < 330


def test_a_mask_that_hides_every_face_is_said_to(comfy, astronaut_pixels, astronaut_name):
    prompt = graph(astronaut_name)
    prompt["restore"]["inputs"]["mask"] = ["image", 1]  # empty, as the photo has no alpha
    result = comfy.run(prompt)
    np.testing.assert_array_equal(comfy.read_image(result.images("save")[0]), astronaut_pixels)
    assert "the mask is empty" in result.texts("restore")[0]


def test_a_parser_narrows_the_mask(comfy, astronaut_name):
    prompt = graph(astronaut_name)
    prompt["detect"] = detect()
    for name, parser in (("shape", "none"), ("parsed", "bisenet")):
        inputs = {"image": ["image", 0], "faces": ["detect", 0], "parser": parser}
        prompt[name] = {"class_type": "GPEN_FaceMask", "inputs": inputs}
        image = {"class_type": "MaskToImage", "inputs": {"mask": [name, 0]}}
        prompt[f"{name} image"], prompt[f"save {name}"] = image, save([f"{name} image", 0])
    result = comfy.run(prompt)
    # The parser's weights are random: what it sees is anywhere, but never outside the shape.
    shape, parsed = (comfy.read_image(result.images(f"save {k}")[0]) for k in ("shape", "parsed"))
    assert (parsed <= shape).all()
    assert 0 < parsed.sum() < 0.95 * shape.sum()


def test_a_missing_parser_is_named_with_its_source(comfy, astronaut_name):
    prompt = graph(astronaut_name)
    prompt["detect"] = detect()
    inputs = {"image": ["image", 0], "faces": ["detect", 0], "parser": "parsenet"}
    prompt["mask"] = {"class_type": "GPEN_FaceMask", "inputs": inputs}
    prompt["restore"]["inputs"]["mask"] = ["mask", 0]
    message = comfy.error_of(prompt)["exception_message"]
    assert "parsing_parsenet.pth" in message
    assert "releases/download/v0.2.2" in message


def test_an_upscale_model_enlarges_the_background(comfy, astronaut_pixels, astronaut_name):
    prompt = graph(astronaut_name, output_size="scale", scale=2.0)
    loader = {"class_type": "UpscaleModelLoader", "inputs": {"model_name": "double.pth"}}
    prompt["upscaler"] = loader
    prompt["restore"]["inputs"]["upscale_model"] = ["upscaler", 0]
    restored = comfy.read_image(comfy.run(prompt).images("save")[0])
    doubled = astronaut_pixels.repeat(2, axis=0).repeat(2, axis=1)  # not what Lanczos makes of it
    assert restored.shape == doubled.shape
    assert np.abs(restored[600:].astype(int) - doubled[600:]).max() <= 1
    assert np.abs(restored[:500].astype(int) - doubled[:500]).max() > 50


def test_the_numbers_of_the_preview_are_those_of_select_faces(comfy, crowd_name):
    prompt = graph(crowd_name)
    prompt["detect"] = detect()
    crop = {"image": ["image", 0], "size": 128}
    select = {"faces": ["detect", 0], "indices": "0-4"}
    prompt["select"] = {"class_type": "GPEN_SelectFaces", "inputs": select}
    crops = {}
    for name, source in (("all", "detect"), ("some", "select")):
        inputs = {**crop, "faces": [source, 0]}
        prompt[f"crop {name}"] = {"class_type": "GPEN_CropFaces", "inputs": inputs}
        prompt[f"save {name}"] = save([f"crop {name}", 0])
    result = comfy.run(prompt)
    for name in ("all", "some"):
        crops[name] = [comfy.read_image(image) for image in result.images(f"save {name}")]
    assert (len(crops["all"]), len(crops["some"])) == (29, 5)
    np.testing.assert_array_equal(crops["all"][:5], crops["some"])


def test_the_canvas_grows_to_fit_the_faces(comfy, crowd_name):
    result = comfy.run(graph(crowd_name, output_size="fit faces", max_megapixels=3.1))
    restored = comfy.read_image(result.images("save")[0])
    assert restored.shape[0] / 568 == pytest.approx(restored.shape[1] / 1328, abs=0.01)
    assert restored.shape[0] * restored.shape[1] == pytest.approx(3.1e6, rel=0.01)
    assert "29 faces" in result.texts("restore")[0]


def test_a_clip_is_restored_with_smoothing(comfy, astronaut_name):
    prompt = graph(astronaut_name, smoothing=1.0)
    prompt["clip"] = {
        "class_type": "RepeatImageBatch",
        "inputs": {"image": ["image", 0], "amount": 3},
    }
    prompt["restore"]["inputs"]["image"] = ["clip", 0]
    result = comfy.run(prompt)
    assert result.texts("restore")[0].startswith("Restored 3 faces in 3 images")
    frames = [comfy.read_image(image) for image in result.images("save")]
    assert len(frames) == 3
    np.testing.assert_array_equal(frames[0], frames[2])


def test_a_batch_keeps_its_count_and_order(comfy, astronaut_pixels, astronaut_name):
    flipped = np.ascontiguousarray(astronaut_pixels[:, ::-1])
    blank = np.full_like(astronaut_pixels, 90)
    prompt = graph(astronaut_name)
    prompt["blank"] = {
        "class_type": "LoadImage",
        "inputs": {"image": comfy.upload_image(blank, "blank.png")},
    }
    prompt["flipped"] = {
        "class_type": "LoadImage",
        "inputs": {"image": comfy.upload_image(flipped, "flipped.png")},
    }
    for name, first, second in [("two", "image", "blank"), ("three", "two", "flipped")]:
        prompt[name] = {
            "class_type": "ImageBatch",
            "inputs": {"image1": [first, 0], "image2": [second, 0]},
        }
    prompt["restore"]["inputs"]["image"] = ["three", 0]
    result = comfy.run(prompt)
    assert result.texts("restore")[0].startswith("Restored 2 faces in 3 images")
    restored = [comfy.read_image(image) for image in result.images("save")]
    assert len(restored) == 3
    np.testing.assert_array_equal(restored[1], blank)
    for picture, original in ((restored[0], astronaut_pixels), (restored[2], flipped)):
        np.testing.assert_array_equal(picture[260:], original[260:])
        assert np.abs(picture[:260].astype(int) - original[:260]).max() > 50


def test_alpha_is_passed_on(comfy, astronaut_pixels, tmp_path):
    alpha = np.tile(np.linspace(0, 255, 512).astype(np.uint8), (512, 1))
    Image.fromarray(np.dstack([astronaut_pixels, alpha])).save(tmp_path / "rgba.png")
    prompt = graph(comfy.upload_image(tmp_path / "rgba.png"))
    prompt["join"] = {
        "class_type": "JoinImageWithAlpha",
        "inputs": {"image": ["image", 0], "alpha": ["image", 1]},
    }
    prompt["restore"]["inputs"]["image"] = ["join", 0]
    prompt["input"] = save(["join", 0])
    result = comfy.run(prompt)
    restored = comfy.read_image(result.images("save")[0])
    given = comfy.read_image(result.images("input")[0])
    assert restored.shape == (512, 512, 4)
    np.testing.assert_array_equal(restored[..., 3], given[..., 3])
    assert np.abs(restored.astype(int) - given).max() > 50


def test_cancel_stops_between_faces_and_the_next_prompt_runs(comfy, crowd_name, astronaut_name):
    prompt = graph(crowd_name, "GPEN-identity-512.safetensors", padding=0.07)
    prompt_id = comfy.queue(prompt)
    comfy.wait_event(prompt_id, "progress", where=lambda p: p["max"] == 29 and p["value"] >= 1)
    comfy.interrupt()
    result = comfy.wait(prompt_id)
    assert result.status == "interrupted"
    assert max(p["value"] for p in result.of_type("progress") if p["max"] == 29) < 29
    assert result.images("save") == []
    assert comfy.run(graph(astronaut_name, padding=0.07)).status == "success"


def test_crops_come_out_when_asked_for(comfy, astronaut_name):
    prompt = graph(astronaut_name, output_crops=True)
    prompt["before"], prompt["after"] = save(["restore", 2]), save(["restore", 3])
    result = comfy.run(prompt)
    before, after = (comfy.read_image(result.images(key)[0]) for key in ("before", "after"))
    assert before.shape == after.shape == (256, 256, 3)
    assert np.abs(before.astype(int) - after).max() > 50


def test_crops_not_asked_for_are_explained_where_they_are_connected(comfy, astronaut_name):
    prompt = graph(astronaut_name, padding=0.03)
    prompt["before"] = save(["restore", 2])
    result = comfy.wait(comfy.queue(prompt))
    assert len(result.images("save")) == 1  # the rest of the graph still runs
    assert "output_crops" in result.error["exception_message"]
    assert result.error["node_id"] == "before"


def test_crops_of_no_face_quietly_stop_the_nodes_behind_them(comfy, faceless_name):
    prompt = graph(faceless_name, output_crops=True)
    prompt["before"] = save(["restore", 2])
    result = comfy.run(prompt)
    assert len(result.images("save")) == 1
    assert result.images("before") == []


def test_a_missing_checkpoint_is_named_with_its_folder_and_its_source(comfy, astronaut_name):
    error = comfy.error_of(graph(astronaut_name, "GPEN-BFR-2048.onnx"))
    message = error["exception_message"]
    assert "GPEN-BFR-2048.onnx" in message
    assert "facerestore_models" in message
    assert "https://huggingface.co/" in message
    assert "GPEN_DOWNLOAD=0" in message


def test_a_missing_detector_is_named_with_its_folder_and_its_source(comfy, astronaut_name):
    error = comfy.error_of(graph(astronaut_name, detector="retinaface_resnet50"))
    message = error["exception_message"]
    assert "detection_Resnet50_Final.pth" in message
    assert "facedetection" in message
    assert "https://github.com/xinntao/facexlib/releases/" in message


@pytest.mark.parametrize(
    ("name", "exception", "said"),
    [
        ("hostile.pth", "UnsafeCheckpointError", "nothing in it was run"),
        ("GFPGANv1.4.pth", "NotGpenError", "GFPGAN"),
        ("truncated.safetensors", "CheckpointReadError", "truncated"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_name(
    comfy, astronaut_name, bomb_marker, name, exception, said
):
    error = comfy.error_of(graph(astronaut_name, name))
    assert error["exception_type"].endswith(exception)
    assert name in error["exception_message"]
    assert said in error["exception_message"]
    assert f"facerestore_models/{name}" in error["exception_message"]  # which of several folders
    assert not bomb_marker.exists()
