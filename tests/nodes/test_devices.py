"""The nodes with their networks on a stand-in for a GPU, as ComfyUI puts them there."""

import math
from types import SimpleNamespace

import pytest
import torch

from support.stand_in_gpu import DEVICE, stand_in_gpu

CPU = torch.device("cpu")
SEARCH = {
    "detector": "retinaface_mobile0.25",
    "detection_size": 320,
    "threshold": 0.8,
    "scales": "standard",
    "rotations": "off",
    "min_face_size": 0,
}


@pytest.fixture(params=["nvidia", "apple"])
def on_device(request, host, monkeypatch):
    """ComfyUI with that device, and 8 GB free on it."""
    import comfy.model_management as mm

    def free_memory(_device=None, torch_free_too=False):
        return (8 * 2**30, 0) if torch_free_too else 8 * 2**30

    monkeypatch.setattr(mm, "get_torch_device", lambda: DEVICE)
    monkeypatch.setattr(mm, "unet_offload_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(mm, "get_free_memory", free_memory)
    monkeypatch.setattr(mm, "should_use_fp16", lambda *_, **__: False)
    monkeypatch.setattr(mm, "should_use_bf16", lambda *_, **__: False)
    with stand_in_gpu(is_apple=request.param == "apple") as crossings:
        yield crossings
        mm.unload_all_models()


@pytest.fixture
def photo(astronaut):
    """As the host's pictures are: channels last."""
    return astronaut.movedim(1, -1)


@pytest.fixture
def hosted_there(on_device, hosted):
    """The checkpoint on the device."""
    assert hosted.patcher.load_device == DEVICE
    return hosted


@pytest.fixture
def execute(node_classes, monkeypatch):
    """Call a node with the defaults of its widgets, except for some."""

    def execute(node_id, **inputs):
        node = next(node for node in node_classes if node.GET_SCHEMA().node_id == node_id)
        monkeypatch.setattr(node, "hidden", SimpleNamespace(unique_id=None))
        defaults = {
            widget.id: widget.default
            for widget in node.GET_SCHEMA().inputs
            if getattr(widget, "default", None) is not None
        }
        return node.execute(**{**defaults, **inputs}).result

    return execute


def test_a_detector_follows_the_device_of_the_host(on_device, folders, models, monkeypatch):
    import comfy.model_management as mm

    for device in (DEVICE, CPU):
        monkeypatch.setattr(mm, "get_torch_device", lambda device=device: device)
        detector = models.load_detector_on_device("auto")
        assert next(detector.parameters()).device == device


def test_restore_faces_and_compare(execute, hosted_there, on_device, photo):
    restored, mask, *_ = execute(
        "GPEN_RestoreFaces",
        model=hosted_there,
        image=photo,
        **{**SEARCH, "color": 1.0, "detail": 0.5, "grain": 1.0, "output_size": "scale"},
        scale=1.5,
        smoothing=0.5,
        output_crops=True,
    )
    assert on_device.to_host  # it has been there
    assert next(hosted_there.network.parameters()).device == DEVICE
    assert restored.device == mask.device == CPU
    assert restored.shape == (1, 768, 768, 3)
    assert mask.max() > 0.9
    after, text, *figures = execute("GPEN_Compare", before=photo, after=restored)
    psnr, ssim, ms_ssim, sharpness, color_error, landmark_error = figures
    assert after is restored
    assert psnr > 35  # the identity checkpoint, but for grain
    assert 0.9 < ssim < ms_ssim < 1
    assert sharpness == pytest.approx(1, abs=0.2)
    assert 0 < color_error < 2
    assert 0 < landmark_error < 2
    assert f"Landmarks are off by {landmark_error:.1f} %" in text


def test_compare_without_a_face_has_no_landmark_error(execute, on_device, folders, models):
    grey = torch.full((1, 64, 64, 3), 0.5)
    *_, landmark_error = execute("GPEN_Compare", before=grey, after=grey * 0.9)
    assert math.isnan(landmark_error)


def test_faces_by_single_steps(execute, hosted_there, photo):
    faces, drawn, n_faces = execute("GPEN_DetectFaces", image=photo, **SEARCH)
    assert n_faces == 1
    assert drawn.device == CPU
    faces = execute("GPEN_SelectFaces", faces=faces)[0]
    (crops,) = execute("GPEN_CropFaces", image=photo, faces=faces, size=128)
    (restored,) = execute("GPEN_RestoreCrops", model=hosted_there, crops=crops)
    assert restored.shape == (1, 256, 256, 3)
    assert restored.device == CPU
    pasted = execute("GPEN_PasteFaces", image=photo, faces=faces, crops=restored)[0]
    torch.testing.assert_close(pasted, photo, rtol=0, atol=0.5)


def test_blend_swap_restores_what_was_swapped(execute, hosted_there, on_device, photo):
    swapped = photo.clone()
    swapped[:, 80:160, 190:260] = photo[:, 80:160, 190:260].flip(2)
    blended, mask, *_ = execute(
        "GPEN_BlendSwap", original=photo, swapped=swapped, model=hosted_there, **SEARCH
    )
    assert on_device.to_host
    assert blended.device == CPU
    assert mask.max() > 0.9
