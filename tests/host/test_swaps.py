"""After a ReActor swap, in a real ComfyUI, with a stand-in whose swap is a geometric one."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from support.crowd import crowd
from support.defaulting_server import DefaultingServer
from support.networks import IDENTITY_NOTICE

pytestmark = pytest.mark.host

MODEL = "GPEN-random-256.pth"
IDENTITY = "GPEN-identity-512.safetensors"


@pytest.fixture(scope="module")
def comfy(comfy):
    return DefaultingServer(comfy)


def load(name: str) -> dict:
    return {"class_type": "LoadImage", "inputs": {"image": name}}


def save(source: list, prefix: str = "test") -> dict:
    return {"class_type": "SaveImage", "inputs": {"images": source, "filename_prefix": prefix}}


def swap_graph(target: str, source: str, model: str = MODEL, **widgets) -> dict:
    """Load Image -> ReActor -> Blend Swap -> Save Image, and the swap saved beside it."""
    swap_widgets = {k: widgets.pop(k) for k in ("enabled", "input_faces_index") if k in widgets}
    return {
        "target": load(target),
        "source": load(source),
        "swap": {
            "class_type": "ReActorFaceSwap",
            "inputs": {
                "input_image": ["target", 0],
                "source_image": ["source", 0],
                "swap_model": "inswapper_128.onnx",
                "facedetection": "retinaface_mobile0.25",
                "face_restore_model": "none",
                **swap_widgets,
            },
        },
        "model": {"class_type": "GPEN_LoadModel", "inputs": {"model_name": model}},
        "blend": {
            "class_type": "GPEN_BlendSwap",
            "inputs": {
                "original": ["swap", 2],
                "swapped": ["swap", 0],
                "face_model": ["swap", 1],
                "model": ["model", 0],
                "detector": "retinaface_mobile0.25",
                **widgets,
            },
        },
        "save": save(["blend", 0]),
        "save_swapped": save(["swap", 0], "swapped"),
        "mask": {"class_type": "MaskToImage", "inputs": {"mask": ["blend", 1]}},
        "save_mask": save(["mask", 0], "mask"),
    }


def pictures(comfy, result, node: str) -> list[np.ndarray]:
    return [comfy.read_image(image) for image in result.images(node)]


def changed_blobs(before: np.ndarray, after: np.ndarray) -> int:
    """Number of places, further apart than 9 pixels, in which two pictures differ."""
    is_changed = np.abs(before.astype(int) - after).max(axis=2) > 1
    grown = ndimage.binary_dilation(is_changed, iterations=5)
    return ndimage.label(grown)[1]


def centres(boolean: np.ndarray) -> np.ndarray:
    """The middle of the true pixels, x and y."""
    y, x = np.nonzero(boolean)
    return np.array([x.mean(), y.mean()])


def test_of_29_faces_exactly_the_swapped_one_is_restored(comfy, crowd_name, astronaut_name):
    result = comfy.run(swap_graph(crowd_name, astronaut_name, input_faces_index="3"))
    (text,) = result.texts("blend")
    assert text.startswith("Restored 1 swapped face in 1 image, of 29 found, with GPEN-random")
    (swapped,), (blended,), (mask,) = (
        pictures(comfy, result, node) for node in ("save_swapped", "save", "save_mask")
    )
    assert changed_blobs(crowd(), swapped) == 1
    assert changed_blobs(swapped, blended) == 1
    # Away from the mask the pictures are equal; its faintest edge is 0 in 8 bits.
    away = ~ndimage.binary_dilation(mask.max(axis=2) > 0, iterations=6)
    np.testing.assert_array_equal(blended[away], swapped[away])
    (view,) = result.outputs["blend"]["gpen_compare"]
    assert len(view["frames"][0]["faces"]) == 1  # what the slider steps through
    was_swapped = np.abs(crowd().astype(int) - swapped).max(axis=2) > 1
    assert np.linalg.norm(centres(was_swapped) - centres(mask.max(axis=2) > 128)) < 6


def test_a_swap_of_nobody_comes_back_as_it_is(comfy, crowd_name, astronaut_name):
    result = comfy.run(swap_graph(crowd_name, astronaut_name, input_faces_index="99"))
    assert result.texts("blend") == [
        "The swap changed none of the 29 faces in 1 image: the image is unchanged."
    ]
    (blended,) = pictures(comfy, result, "save")
    np.testing.assert_array_equal(blended, crowd())


def test_three_swapped_faces_are_found_after_a_jpeg_round_trip(comfy, crowd_name, astronaut_name):
    result = comfy.run(swap_graph(crowd_name, astronaut_name, input_faces_index="2,9,17"))
    (swapped,) = pictures(comfy, result, "save_swapped")
    stream = io.BytesIO()
    Image.fromarray(swapped).save(stream, "JPEG", quality=75)
    compressed = np.array(Image.open(stream))
    graph = swap_graph(crowd_name, astronaut_name)
    graph["swapped"] = load(comfy.upload_image(compressed, "compressed.png"))
    graph["blend"]["inputs"] |= {"original": ["target", 0], "swapped": ["swapped", 0]}
    del graph["swap"], graph["save_swapped"], graph["blend"]["inputs"]["face_model"]
    result = comfy.run(graph)
    assert result.texts("blend")[0].startswith("Restored 3 swapped faces in 1 image, of 29 found")
    (blended,) = pictures(comfy, result, "save")
    assert changed_blobs(compressed, blended) == 3


def test_the_identity_checkpoint_gives_the_swap_back(comfy, crowd_name, astronaut_name):
    graph = swap_graph(
        crowd_name, astronaut_name, IDENTITY, input_faces_index="0", color=0.0, grain=0.0
    )
    result = comfy.run(graph)
    (swapped,), (blended,) = (pictures(comfy, result, node) for node in ("save_swapped", "save"))
    # ComfyUI's PNGs are truncated, not rounded: a millionth less is one level less.
    assert np.abs(blended.astype(int) - swapped).max() <= 1
    (text,) = result.texts("blend")
    assert text.startswith("Restored 1 swapped face in 1 image")
    assert text.endswith(IDENTITY_NOTICE)


def test_with_all_influences_off_the_swap_is_untouched(comfy, crowd_name, astronaut_name):
    influences = dict.fromkeys(("restore", "detail", "color", "grain", "keep"), 0.0)
    result = comfy.run(swap_graph(crowd_name, astronaut_name, **influences))
    (swapped,), (blended,) = (pictures(comfy, result, node) for node in ("save_swapped", "save"))
    np.testing.assert_array_equal(blended, swapped)
    (text,) = result.texts("blend")
    assert text.startswith("Blended ")
    assert text.endswith(" s. Nothing was restored: restore is 0.")


def test_switched_off_reactor_passes_the_image_through(comfy, crowd_name, astronaut_name):
    result = comfy.run(swap_graph(crowd_name, astronaut_name, enabled=False))
    assert "as when ReactOr is switched off".lower() in result.texts("blend")[0].lower()
    (blended,), (mask,) = (pictures(comfy, result, node) for node in ("save", "save_mask"))
    np.testing.assert_array_equal(blended, crowd())
    assert mask.max() == 0


def flagged(picture: np.ndarray) -> np.ndarray:
    """The same picture as the stand-in's filter flags it: its first pixel is red."""
    marked = picture.copy()
    marked[0, 0] = (255, 0, 0)
    return marked


