import hashlib
import inspect
import os
from pathlib import Path

import pytest
import skimage.data
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from torchvision.ops import box_iou

from gpen_core.bundled import BUNDLED_DETECTOR
from gpen_core.errors import (
    CheckpointMismatchError,
    CheckpointNotFoundError,
    SettingError,
    TensorSpecError,
    UnsafeCheckpointError,
)
from gpen_core.faces.detection import DEFAULT_DETECTION_SIZE, detect_faces, load_detector
from gpen_core.faces.faces import Faces
from gpen_core.faces.retinaface import FaceDetector, decode_boxes, decode_landmarks, make_anchors
from gpen_core.monitor import Monitor
from gpen_core.network.config import GpenConfig
from gpen_core.network.synthetic import random_state_dict
from support.hostile import Bomb
from support.photos import to_tensor

MOBILE, RESNET = "retinaface_mobile0.25", "retinaface_resnet50"
SOURCE_SHA256 = "7c417d4a43c5e2100ef40c2fbd2177d2fd0e5090d8e87c0fa31806cfb895c12f"
# Pixels; the same sums in another order.
SAME_PX = 0.02
# On the astronaut, whose face is 122 pixels high, when a copy of another size is searched.
OTHER_COPY_PX = 3.0


def enlarge(images, **kwargs):
    return F.interpolate(images, mode="bicubic", antialias=True, **kwargs).clamp(0, 1)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Threads that wait for each other on a busy machine make these tests five times slower."""
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(count)


@pytest.fixture(scope="module")
def reference(detector):
    """facexlib's own detector with the same weights."""
    return reference_of("mobile0.25", detector)


def reference_of(network_name, detector):
    from facexlib.detection.retinaface import RetinaFace

    network = RetinaFace(network_name, device="cpu")
    network.load_state_dict(detector.network.state_dict())
    return network.eval()


def detect_by_reference(reference, image, threshold=0.8):
    """Boxes (N, 4), scores (N,) and landmarks (N, 5, 2) from facexlib."""
    bgr = (image[0, :3].flip(0).movedim(0, -1) * 255).numpy()
    with torch.no_grad():
        rows = torch.from_numpy(reference.detect_faces(bgr, conf_threshold=threshold)).float()
    return rows[:, :4], rows[:, 4], rows[:, 5:].view(-1, 5, 2)


def assert_same_faces(found: Faces, expected: Faces, atol=SAME_PX):
    assert found.image_index.tolist() == expected.image_index.tolist()
    torch.testing.assert_close(found.scores, expected.scores, atol=1e-4, rtol=0)
    torch.testing.assert_close(found.boxes, expected.boxes, atol=atol, rtol=0)
    torch.testing.assert_close(found.landmarks, expected.landmarks, atol=atol, rtol=0)


# What is found


@pytest.mark.parametrize("threshold", [None, 0.3, 0.5, 0.7, 0.9, 0.95])
def test_detect_faces_finds_the_29_of_solvay_and_no_other(threshold, detector, solvay, reference):
    options = {} if threshold is None else {"threshold": threshold}
    faces = detect_faces(solvay, detector, **options)
    assert len(faces) == 29
    boxes, _, _ = detect_by_reference(reference, solvay)
    overlaps = box_iou(faces.boxes, boxes)
    assert (overlaps > 0.9).sum(0).tolist() == [1] * 29
    assert (overlaps > 0.9).sum(1).tolist() == [1] * 29
    others = box_iou(faces.boxes, faces.boxes).fill_diagonal_(0)
    assert others.max() < 0.1


@pytest.mark.parametrize("threshold", [0.3, 0.8, 0.95])
def test_detect_faces_finds_the_29_of_solvay_enlarged(threshold, detector, solvay):
    images = enlarge(solvay, scale_factor=1.5)
    assert len(detect_faces(images, detector, threshold=threshold)) == 29


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8, 0.95])
def test_detect_faces_finds_the_one_of_the_astronaut(threshold, detector, astronaut):
    faces = detect_faces(astronaut, detector, threshold=threshold)
    assert len(faces) == 1
    # Read off the photo by eye: eyes, nose, corners of the mouth, in pixels.
    by_eye = torch.tensor([[202.0, 101], [249, 103], [227, 131], [203, 140], [247, 141]])
    torch.testing.assert_close(faces.landmarks[0], by_eye, atol=4, rtol=0)
    x0, y0, x1, y1 = faces.boxes[0].tolist()
    assert 165 < x0 < 190
    assert 45 < y0 < 70
    assert 260 < x1 < 285
    assert 165 < y1 < 190


