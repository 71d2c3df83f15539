"""Which files a detector is loaded from, and what is said of all others."""

import hashlib
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gpen_core.bundled import BUNDLED_DETECTOR
from gpen_core.errors import (
    CheckpointMismatchError,
    CheckpointNotFoundError,
    UnsafeCheckpointError,
)
from gpen_core.faces.detection import detect_faces, load_detector
from gpen_core.faces.retinaface import FaceDetector
from gpen_core.network.config import GpenConfig
from gpen_core.network.synthetic import random_state_dict
from support.faces import assert_same_faces
from support.facexlib_detector import reference_of
from support.hostile import Bomb

MOBILE, RESNET = "retinaface_mobile0.25", "retinaface_resnet50"
SOURCE_SHA256 = "7c417d4a43c5e2100ef40c2fbd2177d2fd0e5090d8e87c0fa31806cfb895c12f"


@pytest.fixture(scope="module")
def mobile_path(detector, tmp_path_factory):
    """The bundled weights as a checkpoint, with the prefix that training leaves."""
    path = tmp_path_factory.mktemp("mobile") / "detection_mobilenet0.25_Final.pth"
    state_dict = detector.network.state_dict()
    torch.save({f"module.{key}": value for key, value in state_dict.items()}, path)
    return path


@pytest.fixture(scope="module")
def resnet_path(tmp_path_factory):
    """A checkpoint of random weights, with the prefix that training leaves."""
    torch.manual_seed(0)
    state_dict = FaceDetector(RESNET).network.state_dict()
    for key, value in state_dict.items():
        if key.endswith(("running_var", "num_batches_tracked")) or value.ndim == 1:
            value.fill_(1)
        if key.endswith(("bias", "running_mean")):
            value.zero_()
        if value.ndim == 4:
            torch.nn.init.kaiming_normal_(value)
    path = tmp_path_factory.mktemp("resnet") / "detection_Resnet50_Final.pth"
    torch.save({f"module.{key}": value for key, value in state_dict.items()}, path)
    return path


@pytest.mark.filterwarnings("ignore:.*weight:UserWarning")  # from facexlib's own loading
def test_load_detector_resnet50_runs_like_facexlib(resnet_path, astronaut):
    detector = load_detector(resnet_path)
    image = astronaut[..., :96, :131]
    with torch.no_grad():
        raw = detector(image)
        expected = reference_of("resnet50", detector)(
            image.flip(1) * 255 - torch.tensor([104.0, 117, 123]).view(3, 1, 1)
        )
    assert raw.scores.std() > 0.01
    torch.testing.assert_close(raw.scores, expected[1][..., 1])
    torch.testing.assert_close(raw.box_offsets, expected[0])
    torch.testing.assert_close(raw.landmark_offsets, expected[2])
    faces = detect_faces(image, detector, threshold=0)
    assert len(faces) > 0


def test_load_detector_takes_the_weights_of_the_file(mobile_path, tmp_path):
    saved = torch.load(mobile_path, map_location="cpu", weights_only=True)
    saved["module.fpn.output1.0.weight"] += 1
    torch.save(saved, tmp_path / "other.pth")
    loaded = load_detector(tmp_path / "other.pth").network.state_dict()
    assert len(loaded) == len(saved)
    for key, value in saved.items():
        torch.testing.assert_close(loaded[key.removeprefix("module.")], value, rtol=0, atol=0)


def test_load_detector_without_arguments_loads_the_bundled_file(detector):
    assert detector.name == MOBILE
    assert next(detector.parameters()).device.type == "cpu"
    bundled = load_file(BUNDLED_DETECTOR)
    loaded = detector.network.state_dict()
    assert loaded.keys() == bundled.keys()
    assert all(torch.equal(loaded[key], value) for key, value in bundled.items())


