"""Which of Solvay's 29 faces were swapped, after everything that happens to pictures."""

import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import gpen_core
from gpen_core.swaps.changes import find_changes
from support.geometric_swap import swap_face
from support.photos import to_tensor

SWAPPED = [0, 7, 12]
SOURCES = [3, 20]


@pytest.fixture(scope="module")
def photo(solvay):
    """(H, W, 3) uint8."""
    return np.ascontiguousarray((solvay[0] * 255).round().byte().movedim(0, -1).numpy())


@pytest.fixture(scope="module", params=SOURCES)
def swapped(request, photo, sitters):
    landmarks = sitters.landmarks.numpy() - 0.5
    picture = photo
    for i in SWAPPED:
        picture = swap_face(picture, landmarks[i], photo, landmarks[request.param])
    return np.clip(picture, 0, 255).astype(np.uint8)  # truncated, as ReActor does


def jpeg(picture, quality):
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=quality)
    return np.array(Image.open(stream))


def resize(picture, factor):
    size = (round(picture.shape[1] * factor), round(picture.shape[0] * factor))
    return np.array(Image.fromarray(picture).resize(size, Image.LANCZOS))


def brighten(picture, levels):
    return np.clip(picture.astype(int) + levels, 0, 255).astype(np.uint8)


DEGRADATIONS = {
    "none": lambda p: p,
    "jpeg 75": lambda p: jpeg(p, 75),
    "jpeg 20": lambda p: jpeg(p, 20),
    "half": lambda p: resize(p, 0.5),
    "a third": lambda p: resize(p, 0.3),
    "double": lambda p: resize(p, 2),
    "half and jpeg 75": lambda p: jpeg(resize(p, 0.5), 75),
    "half and back": lambda p: resize(resize(p, 0.5), 2),
    "brighter": lambda p: brighten(p, 10),
}


@pytest.mark.parametrize("degradation", DEGRADATIONS)
def test_exactly_the_swapped_faces_are_found(photo, swapped, sitters, degradation):
    after = to_tensor(DEGRADATIONS[degradation](swapped))
    factor = after.shape[-1] / photo.shape[1]
    before = F.interpolate(to_tensor(photo), after.shape[2:], mode="bicubic", antialias=True)
    changes = find_changes(before[0].clamp(0, 1), after[0], scaled(sitters, factor))
    assert changes.is_swapped.nonzero().flatten().tolist() == SWAPPED
    others = torch.ones(29, dtype=torch.bool)
    others[SWAPPED] = False
    assert changes.maps[others].mean(dim=(1, 2)).max() < 0.1


def scaled(faces, factor):
    return gpen_core.Faces(
        faces.image_index, faces.boxes * factor, faces.landmarks * factor, faces.scores
    )


def test_a_swap_of_nobody_changes_nobody(solvay, sitters):
    image = solvay[0]
    changes = find_changes(image, image, sitters)
    assert not changes.is_swapped.any()
    assert not changes.maps.any()
    truncated = find_changes(image, (image - 1 / 255).clamp(0, 1), sitters)
    assert not truncated.is_swapped.any()


def test_a_swapped_face_among_those_not_asked_for_is_not_noise(solvay, swapped, sitters):
    first = sitters.select(SWAPPED[:1])
    assert find_changes(solvay[0], to_tensor(swapped)[0], first).is_swapped.all()


def test_the_map_covers_what_was_swapped_and_little_else(solvay, swapped, sitters):
    chosen = sitters.select(SWAPPED)
    before, after = solvay[0], to_tensor(swapped)[0]
    maps = find_changes(before, after, chosen).maps
    difference = (after - before).abs().amax(dim=0)
    plan_size = maps.shape[-1]
    crops = gpen_core.crop_faces(difference.expand(1, 3, -1, -1), chosen, plan_size)[:, 0]
    # ReActor's square of 96 / 128.
    assert (crops[maps == 0] < 0.1).float().mean() > 0.99
    assert (crops[maps == 1] > 0.01).float().mean() > 0.8
    assert 0.2 < maps.mean() < 0.7


def test_no_faces_have_no_changes():
    image = torch.rand(3, 32, 32)
    changes = find_changes(image, image, gpen_core.Faces.empty())
    assert len(changes.is_swapped) == len(changes.strength) == len(changes.maps) == 0


def test_a_face_that_fills_the_picture_is_judged_without_a_background(photo, sitters):
    x0, y0, x1, y1 = sitters.boxes[7].round().int().tolist()
    close_up = np.ascontiguousarray(resize(photo[y0:y1, x0:x1], 8))
    origin = torch.tensor([x0, y0], dtype=torch.float32)
    face = gpen_core.Faces(
        torch.zeros(1, dtype=torch.int64),
        (sitters.boxes[7:8] - origin.repeat(2)) * 8,
        (sitters.landmarks[7:8] - origin) * 8,
        torch.ones(1),
    )
    landmarks = face.landmarks[0].numpy() - 0.5
    other = swap_face(close_up, landmarks, photo, sitters.landmarks[20].numpy() - 0.5)
    before = to_tensor(close_up)[0]
    assert find_changes(before, to_tensor(other.astype(np.uint8))[0], face).is_swapped.all()
    assert not find_changes(before, to_tensor(jpeg(close_up, 30))[0], face).is_swapped.any()
