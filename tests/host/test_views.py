"""What the nodes send to their views in the web page: pictures, faces, numbers, texts, previews."""

import io

import numpy as np
import pytest
import skimage.data
from PIL import Image

from comfy_server import ComfyServer
from support.crowd import crowd
from support.defaulting_server import DefaultingServer

pytestmark = pytest.mark.host

ORDERS = ["large-small", "small-large", "left-right", "right-left", "top-bottom", "bottom-top"]


@pytest.fixture(scope="module")
def comfy(comfy):
    return DefaultingServer(comfy)


def load(name: str) -> dict:
    return {"class_type": "LoadImage", "inputs": {"image": name}}


def detect_and_select(name: str, **widgets) -> dict:
    return {
        "image": load(name),
        "detect": {"class_type": "GPEN_DetectFaces", "inputs": {"image": ["image", 0]}},
        "select": {"class_type": "GPEN_SelectFaces", "inputs": {"faces": ["detect", 0], **widgets}},
    }


def compare(before: str, after: str, **inputs) -> dict:
    return {
        "before": load(before),
        "after": load(after),
        "compare": {
            "class_type": "GPEN_Compare",
            "inputs": {"before": ["before", 0], "after": ["after", 0], **inputs},
        },
        "psnr": {"class_type": "PreviewAny", "inputs": {"source": ["compare", 2]}},
        "ssim": {"class_type": "PreviewAny", "inputs": {"source": ["compare", 3]}},
    }


def test_detected_faces_can_be_looked_at_without_anything_behind_the_node(comfy, crowd_name):
    prompt = detect_and_select(crowd_name)
    del prompt["select"]
    result = comfy.run(prompt)
    (shown,) = result.outputs["detect"]["gpen_faces"]
    (frame,) = shown["frames"]
    np.testing.assert_array_equal(comfy.read_image(frame["picture"]), crowd())
    assert (frame["width"], frame["height"]) == (1328, 568)
    assert [face["numbers"]["large-small"] for face in frame["faces"]] == list(range(29))
    assert result.texts("detect") == ["Found 29 faces in 1 image."]


def test_the_picker_gets_the_numbers_that_choose_faces_in_every_order(comfy, crowd_name):
    chosen = {"min_size": 32, "indices": "3"}
    for order in ORDERS:
        result = comfy.run(detect_and_select(crowd_name, order=order, **chosen))
        (shown,) = result.outputs["select"]["gpen_faces"]
        assert (shown["order"], shown["indices"], shown["min_size"]) == (order, "3", 32)
        faces = shown["frames"][0]["faces"]
        (picked,) = [face for face in faces if face["numbers"][order] == 3]
        assert all((face["numbers"][order] < 0) == (face["size"] < 32) for face in faces)
        # A further node is sent the one face that was kept.
        again = detect_and_select(crowd_name, order=order, **chosen)
        again["again"] = {"class_type": "GPEN_SelectFaces", "inputs": {"faces": ["select", 0]}}
        (kept,) = comfy.run(again).outputs["again"]["gpen_faces"]
        assert [face["box"] for face in kept["frames"][0]["faces"]] == [picked["box"]]


def test_restore_faces_sends_both_pictures_and_the_faces_in_pixels_of_the_result(comfy, crowd_name):
    prompt = {
        "image": load(crowd_name),
        "model": {
            "class_type": "GPEN_LoadModel",
            "inputs": {"model_name": "GPEN-random-256.pth"},
        },
        "restore": {
            "class_type": "GPEN_RestoreFaces",
            "inputs": {
                "model": ["model", 0],
                "image": ["image", 0],
                "output_size": "scale",
                "scale": 1.5,
            },
        },
        "save": {"class_type": "PreviewImage", "inputs": {"images": ["restore", 0]}},
    }
    result = comfy.run(prompt)
    (shown,) = result.outputs["restore"]["gpen_compare"]
    (frame,) = shown["frames"]
    np.testing.assert_array_equal(comfy.read_image(frame["before"]), crowd())
    after = comfy.read_image(result.images("save")[0]).astype(int)
    # Ours are rounded, ComfyUI's are cut off.
    assert np.abs(comfy.read_image(frame["after"]) - after).max() <= 1
    assert (frame["width"], frame["height"]) == (1992, 852)
    detected = comfy.run(detect_and_select(crowd_name)).outputs["detect"]["gpen_faces"][0]
    boxes = sorted(face["box"] for face in detected["frames"][0]["faces"])
    scaled = sorted(face["box"] for face in frame["faces"])
    np.testing.assert_allclose(scaled, np.multiply(boxes, 1.5), atol=0.15)


def test_a_long_batch_sends_sixteen_pictures_from_its_first_to_its_last(comfy):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    prompt = {
        "image": load(comfy.upload_image(noise, "batch.png")),
        "batch": {
            "class_type": "RepeatImageBatch",
            "inputs": {"image": ["image", 0], "amount": 100},
        },
        "detect": {"class_type": "GPEN_DetectFaces", "inputs": {"image": ["batch", 0]}},
    }
    (shown,) = comfy.run(prompt).outputs["detect"]["gpen_faces"]
    assert shown["total"] == 100
    indices = [frame["index"] for frame in shown["frames"]]
    assert (indices[0], indices[-1], len(set(indices))) == (0, 99, 16)


