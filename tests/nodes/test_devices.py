"""The nodes with their networks on a stand-in for a GPU, as ComfyUI puts them there."""

import math
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from gpen_core import PARSER_MODELS, FaceParser
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
    with device_with(8000, monkeypatch, is_apple=request.param == "apple") as crossings:
        yield crossings


@contextmanager
def device_with(megabytes, monkeypatch, *, is_apple=False):
    """ComfyUI with a device that has so much free beside what is loaded there."""
    import comfy.model_management as mm

    def free_memory(_device=None, torch_free_too=False):
        there = [entry.model for entry in mm.current_loaded_models if entry.device == DEVICE]
        free = megabytes * 2**20 - sum(patcher.loaded_size() for patcher in there)
        return (free, 0) if torch_free_too else free

    monkeypatch.setattr(mm, "get_torch_device", lambda: DEVICE)
    monkeypatch.setattr(mm, "unet_offload_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(mm, "get_free_memory", free_memory)
    monkeypatch.setattr(mm, "should_use_fp16", lambda *_, **__: False)
    monkeypatch.setattr(mm, "should_use_bf16", lambda *_, **__: False)
    with stand_in_gpu(is_apple=is_apple) as crossings:
        yield crossings
        mm.free_memory(1e30, DEVICE)


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


def test_a_detector_follows_the_device_of_the_host(on_device, folders, host, models, monkeypatch):
    import comfy.model_management as mm

    for device in (DEVICE, CPU):
        monkeypatch.setattr(mm, "get_torch_device", lambda device=device: device)
        detector = models.host_detector("auto", (1, 3, 64, 64), models.SearchSettings())
        host.load_together(detector)
        assert host.device_of(detector.network) == device


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


@pytest.fixture
def parser_file(folders, tmp_path):
    """A face parser that nobody trained."""
    weights = FaceParser("bisenet").network.state_dict()
    state_dict = {name: torch.zeros_like(value) for name, value in weights.items()}
    (tmp_path / "facedetection").mkdir()
    path = tmp_path / "facedetection" / PARSER_MODELS["bisenet"].filename
    torch.save(state_dict, path)


@pytest.mark.parametrize("megabytes", [500, 1000, 2000, 4000, 8000])
def test_every_network_is_on_the_device_however_little_is_free(
    megabytes, host, hosted, parser_file, execute, photo, pack, models, monkeypatch
):
    import comfy.model_management as mm

    ran = {}
    for kind in ("GpenGenerator", "FaceDetector", "FaceParser"):
        network = getattr(sys.modules[f"{pack.__name__}.gpen_core"], kind)

        def forward(self, batch, kind=kind, forward=network.forward):
            ran.setdefault(kind, set()).update({host.device_of(self), batch.device})
            return forward(self, batch)

        monkeypatch.setattr(network, "forward", forward)

    def used():
        found = dict(ran)
        ran.clear()
        return found

    def there(*kinds):
        return {kind: {DEVICE} for kind in kinds}

    def crowd_out(images, scale, _upscale_model):
        """What an upscale model does that needs the memory for itself."""
        mm.free_memory(1e30, DEVICE)
        return images.repeat_interleave(2, 2).repeat_interleave(2, 3)

    restore_faces = sys.modules[f"{pack.__name__}.nodes.restore_faces"]
    monkeypatch.setattr(restore_faces, "make_canvas", crowd_out)
    swapped = photo.clone()
    swapped[:, 80:160, 190:260] = photo[:, 80:160, 190:260].flip(2)
    with device_with(megabytes, monkeypatch):
        model = models.host_model("a.safetensors", "fp32", may_download=False)
        texts = []

        faces, *_ = execute("GPEN_DetectFaces", image=photo, **SEARCH)
        assert used() == there("FaceDetector")

        texts += execute(
            "GPEN_RestoreFaces",
            model=model,
            image=photo,
            **SEARCH,
            output_size="scale",
            scale=2.0,
            upscale_model=object(),
        )[-1:]
        assert used() == there("FaceDetector", "GpenGenerator")

        execute("GPEN_FaceMask", image=photo, faces=faces, parser="bisenet")
        assert used() == there("FaceParser")

        swap = {"original": photo, "swapped": swapped, "model": model, "parser": "bisenet"}
        texts += execute("GPEN_BlendSwap", **swap, **SEARCH)[-1:]
        assert used() == there("FaceDetector", "FaceParser", "GpenGenerator")
        texts += execute("GPEN_BlendSwap", **swap, **SEARCH, faces=faces)[-1:]
        assert used() == there("FaceParser", "GpenGenerator")

        (crops,) = execute("GPEN_CropFaces", image=photo, faces=faces, size=128)
        execute("GPEN_RestoreCrops", model=model, crops=crops)
        assert used() == there("GpenGenerator")

        execute("GPEN_Compare", before=photo, after=swapped)
        assert used() == there("FaceDetector")
    assert len(texts) == 3
    assert all("fp32 on cuda:0" in text for text in texts)


def test_the_text_names_the_device_that_the_weights_are_on(hosted, pack):
    report = sys.modules[f"{pack.__name__}.nodes.report"]
    hosted.patcher.load_device = DEVICE
    assert "fp32 on cpu" in report.restored_text(hosted, "1 face", 1.0)