def test_detect_faces_of_a_12_megapixel_selfie_finds_one(detector, astronaut):
    small = detect_faces(astronaut, detector)
    large = detect_faces(enlarge(astronaut, scale_factor=7), detector)
    assert len(large) == 1
    torch.testing.assert_close(large.landmarks / 7, small.landmarks, atol=OTHER_COPY_PX, rtol=0)


def test_detect_faces_of_a_tight_portrait_finds_one(detector, astronaut):
    """At 1024 pixels and no smaller copy parts of this face are found as faces of their own."""
    portrait = enlarge(astronaut[..., 58:168, 170:280], size=(1024, 1024))
    assert len(detect_faces(portrait, detector)) == 1
    assert len(detect_faces(portrait, detector, detection_size=0, threshold=0.5)) > 1


@pytest.mark.parametrize("name", ["coffee", "rocket", "chelsea", "gravel", "text", "checkerboard"])
def test_detect_faces_finds_none_where_none_is(name, detector):
    array = getattr(skimage.data, name)()
    faces = detect_faces(to_tensor(array), detector)
    assert len(faces) == 0
    assert faces.landmarks.shape == (0, 5, 2)


@pytest.mark.parametrize("detection_size", [0, 640])
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (3, 2), (8, 8), (33, 31), (1, 300), (300, 1)])
def test_detect_faces_of_tiny_images_finds_none(size, detection_size, detector):
    images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    assert len(detect_faces(images, detector, detection_size=detection_size)) == 0


def test_detect_faces_of_no_images_is_empty(detector):
    done = []
    monitor = Monitor(on_progress=lambda *n: done.append(n))
    faces = detect_faces(torch.zeros(0, 3, 64, 64), detector, monitor=monitor)
    assert len(faces) == 0
    assert done == []


# Where it is found


@pytest.mark.parametrize("threshold", [0.05, 0.8])
@pytest.mark.parametrize("size", [None, (500, 333), (96, 101)])
def test_detect_faces_at_full_resolution_agrees_with_facexlib(
    size, threshold, detector, astronaut, solvay, reference
):
    images = solvay if size is None else enlarge(astronaut, size=size)
    images = (images * 255).round() / 255
    faces = detect_faces(images, detector, detection_size=0, threshold=threshold)
    boxes, scores, landmarks = detect_by_reference(reference, images, threshold)
    assert len(faces) == len(boxes) >= 1
    expected = Faces(torch.zeros(len(boxes), dtype=torch.int64), boxes, landmarks, scores)
    assert_same_faces(faces, expected)


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


def test_detect_faces_suppresses_like_facexlib_in_each_image_alone(detector, group):
    """Many overlapping candidates, and the same places in several images of a batch."""
    from facexlib.detection.retinaface_utils import decode, py_cpu_nms

    image = group[..., :400, :500]
    images = torch.cat([image, image.flip(1), image])
    faces = detect_faces(images, detector, detection_size=0, threshold=0.02)
    with torch.no_grad():
        raw = detector(images)
    anchors = make_anchors(400, 500)
    for index in range(3):
        chosen = raw.scores[index] > 0.02
        boxes = decode(raw.box_offsets[index], anchors, [0.1, 0.2])[chosen]
        scores = raw.scores[index][chosen]
        kept = torch.tensor(py_cpu_nms(torch.column_stack([boxes, scores]).numpy(), 0.4))
        assert 10 < len(kept) < len(boxes) / 2
        found = faces.of_image(index)
        torch.testing.assert_close(found.boxes, boxes[kept], atol=SAME_PX, rtol=0)
        assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)


@pytest.mark.parametrize(
    ("detection_size", "atol"), [(300, 0.25), (450, 0.25), (DEFAULT_DETECTION_SIZE, OTHER_COPY_PX)]
)
def test_detect_faces_scales_back_to_the_full_resolution(detection_size, atol, detector, astronaut):
    """Twice the picture, twice the landmarks; the axes shrink by slightly different factors."""
    image = astronaut[..., :501, 3:]
    small = detect_faces(image, detector, detection_size=detection_size)
    large = detect_faces(enlarge(image, scale_factor=2), detector, detection_size=detection_size)
    assert len(small) == len(large) == 1
    torch.testing.assert_close(large.landmarks / 2, small.landmarks, atol=atol, rtol=0)
    torch.testing.assert_close(large.boxes / 2, small.boxes, atol=2 * atol, rtol=0)


