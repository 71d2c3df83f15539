"""Degrade Image in a real ComfyUI that knows no models folder."""

import numpy as np
import pytest
import skimage.data

from comfy_server import ComfyServer
from support.defaulting_server import DefaultingServer

pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def comfy(packs):
    with ComfyServer(packs=packs) as server:
        yield DefaultingServer(server)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.ascontiguousarray(skimage.data.astronaut()[:256, 100:356])


def graph(comfy, photo, **widgets) -> dict:
    name = comfy.upload_image(photo, "photo.png")
    return {
        "photo": {"class_type": "LoadImage", "inputs": {"image": name}},
        "twice": {"class_type": "RepeatImageBatch", "inputs": {"image": ["photo", 0], "amount": 2}},
        "degrade": {"class_type": "GPEN_Degrade", "inputs": {"image": ["twice", 0], **widgets}},
        "save": {
            "class_type": "SaveImage",
            "inputs": {"images": ["degrade", 0], "filename_prefix": "degraded"},
        },
        "text": {"class_type": "PreviewAny", "inputs": {"source": ["degrade", 1]}},
    }


def run(comfy, photo, **widgets):
    result = comfy.run(graph(comfy, photo, **widgets))
    images = [comfy.read_image(reference) for reference in result.images("save")]
    (text,) = result.texts("text")
    return images, text, result


def test_the_pack_loads_without_any_models_folder(comfy):
    schema = comfy.object_info("GPEN_LoadModel")
    assert schema["input"]["required"]["model_name"][1]["options"]


def test_images_are_damaged_each_in_its_own_way_and_the_text_says_how(comfy, photo):
    images, text, result = run(comfy, photo, preset="webcam", seed=3)
    assert [image.shape for image in images] == [photo.shape] * 2
    assert all(5 < np.abs(image.astype(int) - photo).mean() < 40 for image in images)
    assert not np.array_equal(*images)
    assert text.startswith("gaussian blur ")
    assert [shown["text"] for shown in result.of_type("progress_text")] == [text]
    assert "JPEG" in text
    progress = [p["value"] for p in result.of_type("progress") if p["node"] == "degrade"]
    assert progress == [1, 2]
    again, *_ = run(comfy, photo, preset="webcam", seed=3)
    np.testing.assert_array_equal(again, images)


def test_at_strength_0_and_with_nothing_set_the_images_stay_as_they_were(comfy, photo):
    for widgets in ({"strength": 0.0}, {"preset": "custom"}):
        images, text, _ = run(comfy, photo, **widgets)
        # ComfyUI's PNGs are truncated, not rounded: a millionth less is one level less.
        assert max(np.abs(image.astype(int) - photo).max() for image in images) <= 1
        assert text == "nothing was done"


def test_what_is_set_stands_in_for_the_preset(comfy, photo):
    widgets = {"jpeg": "7", "blur": "3", "downscale": "2", "noise": "0", "strength": 1.0}
    _, text, _ = run(comfy, photo, preset="codeformer-light", seed=1, **widgets)
    assert "resized to 128 x 128 (bilinear); JPEG 7" in text


def test_a_range_that_cannot_be_read_is_named_as_the_widget_is(comfy, photo):
    error = comfy.error_of(graph(comfy, photo, jpeg="60-30"))
    assert error["exception_type"].endswith("DegradeSettingsError")
    assert error["exception_message"].startswith("jpeg: expected (low, high) with 1 <= low")


def test_the_seed_counts_on_and_the_ranges_can_be_folded_away(comfy):
    widgets = comfy.object_info("GPEN_Degrade")["input"]["required"]
    assert widgets["seed"][1]["control_after_generate"] is True
    folded = {name for name, spec in widgets.items() if spec[1].get("advanced")}
    assert folded == set(widgets) - {"image", "preset", "strength", "seed", "same_for_all"}