def test_compare_measures_the_whole_and_inside_the_mask(comfy):
    before = np.full((64, 64, 3), 100, dtype=np.uint8)
    after = before.copy()
    after[:32] += 51  # 0.2: 13.98 dB
    names = [comfy.upload_image(image, "compare.png") for image in (before, after)]
    result = comfy.run(compare(*names))
    assert float(result.texts("psnr")[0]) == pytest.approx(16.99, abs=0.01)
    assert result.texts("compare")[0].startswith("Whole image: PSNR 16.99 dB, SSIM")
    prompt = compare(*names, mask=["mask", 0])
    mask = np.zeros((64, 64, 3), dtype=np.uint8)
    mask[:32] = 255
    prompt["mask image"] = load(comfy.upload_image(mask, "mask.png"))
    prompt["mask"] = {
        "class_type": "ImageToMask",
        "inputs": {"image": ["mask image", 0], "channel": "red"},
    }
    result = comfy.run(prompt)
    assert float(result.texts("psnr")[0]) == pytest.approx(13.98, abs=0.01)
    assert "Inside mask or faces: PSNR 13.98 dB" in result.texts("compare")[0]


def test_compare_equal_pictures_says_so(comfy):
    name = comfy.upload_image(skimage.data.astronaut(), "equal.png")
    result = comfy.run(compare(name, name))
    assert result.texts("compare") == ["Whole image: equal, bit for bit."]
    assert float(result.texts("ssim")[0]) == pytest.approx(1, abs=1e-6)


def test_compare_measures_inside_the_faces_of_a_smaller_before(comfy, crowd_name):
    enlarged = np.asarray(Image.fromarray(crowd()).resize((1992, 852), Image.Resampling.BICUBIC))
    prompt = compare(crowd_name, comfy.upload_image(enlarged, "larger.png"), faces=["detect", 0])
    prompt["detect"] = {"class_type": "GPEN_DetectFaces", "inputs": {"image": ["before", 0]}}
    result = comfy.run(prompt)
    (frame,) = result.outputs["compare"]["gpen_compare"][0]["frames"]
    assert len(frame["faces"]) == 29
    assert max(face["box"][2] for face in frame["faces"]) > 1500
    assert float(result.texts("psnr")[0]) > 30  # the same enlargement
    assert "Inside mask or faces: PSNR" in result.texts("compare")[0]


def test_compare_another_count_of_images_says_what_to_do(comfy):
    prompt = compare(*(comfy.upload_image(np.zeros((16, 16, 3), np.uint8)) for _ in range(2)))
    for key, amount in (("before", 2), ("after", 3)):
        prompt[f"{key} batch"] = {
            "class_type": "RepeatImageBatch",
            "inputs": {"image": [key, 0], "amount": amount},
        }
        prompt["compare"]["inputs"][key] = [f"{key} batch", 0]
    result = comfy.wait(comfy.queue(prompt))
    assert "before: expected 1 or 3 images" in result.error["exception_message"]


def crops_prompt(name: str) -> dict:
    prompt = detect_and_select(name, indices="0-2")
    prompt["crop"] = {
        "class_type": "GPEN_CropFaces",
        "inputs": {"image": ["image", 0], "faces": ["select", 0], "size": 256},
    }
    prompt["model"] = {
        "class_type": "GPEN_LoadModel",
        "inputs": {"model_name": "GPEN-random-256.pth"},
    }
    prompt["restore"] = {
        "class_type": "GPEN_RestoreCrops",
        "inputs": {"model": ["model", 0], "crops": ["crop", 0]},
    }
    prompt["save"] = {"class_type": "PreviewImage", "inputs": {"images": ["restore", 0]}}
    return prompt


def test_restored_crops_are_counted_in_words_and_no_face_is_previewed_by_default(comfy, crowd_name):
    result = comfy.run(crops_prompt(crowd_name))
    (text,) = [data["text"] for data in result.of_type("progress_text")]
    assert text.startswith("Restored 3 crops with GPEN-random-256.pth at 256 px (fp32 on cpu, ")
    progress = [p["value"] for p in result.of_type("progress") if p["node"] == "restore"]
    assert progress == [1, 2, 3]
    assert result.of_type("preview") == []


def test_the_face_in_work_is_previewed_where_the_user_wants_previews(model_folders):
    arguments = ["--cpu", "--preview-method", "auto", "--preview-size", "128"]
    with ComfyServer(models=model_folders, arguments=arguments) as server:
        comfy = DefaultingServer(server)
        name = server.upload_image(crowd(), "crowd.png")
        prompt = crops_prompt(name)
        prompt["all"] = {
            "class_type": "GPEN_RestoreFaces",
            "inputs": {"model": ["model", 0], "image": ["image", 0], "faces": ["select", 0]},
        }
        prompt["save all"] = {"class_type": "PreviewImage", "inputs": {"images": ["all", 0]}}
        result = comfy.run(prompt)
    for node in ("restore", "all"):
        previews = [data for data in result.of_type("preview") if data["node_id"] == node]
        assert previews
        with Image.open(io.BytesIO(previews[0]["image"])) as image:
            assert image.format == "JPEG"
            assert image.size == (128, 128)
