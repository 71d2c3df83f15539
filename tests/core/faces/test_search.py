import inspect
import math
from dataclasses import replace

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from torch.nn import functional as F
from torchvision.ops import box_iou

from gpen_core.errors import SettingError, TensorSpecError
from gpen_core.faces.detection import detect_faces
from gpen_core.faces.faces import Faces
from gpen_core.faces.search import copy_to_image, join_scales, search_faces
from gpen_core.faces.settings import Rotations, Scales, SearchSettings
from gpen_core.monitor import SILENT, Monitor
from support.photos import to_tensor

PLAIN = SearchSettings(scales=Scales.STANDARD, rotations=Rotations.OFF)
EVERYTHING = {"scales": "all", "rotations": "always"}
# Of the diagonal of the upright face's box: how far a landmark may be from where the turn takes it.
MAX_ERROR = 0.03


def search(images, detector, *, max_batch=8, monitor=SILENT, **changes):
    """Search plainly but for what is changed."""
    settings = replace(PLAIN, **changes)
    return search_faces(images, detector, settings, max_batch=max_batch, monitor=monitor)


def resize(images, **kwargs):
    return F.interpolate(images, mode="bicubic", antialias=True, **kwargs).clamp(0, 1)


def turn(image, degrees):
    """The picture turned anticlockwise about its centre on a canvas that holds all of it.

    Returns it with the (2, 3) matrix from the picture to the canvas.
    """
    height, width = image.shape[-2:]
    size = math.ceil(math.hypot(height, width)) + 1
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    to_picture = np.array([[cos, -sin], [sin, cos]])
    shift = np.array([width / 2, height / 2]) - to_picture @ [size / 2, size / 2]
    pixels = (image[0].movedim(0, -1).numpy() * 255).round().astype(np.uint8)
    turned = Image.fromarray(pixels).transform(
        (size, size),
        Image.Transform.AFFINE,
        np.column_stack([to_picture, shift]).ravel().tolist(),
        Image.Resampling.BICUBIC,
    )
    to_canvas = np.column_stack([to_picture.T, -to_picture.T @ shift])
    return to_tensor(np.array(turned)), torch.from_numpy(to_canvas).float()


def map_points(points, matrix):
    return points @ matrix[:, :2].T + matrix[:, 2]


def assert_identical(found: Faces, expected: Faces):
    for name in ("image_index", "boxes", "landmarks", "scores"):
        assert torch.equal(getattr(found, name), getattr(expected, name)), name


@pytest.fixture(scope="module")
def upright(detector, astronaut):
    return detect_faces(astronaut, detector)


# Tilted faces


@pytest.mark.parametrize("degrees", range(0, 360, 15))
def test_search_faces_finds_a_tilted_face_exactly(degrees, detector, astronaut, upright):
    image, to_canvas = turn(astronaut, degrees)
    truth = map_points(upright.landmarks[0], to_canvas)
    width, height = (upright.boxes[0, 2:] - upright.boxes[0, :2]).tolist()
    options = list(Rotations)[1:] if degrees % 45 == 0 else [Rotations.WHEN_NONE]
    for rotations in options:
        faces = search(image, detector, rotations=rotations)
        assert len(faces) == 1
        errors = (faces.landmarks[0] - truth).norm(dim=-1) / math.hypot(width, height)
        assert errors.max() < MAX_ERROR
        assert faces.scores[0] > 0.98
        # The oval in the upright box, turned.
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        extent = [math.hypot(width * cos, height * sin), math.hypot(width * sin, height * cos)]
        found = (faces.boxes[0, 2:] - faces.boxes[0, :2]).tolist()
        assert found == pytest.approx(extent, rel=0.08)
        center = map_points(upright.boxes.view(2, 2).mean(0), to_canvas)
        assert (faces.boxes.view(2, 2).mean(0) - center).norm() < 0.05 * height


def test_search_faces_when_none_is_found_turns_only_what_is_needed(detector, astronaut, upright):
    image, _ = turn(astronaut, 180)
    assert len(detect_faces(image, detector)) == 0
    both = torch.cat([resize(astronaut, size=image.shape[-2:]), image])
    calls = network_calls(detector, both, rotations="when none is found")
    # Standard copies of both, three turned copies of one, and views of 192 and 320 pixels.
    assert sum(count for count, *size in calls if max(size) > 320) == 2 + 3