def test_the_bundled_detector_is_bit_for_bit_the_file_that_it_was_made_from(detector, astronaut):
    folder = os.environ.get("GPEN_MODELS_DIR")
    path = Path(folder or "") / "facedetection" / "detection_mobilenet0.25_Final.pth"
    if not folder or hashlib.sha256(path.read_bytes()).hexdigest() != SOURCE_SHA256:
        pytest.skip("GPEN_MODELS_DIR does not name a folder with that file in it")
    assert SOURCE_SHA256 in BUNDLED_DETECTOR.with_name("README.md").read_text("utf-8")
    with torch.no_grad():
        expected = load_detector(path)(astronaut)
        for found, wanted in zip(detector(astronaut), expected, strict=True):
            assert torch.equal(found, wanted)


def test_load_detector_takes_what_the_file_holds(mobile_path, resnet_path):
    assert load_detector(mobile_path).name == MOBILE
    assert load_detector(resnet_path).name == RESNET


def test_load_detector_reads_safetensors(mobile_path, detector, astronaut, tmp_path):
    path = tmp_path / "detector.safetensors"
    save_file(detector.network.state_dict(), path)
    assert_same_faces(
        detect_faces(astronaut, load_detector(path)), detect_faces(astronaut, detector)
    )


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_load_detector_does_not_depend_on_the_file_afterwards(
    suffix, mobile_path, astronaut, tmp_path
):
    path = tmp_path / f"detector.{suffix}"
    path.write_bytes((mobile_path if suffix == "pth" else BUNDLED_DETECTOR).read_bytes())
    detector = load_detector(path)
    path.write_bytes(b"")
    assert len(detect_faces(astronaut, detector)) == 1


def test_load_detector_is_silent_and_leaves_random_numbers_alone(
    resnet_path, recwarn, capfd, caplog
):
    state = torch.get_rng_state()
    load_detector(resnet_path)
    assert torch.equal(torch.get_rng_state(), state)
    assert not [w for w in recwarn.list if "pretrained" in str(w.message) or "weights" in str(w)]
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_load_detector_of_a_missing_file_names_the_path(tmp_path):
    with pytest.raises(CheckpointNotFoundError, match=str(tmp_path / "none.pth")):
        load_detector(tmp_path / "none.pth")


def test_load_detector_refuses_code(tmp_path):
    path = tmp_path / "evil.pth"
    torch.save({"body": Bomb(tmp_path / "marker")}, path)
    with pytest.raises(UnsafeCheckpointError):
        load_detector(path)
    assert not (tmp_path / "marker").exists()


def test_load_detector_of_another_model_says_so(tmp_path):
    parsenet = {"out_mask_conv.conv2d.weight": torch.zeros(19, 64, 3, 3)}
    torch.save(parsenet, tmp_path / "parsenet.pth")
    torch.save(random_state_dict(GpenConfig(256, 1, 0.0625)), tmp_path / "gpen.pth")
    for path in (tmp_path / "parsenet.pth", tmp_path / "gpen.pth"):
        with pytest.raises(
            CheckpointMismatchError,
            match=rf"^{path.name}: expected a face detector .*{RESNET}.*, got another model.*",
        ):
            load_detector(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("fpn.merge1.0.weight"), "1 missing and 0 unexpected.*fpn.merge1.0.wei"),
        (lambda s: s.update(extra=torch.zeros(1)), "0 missing and 1 unexpected.*'extra'"),
        (
            lambda s: s.update({"fpn.merge1.0.weight": torch.zeros(64, 64, 1, 1)}),
            r"shape \(64, 64, 3, 3\), got \(64, 64, 1, 1\)",
        ),
    ],
)
def test_load_detector_of_a_damaged_file_says_what(change, message, detector, tmp_path):
    state_dict = dict(detector.network.state_dict())
    change(state_dict)
    torch.save(state_dict, tmp_path / "file.pth")
    with pytest.raises(CheckpointMismatchError, match=rf"file\.pth: expected .*{message}"):
        load_detector(tmp_path / "file.pth")