def test_detect_faces_has_pixel_centers_at_integer_and_a_half(detector, group):
    """Mirrored, x becomes width - x; with centres at integers it would be a whole pixel off."""
    faces = detect_faces(group, detector)
    mirrored = detect_faces(group.flip(-1), detector)
    landmarks = mirrored.landmarks[:, [1, 0, 2, 4, 3]] * torch.tensor([-1.0, 1])
    landmarks = landmarks + torch.tensor([group.shape[-1], 0.0])
    nearest = torch.cdist(faces.landmarks.mean(1), landmarks.mean(1)).argmin(1)
    shift = (faces.landmarks - landmarks[nearest]).mean((0, 1))
    assert shift.abs().max() < 0.4


# Batches


@pytest.fixture(scope="module")
def frames(astronaut, group):
    """Different images of one size, with 1, 0, several, 1, 0, 0 and many faces."""
    astronaut = enlarge(astronaut, size=(320, 320))
    four = group[..., :300, 130:430]
    two = four * (torch.arange(300) < 160)[:, None]
    noise = torch.rand(astronaut.shape, generator=torch.Generator().manual_seed(0))
    return torch.cat(
        [
            astronaut,
            torch.zeros_like(astronaut),
            enlarge(two, size=(320, 320)),
            astronaut.flip(-1),
            noise,
            torch.ones_like(astronaut),
            enlarge(four, size=(320, 320)),
        ]
    )


@pytest.mark.parametrize("max_batch", [1, 2, 3, 100])
def test_detect_faces_of_a_batch_equals_single_runs(max_batch, detector, frames, monkeypatch):
    monkeypatch.setattr("gpen_core.faces.detection._CPU_CHUNK_PIXELS", 10**9)
    singles = [detect_faces(frame[None], detector) for frame in frames]
    assert [len(faces) for faces in singles][:2] == [1, 0]
    assert len(singles[6]) > len(singles[2]) > 1
    expected = Faces.concatenate(
        [
            Faces(faces.image_index + i, faces.boxes, faces.landmarks, faces.scores)
            for i, faces in enumerate(singles)
        ]
    )
    sizes = []
    handle = detector.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    faces = detect_faces(frames, detector, max_batch=max_batch)
    handle.remove()
    assert max(sizes) == min(max_batch, 7)
    assert sum(sizes) == 7
    assert_same_faces(faces, expected)
    for i in range(7):
        scores = faces.of_image(i).scores.tolist()
        assert scores == sorted(scores, reverse=True)


def test_detect_faces_reports_progress_and_asks_for_interruption(detector, frames):
    events = []
    detect_faces(
        frames[:5, :, ::8, ::8],
        detector,
        max_batch=2,
        monitor=Monitor(
            on_progress=lambda done, total: events.append((done, total)),
            check_interrupt=lambda: events.append("asked"),
        ),
    )
    assert events == ["asked", (2, 5), "asked", (4, 5), "asked", (5, 5)]


def test_detect_faces_ends_when_interrupted(detector, frames):
    class InterruptedByUserError(Exception):
        pass

    calls = []

    def interrupt():
        calls.append(1)
        if len(calls) == 2:
            raise InterruptedByUserError

    done = []
    with pytest.raises(InterruptedByUserError):
        detect_faces(
            frames[:, :, ::8, ::8],
            detector,
            max_batch=1,
            monitor=Monitor(
                on_progress=lambda *n: done.append(n),
                check_interrupt=interrupt,
            ),
        )
    assert done == [(1, 7)]


def copy_sizes(detector, images, **options):
    sizes = []
    handle = detector.register_forward_pre_hook(lambda _, args: sizes.append(args[0].shape))
    detect_faces(images, detector, **options)
    handle.remove()
    return [tuple(size) for size in sizes]


@pytest.mark.parametrize(
    ("size", "detection_size", "expected"),
    [
        ((200, 300), 100, (100, 150)),
        ((300, 200), 100, (150, 100)),
        ((90, 100), 100, (90, 100)),
        ((90, 100), 0, (90, 100)),
        ((50, 3000), 100, (13, 800)),
        ((3000, 50), 100, (800, 13)),
        ((1, 3000), 100, (1, 800)),
        ((1200, 1800), None, (640, 960)),
    ],
)
def test_detect_faces_searches_a_bounded_copy(size, detection_size, expected, detector):
    options = {} if detection_size is None else {"detection_size": detection_size}
    assert copy_sizes(detector, torch.zeros(1, 3, *size), **options) == [(1, 3, *expected)]


def test_detect_faces_gives_the_network_fewer_large_images_at_once(detector, monkeypatch):
    monkeypatch.setattr("gpen_core.faces.detection._CPU_CHUNK_PIXELS", 64 * 64 * 3)
    images = torch.zeros(4, 3, 64, 64)
    assert [size[0] for size in copy_sizes(detector, images)] == [3, 1]
    assert [size[0] for size in copy_sizes(detector, torch.zeros(2, 3, 200, 200))] == [1, 1]