def test_the_black_image_of_the_filter_is_passed_through_with_a_warning(comfy, astronaut_name):
    name = comfy.upload_image(flagged(crowd()), "flagged.png")
    result = comfy.run(swap_graph(name, astronaut_name))
    assert "its filter has flagged every frame" in result.texts("blend")[0]
    (blended,) = pictures(comfy, result, "save")
    assert blended.shape == (512, 512, 3)
    assert blended.max() == 0


@pytest.mark.parametrize(("choice", "n_out"), [("fill in from original", 3), ("leave out", 2)])
def test_a_frame_that_the_filter_dropped(comfy, astronaut_name, choice, n_out):
    # Three different views, the second one flagged.
    views = [crowd()[100:400, x : x + 500] for x in (0, 250, 500)]
    views[1] = flagged(views[1])
    names = [comfy.upload_image(v, f"view{i}.png") for i, v in enumerate(views)]
    graph = swap_graph(names[0], astronaut_name, input_faces_index="0", dropped_frames=choice)
    graph |= {"second": load(names[1]), "third": load(names[2])}
    graph["two"] = {
        "class_type": "ImageBatch",
        "inputs": {"image1": ["target", 0], "image2": ["second", 0]},
    }
    graph["three"] = {
        "class_type": "ImageBatch",
        "inputs": {"image1": ["two", 0], "image2": ["third", 0]},
    }
    graph["swap"]["inputs"]["input_image"] = ["three", 0]
    result = comfy.run(graph)
    text = result.texts("blend")[0]
    assert "Restored 2 swapped faces in 2 images" in text
    assert "The swap dropped frame 1: " in text
    blended, masks = (pictures(comfy, result, node) for node in ("save", "save_mask"))
    assert len(blended) == len(masks) == n_out
    kept = [0, 1, 2] if n_out == 3 else [0, 2]
    for view, picture, mask in zip(np.array(views)[kept], blended, masks, strict=True):
        outside = mask.max(axis=2) == 0
        swapped_pixels = np.abs(view.astype(int) - picture).max(axis=2) > 1
        assert swapped_pixels.any() == (tuple(view[0, 0]) != (255, 0, 0))
        assert outside.mean() > 0.8
    if n_out == 3:
        np.testing.assert_array_equal(blended[1], views[1])