def test_search_faces_finds_upside_down_groups_only_when_always(detector, solvay, sitters):
    image = torch.rot90(solvay, 2, (-2, -1))
    size = torch.tensor([solvay.shape[-1], solvay.shape[-2]])
    assert len(search(image, detector, rotations="when none is found")) < 29
    faces = search(image, detector, rotations="always")
    assert len(faces) == 29
    truth = size - sitters.landmarks
    distance = (faces.landmarks[:, None] - truth).norm(dim=-1).amax(-1)
    nearest = distance.argmin(1)
    assert sorted(nearest.tolist()) == list(range(29))
    # Profiles are uncertain upright as well.
    sides = (sitters.boxes[:, 2:] - sitters.boxes[:, :2]).norm(dim=1)
    errors = distance.amin(1) / sides[nearest]
    assert errors.max() < 0.15
    assert errors.median() < 0.05


def test_search_faces_finds_a_tilted_face_beside_an_upright_one(detector, astronaut, upright):
    image = torch.zeros(1, 3, 512, 768)
    image[..., :512] = astronaut
    image[..., 256:, 512:] = torch.rot90(resize(astronaut, size=(256, 256)), 2, (-2, -1))
    assert len(search(image, detector, rotations="when none is found")) == 1
    faces = search(image, detector, rotations="always")
    first, second = faces.select(faces.boxes[:, 0].argsort()).landmarks
    torch.testing.assert_close(first, upright.landmarks[0], atol=2, rtol=0)
    mirrored = (torch.tensor([768.0, 512.0]) - second) * 2
    torch.testing.assert_close(mirrored, first, atol=5, rtol=0)


@pytest.mark.parametrize("quarter", range(4))
def test_copies_are_mapped_back_to_the_image(quarter):
    """Pixel centres, through a picture whose colours are its coordinates."""
    y, x = torch.meshgrid(torch.arange(6) + 0.5, torch.arange(10) + 0.5, indexing="ij")
    turned = torch.rot90(torch.stack([x, y], dim=-1), quarter, (0, 1))
    back = copy_to_image((6, 10), (12, 30), quarter)
    for row in range(turned.shape[0]):
        for column in range(turned.shape[1]):
            point = map_points(torch.tensor([column + 0.5, row + 0.5]), back)
            torch.testing.assert_close(point, turned[row, column] * torch.tensor([3.0, 2.0]))


# Small and large faces


def test_search_faces_with_everything_on_finds_the_29_of_solvay(detector, solvay, sitters):
    faces = search(solvay, detector, **EVERYTHING)
    overlaps = box_iou(faces.boxes, sitters.boxes) > 0.5
    assert overlaps.sum(0).tolist() == [1] * 29
    assert overlaps.sum(1).tolist() == [1] * 29
    # All but the few that are tilted are what the plain detection finds.
    same = (faces.landmarks[:, None] == sitters.landmarks).all(-1).all(-1)
    assert same.sum() >= 25


@pytest.mark.parametrize(
    ("scale", "plain", "with_small"), [(0.5, range(10, 20), 29), (0.35, range(1), 28)]
)
def test_search_faces_finds_small_faces(scale, plain, with_small, detector, solvay, sitters):
    image = resize(solvay, scale_factor=scale)
    assert len(search(image, detector)) in plain
    faces = search(image, detector, scales="also small")
    assert len(faces) >= with_small
    true = sitters.boxes * (image.shape[-1] / solvay.shape[-1])
    assert (box_iou(faces.boxes, true) > 0.4).sum(1).tolist() == [1] * len(faces)


def test_search_faces_finds_one_face_that_fills_12_megapixels(detector, astronaut):
    """Cut so close that the standard copy shows only a part of it as a face."""
    image = resize(astronaut[..., 70:163, 178:272], size=(3960, 3000))
    faces = search(image, detector, scales="also large")
    assert len(faces) == 1
    by_eye = torch.tensor([[202.0, 101], [249, 103], [227, 131], [203, 140], [247, 141]])
    scale = torch.tensor([3000 / 94, 3960 / 93])
    truth = (by_eye - torch.tensor([178.0, 70])) * scale
    torch.testing.assert_close(faces.landmarks[0], truth, atol=300, rtol=0)
    plain = search(image, detector)
    assert len(plain) != 1 or (plain.landmarks[0] - truth).abs().max() > 300


def test_search_faces_drops_parts_of_a_face_that_fills_the_picture(detector, astronaut):
    image = resize(astronaut[..., 58:168, 170:280], size=(1024, 1024))
    assert len(search(image, detector, detection_size=1024)) > 1
    assert len(search(image, detector, detection_size=1024, scales="also large")) == 1


