"""The network, its anchors and how its answers are decoded."""

import torch

from gpen_core.faces.detection import detect_faces, load_detector
from gpen_core.faces.retinaface import FaceDetector, decode_boxes, decode_landmarks, make_anchors
from support.faces import assert_same_faces


def test_make_anchors_agrees_with_facexlib():
    from facexlib.detection.retinaface import generate_config
    from facexlib.detection.retinaface_utils import PriorBox

    for height, width in [(64, 96), (37, 100), (1, 1), (568, 1328)]:
        expected = PriorBox(generate_config("mobile0.25"), image_size=(height, width)).forward()
        expected = expected * torch.tensor([width, height, width, height])
        torch.testing.assert_close(make_anchors(height, width), expected)


def test_decode_agrees_with_facexlib():
    from facexlib.detection.retinaface_utils import decode, decode_landm

    anchors = make_anchors(64, 96)
    draw = torch.Generator().manual_seed(0)
    box_offsets = torch.randn(len(anchors), 4, generator=draw) * 3
    landmark_offsets = torch.randn(len(anchors), 10, generator=draw) * 3
    variances = [0.1, 0.2]
    torch.testing.assert_close(
        decode_boxes(box_offsets, anchors), decode(box_offsets, anchors, variances)
    )
    torch.testing.assert_close(
        decode_landmarks(landmark_offsets, anchors),
        decode_landm(landmark_offsets, anchors, variances).view(-1, 5, 2),
    )


def test_decode_boxes_of_wild_offsets_is_finite():
    boxes = decode_boxes(torch.full((1, 4), 1e4), torch.tensor([[0.0, 0, 512, 512]]))
    assert boxes.isfinite().all()


def test_detector_is_a_plain_module(astronaut):
    detector = load_detector()
    assert isinstance(detector, FaceDetector)
    assert not detector.training
    assert not any(parameter.requires_grad for parameter in detector.parameters())
    assert not hasattr(detector, "device")
    detector.device = torch.device("cpu")  # ComfyUI's ModelPatcher does
    expected = detect_faces(astronaut, detector)
    assert_same_faces(detect_faces(astronaut, detector.double()), expected, atol=0.05)
    half = detect_faces(astronaut, detector.bfloat16())
    assert len(half) == 1
    assert half.boxes.dtype == torch.float32


def test_detector_leaves_no_tensor_behind_when_moved(detector):
    moved = load_detector(device="meta")
    for module in moved.modules():
        for name, value in vars(module).items():
            assert not isinstance(value, torch.Tensor), name
    raw = moved(torch.zeros(1, 3, 64, 64, device="meta"))
    assert raw.scores.shape == detector(torch.zeros(1, 3, 64, 64)).scores.shape