def test_another_clip_as_original_is_an_error_that_names_reactor(comfy, astronaut_name):
    other = comfy.upload_image(255 - crowd()[:300, :400], "other.png")
    name = comfy.upload_image(crowd()[100:400, :400], "one.png")
    graph = swap_graph(name, astronaut_name)
    graph["other"] = load(other)
    graph["pair"] = {
        "class_type": "ImageBatch",
        "inputs": {"image1": ["other", 0], "image2": ["other", 0]},
    }
    graph["blend"]["inputs"]["original"] = ["pair", 0]
    message = comfy.error_of(graph)["exception_message"]
    assert "ReActor leaves out the frames that its filter flags" in message


def test_an_original_of_another_size_is_resized(comfy, crowd_name, astronaut_name):
    graph = swap_graph(crowd_name, astronaut_name, input_faces_index="5")
    graph["large"] = {
        "class_type": "ImageScaleBy",
        "inputs": {"image": ["target", 0], "upscale_method": "lanczos", "scale_by": 1.5},
    }
    graph["blend"]["inputs"]["original"] = ["large", 0]
    assert "Restored 1 swapped face in 1 image, of 29" in comfy.run(graph).texts("blend")[0]


def test_the_face_model_is_handed_on(comfy, crowd_name, astronaut_name):
    graph = swap_graph(crowd_name, astronaut_name, input_faces_index="99")
    graph["preview"] = {"class_type": "PreviewAny", "inputs": {"source": ["blend", 4]}}
    assert comfy.run(graph).texts("preview") == ["face of the source"]


def test_the_original_shows_outside_the_mask(comfy, crowd_name, astronaut_name):
    graph = swap_graph(crowd_name, astronaut_name, input_faces_index="0")
    graph["nowhere"] = {
        "class_type": "SolidMask",
        "inputs": {"value": 0.0, "width": crowd().shape[1], "height": crowd().shape[0]},
    }
    graph["blend"]["inputs"]["mask"] = ["nowhere", 0]
    (blended,) = pictures(comfy, comfy.run(graph), "save")
    # Of the swap's soft edge only what is too faint to be noticed is left.
    assert np.abs(blended.astype(int) - crowd()).max() <= 5


@pytest.mark.parametrize(
    ("order", "index"), [("large-small", "1"), ("left-right", "4"), ("bottom-top", "4")]
)
def test_select_faces_means_the_same_faces_as_reactor(
    comfy, crowd_name, astronaut_name, order, index
):
    graph = swap_graph(crowd_name, astronaut_name)
    swap = graph["swap"]
    swap["class_type"] = "ReActorFaceSwapOpt"
    swap["inputs"].pop("input_faces_index", None)
    swap["inputs"]["options"] = ["options", 0]
    graph["options"] = {
        "class_type": "ReActorOptions",
        "inputs": {"input_faces_order": order, "input_faces_index": index},
    }
    graph["detect"] = {
        "class_type": "GPEN_DetectFaces",
        "inputs": {"image": ["swap", 2], "detector": "retinaface_mobile0.25"},
    }
    graph["select"] = {
        "class_type": "GPEN_SelectFaces",
        "inputs": {"faces": ["detect", 0], "order": order, "indices": index},
    }
    graph["restore"] = {
        "class_type": "GPEN_RestoreFaces",
        "inputs": {"model": ["model", 0], "image": ["swap", 0], "faces": ["select", 0]},
    }
    graph["save"] = save(["restore", 0])
    del graph["blend"], graph["mask"], graph["save_mask"]
    result = comfy.run(graph)
    (swapped,), (restored,) = (pictures(comfy, result, node) for node in ("save_swapped", "save"))
    swap_centre = centres(np.abs(crowd().astype(int) - swapped).max(axis=2) > 1)
    restored_centre = centres(np.abs(restored.astype(int) - swapped).max(axis=2) > 1)
    assert np.linalg.norm(swap_centre - restored_centre) < 15