def test_join_scales_believes_the_small_copy_where_a_face_fills_the_picture():
    whole, eye, beside = [0.0, 0, 900, 900], [100.0, 100, 300, 300], [900.0, 700, 990, 800]

    def faces(*boxes, image=0):
        count = len(boxes)
        index = torch.full((count,), image)
        return Faces(index, torch.tensor(boxes), torch.zeros(count, 5, 2), torch.ones(count))

    size = (1000, 1000)
    joined = join_scales(faces(eye, beside), {0.5: faces(whole)}, size)
    assert joined.boxes.tolist() == [whole, beside]
    assert len(join_scales(faces(eye, beside), {0.5: faces(whole, image=1)}, size)) == 3
    assert (
        len(join_scales(faces([50.0, 50, 200, 200]), {0.5: faces([0.0, 0, 500, 500])}, size)) == 2
    )


# What is no face, and which is one and the same


@pytest.mark.parametrize(
    "name",
    ["coffee", "chelsea", "text", "brick", "gravel", "grass", "page", "coins", "rocket", "horse"],
)
def test_search_faces_with_everything_on_finds_none_where_none_is(name, detector):
    array = getattr(skimage.data, name)()
    array = array * np.uint8(255) if array.dtype == bool else array
    assert len(search(to_tensor(array), detector, **EVERYTHING)) == 0


def test_search_faces_leaves_out_a_turned_candidate_that_is_not_confirmed(
    detector, astronaut, monkeypatch
):
    monkeypatch.setattr(
        "gpen_core.faces.search.straighten_faces",
        lambda _, faces, *args, **kw: [None] * len(faces),
    )
    # Found lying on its side, but upside down only in a turned copy.
    for degrees, count in ((90, 1), (180, 0)):
        image, _ = turn(astronaut, degrees)
        assert len(search(image, detector, rotations="always")) == count


def test_search_faces_gives_a_face_of_many_copies_once(detector, astronaut, upright):
    """It is found in the standard, the enlarged, the reduced and the turned copies."""
    for quarter in (1, 3):
        turned = torch.rot90(astronaut, quarter, (-2, -1))
        assert len(detect_faces(turned, detector, threshold=0.9)) == 1
    assert len(detect_faces(astronaut, detector, detection_size=256)) == 1
    assert_identical(search(astronaut, detector, **EVERYTHING), upright)


def test_search_faces_keeps_neighbours_apart(detector, astronaut):
    """Cheek to cheek: the boxes touch."""
    face = astronaut[..., 45:190, 177:273]
    image = torch.full((1, 3, 400, 500), 0.5)
    image[..., 100:245, 100:196] = face
    image[..., 110:255, 196:292] = face
    faces = search(image, detector, **EVERYTHING)
    assert len(faces) == 2


# Batches, options and reports


@pytest.fixture(scope="module")
def frames(astronaut):
    small = resize(astronaut, size=(256, 256))
    return torch.cat(
        [small, torch.rot90(small, 2, (-2, -1)), torch.zeros_like(small), small.mT, small.flip(-1)]
    )


@pytest.mark.parametrize("max_batch", [1, 3])
def test_search_faces_of_a_batch_equals_single_runs(max_batch, detector, frames):
    faces = search(frames, detector, max_batch=max_batch, **EVERYTHING)
    assert faces.image_index.tolist() == [0, 1, 3, 4]
    for index, frame in enumerate(frames):
        single = search(frame[None], detector, **EVERYTHING)
        found = faces.of_image(index)
        torch.testing.assert_close(found.boxes, single.boxes, atol=0.02, rtol=0)
        torch.testing.assert_close(found.landmarks, single.landmarks, atol=0.02, rtol=0)
        torch.testing.assert_close(found.scores, single.scores, atol=1e-4, rtol=0)


def test_search_faces_with_options_off_is_detect_faces(detector, solvay, sitters, frames):
    assert_identical(search(solvay, detector), sitters)
    options = {"detection_size": 200, "threshold": 0.5, "max_batch": 2}
    assert_identical(search(frames, detector, **options), detect_faces(frames, detector, **options))


def test_search_faces_orders_by_image_and_score(detector, solvay):
    group = resize(solvay, scale_factor=0.5)
    faces = search(torch.cat([group, group]), detector, scales="also small")
    assert faces.image_index.tolist() == [0] * 29 + [1] * 29
    assert faces.scores[:29].tolist() == sorted(faces.scores[:29].tolist(), reverse=True)


def test_search_faces_leaves_out_smaller_than_min_size(detector, solvay, sitters):
    sides = (sitters.boxes[:, 2:] - sitters.boxes[:, :2]).amax(1)
    limit = sides.sort().values[10].item()
    faces = search(solvay, detector, min_face_size=limit)
    assert_identical(faces, sitters.select(sides >= limit))
    assert len(faces) == 19


