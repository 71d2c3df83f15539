"""Faces found in pictures, beside what facexlib finds with the same weights."""

import inspect

import pytest
import skimage.data
import torch
from torch.nn import functional as F
from torchvision.ops import box_iou

from gpen_core.errors import (
    SettingError,
    TensorSpecError,
)
from gpen_core.faces.detection import DEFAULT_DETECTION_SIZE, detect_faces, load_detector
from gpen_core.faces.faces import Faces
from gpen_core.faces.retinaface import make_anchors
from gpen_core.monitor import Monitor
from support.faces import SAME_PX, assert_same_faces
from support.facexlib_detector import reference_of
from support.photos import to_tensor

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


def detect_by_reference(reference, image, threshold=0.8):
    """Boxes (N, 4), scores (N,) and landmarks (N, 5, 2) from facexlib."""
    bgr = (image[0, :3].flip(0).movedim(0, -1) * 255).numpy()
    with torch.no_grad():
        rows = torch.from_numpy(reference.detect_faces(bgr, conf_threshold=threshold)).float()
    return rows[:, :4], rows[:, 4], rows[:, 5:].view(-1, 5, 2)


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


def test_defaults_are_the_documented_ones():
    parameters = inspect.signature(detect_faces).parameters
    assert parameters["detection_size"].default == 640
    assert parameters["threshold"].default == 0.8