def test_detect_faces_antialiases_the_copy(detector, astronaut):
    """Stripes of one pixel over the face are grey in the copy, not a pattern of their own."""
    seen = []
    handle = detector.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    images = torch.zeros(1, 3, 900, 900)
    images[..., ::2] = 1
    detect_faces(images, detector, detection_size=150)
    handle.remove()
    assert seen[0][..., 2:-2].std() < 0.01


# Kinds of input


def test_detect_faces_ignores_alpha(detector, astronaut):
    expected = detect_faces(astronaut, detector)
    for alpha in (torch.zeros(1, 1, 512, 512), torch.full((1, 1, 512, 512), torch.nan)):
        assert_same_faces(detect_faces(torch.cat([astronaut, alpha], 1), detector), expected)


def test_detect_faces_takes_every_layout_and_float_type(detector, astronaut):
    image = enlarge(astronaut, size=(700, 800))
    expected = detect_faces(image, detector)
    channels_last = image.movedim(1, -1).contiguous().movedim(-1, 1)
    assert_same_faces(detect_faces(channels_last, detector), expected)
    assert_same_faces(detect_faces(image.double(), detector), expected)
    half = detect_faces(image.half(), detector)
    assert half.boxes.dtype == torch.float32
    assert_same_faces(half, expected, atol=0.5)
    # An overshoot, as upscalers leave it, is cut off.
    loud = torch.where(image == 1, 1.5, image)
    assert_same_faces(detect_faces(loud, detector), expected)


def test_detect_faces_leaves_images_and_gradients_alone(detector, astronaut):
    images = astronaut.clone().requires_grad_()
    faces = detect_faces(images, detector)
    assert torch.equal(images, astronaut)
    assert not faces.landmarks.requires_grad


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(1, 1, 8, 8), r"got \(1, 1, 8, 8\)\. Repeat the grey channel"),
        (torch.zeros(1, 2, 8, 8), r"got \(1, 2, 8, 8\)\. Give RGB"),
        (torch.zeros(1, 8, 8, 3), "Put the channels first"),
        (torch.zeros(3, 8, 8), r"got \(3, 8, 8\)"),
        (torch.zeros(1, 3, 0, 8), "at least one pixel"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), r"got torch\.uint8\. .*images / 255"),
    ],
)
def test_detect_faces_of_a_wrong_tensor_raises(images, message, detector):
    with pytest.raises(TensorSpecError, match=f"images: expected .*{message}"):
        detect_faces(images, detector)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("index", [0, 3, 4])
def test_detect_faces_names_the_image_that_is_not_finite(index, value, detector):
    images = torch.zeros(5, 3, 40, 40)
    images[index, 1, 39, 39] = value
    for max_batch in (1, 2, 5):
        with pytest.raises(TensorSpecError, match=rf"NaN or infinity in image {index} "):
            detect_faces(images, detector, max_batch=max_batch)


def test_detect_faces_with_a_wrong_option_raises(detector):
    images = torch.zeros(1, 3, 8, 8)
    with pytest.raises(SettingError, match="threshold: expected a score"):
        detect_faces(images, detector, threshold=1.1)
    with pytest.raises(SettingError, match="threshold: expected a score"):
        detect_faces(images, detector, threshold=float("nan"))
    with pytest.raises(SettingError, match="detection_size: expected"):
        detect_faces(images, detector, detection_size=-1)
    with pytest.raises(SettingError, match="max_batch: expected"):
        detect_faces(images, detector, max_batch=0)


def test_detect_faces_with_damaged_weights_raises(astronaut):
    detector = load_detector()
    detector.network.fpn.output1[0].weight.fill_(torch.nan)
    with pytest.raises(TensorSpecError, match="detector: expected finite scores"):
        detect_faces(astronaut, detector)


# The detector as a module


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


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_detect_faces_on_a_gpu_agrees_with_the_cpu(detector, frames):
    on_gpu = load_detector(device="cuda")
    expected = detect_faces(frames, detector)
    from_cpu = detect_faces(frames, on_gpu)
    assert from_cpu.device.type == "cpu"
    assert_same_faces(from_cpu, expected, atol=0.5)
    from_gpu = detect_faces(frames.cuda(), on_gpu)
    assert from_gpu.device.type == "cuda"
    assert_same_faces(from_gpu.to("cpu"), expected, atol=0.5)


# Loading


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


def test_defaults_are_the_documented_ones():
    parameters = inspect.signature(detect_faces).parameters
    assert parameters["detection_size"].default == 640
    assert parameters["threshold"].default == 0.8