def test_search_faces_ignores_alpha_and_takes_half_precision(detector, frames):
    expected = search(frames[1:2], detector, **EVERYTHING)
    alpha = torch.full((1, 1, 256, 256), torch.nan)
    found = search(torch.cat([frames[1:2], alpha], 1), detector, **EVERYTHING)
    assert_identical(found, expected)
    found = search(frames[1:2].half(), detector, **EVERYTHING)
    assert found.boxes.dtype == torch.float32
    torch.testing.assert_close(found.landmarks, expected.landmarks, atol=0.5, rtol=0)


def test_search_faces_of_no_images_is_empty(detector):
    done = []
    images = torch.zeros(0, 3, 64, 64)
    monitor = Monitor(on_progress=lambda *n: done.append(n))
    faces = search(images, detector, monitor=monitor, **EVERYTHING)
    assert len(faces) == 0
    assert done == []


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (9, 5)])
def test_search_faces_of_tiny_images_finds_none(size, detector):
    assert len(search(torch.rand(2, 3, *size), detector, **EVERYTHING)) == 0


def network_calls(detector, images, **options):
    sizes = []
    handle = detector.register_forward_pre_hook(lambda _, args: sizes.append(args[0].shape))
    search(images, detector, **options)
    handle.remove()
    return [(size[0], *size[2:]) for size in sizes]


def test_search_faces_bounds_the_copies(detector):
    calls = network_calls(detector, torch.zeros(1, 3, 300, 400), detection_size=150, **EVERYTHING)
    assert sorted({(*size,) for _, *size in calls}) == [
        (75, 100),
        (150, 200),
        (200, 150),
        (300, 400),
    ]


def test_search_faces_bounds_the_enlarged_copy(detector, monkeypatch):
    monkeypatch.setattr("gpen_core.faces.search._MAX_COPY_PIXELS", 90 * 160)
    images = torch.zeros(1, 3, 180, 320)
    calls = network_calls(detector, images, detection_size=0, scales="also small")
    assert calls[1] == (1, 90, 160)


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({}, 1),
        ({"scales": "also large"}, 2),
        ({"rotations": "when none is found"}, 5),
        (EVERYTHING, 7),
    ],
)
def test_search_faces_reports_progress_over_all_copies(options, steps, detector, frames):
    for images in (frames, torch.zeros(5, 3, 40, 40)):
        done = []
        search(
            images,
            detector,
            max_batch=2,
            monitor=Monitor(on_progress=lambda *n, done=done: done.append(n)),
            **options,
        )
        counts = [count for count, _ in done]
        assert {total for _, total in done} == {5 * steps}
        assert counts == sorted(set(counts))
        assert counts[-1] == 5 * steps


def test_search_faces_asks_for_interruption_before_each_call(detector, frames):
    class InterruptedByUserError(Exception):
        pass

    asked = []
    monitor = Monitor(check_interrupt=lambda: asked.append(1))
    calls = network_calls(detector, frames, max_batch=2, monitor=monitor, **EVERYTHING)
    assert len(asked) == len(calls)

    def interrupt():
        asked.append(1)
        if len(asked) == 3:
            raise InterruptedByUserError

    asked.clear()
    with pytest.raises(InterruptedByUserError):
        search(frames, detector, monitor=Monitor(check_interrupt=interrupt), **EVERYTHING)


def test_search_faces_with_a_wrong_option_raises(detector):
    images = torch.zeros(1, 3, 8, 8)
    with pytest.raises(SettingError, match=r"scales: expected one of 'standard', .*got 'huge'\."):
        search(images, detector, scales="huge")
    with pytest.raises(SettingError, match=r"rotations: expected one of 'off', .*got 'all'\."):
        search(images, detector, rotations="all")
    for value in (-1, math.nan, math.inf):
        with pytest.raises(SettingError, match="min_face_size: expected"):
            search(images, detector, min_face_size=value)
    for wrong in (torch.zeros(3, 8, 8), torch.zeros(()), torch.zeros(1, 3, 8, 8).byte()):
        with pytest.raises(TensorSpecError, match="images: expected"):
            search(wrong, detector, **EVERYTHING)


def test_defaults_search_like_detect_faces():
    plain = inspect.signature(detect_faces).parameters
    assert inspect.signature(search_faces).parameters["max_batch"].default == (
        plain["max_batch"].default
    )
    for name in ("detection_size", "threshold"):
        assert getattr(SearchSettings(), name) == plain[name].default
