"""Tilted faces seen again upright."""

import math
from dataclasses import replace

import pytest
import torch

from gpen_core.faces.detection import detect_faces
from gpen_core.faces.straightening import are_upright, straighten_faces
from gpen_core.monitor import Monitor
from support.clips import clip


@pytest.fixture(scope="module")
def upright(detector, astronaut):
    return detect_faces(astronaut, detector)


def on_its_side(faces):
    """Where the faces are when a picture of 512 pixels is turned by a quarter, anticlockwise."""
    landmarks = torch.stack((faces.landmarks[..., 1], 512 - faces.landmarks[..., 0]), dim=-1)
    x0, y0, x1, y1 = faces.boxes.unbind(1)
    return replace(faces, landmarks=landmarks, boxes=torch.stack((y0, 512 - x1, y1, 512 - x0), 1))


def straighten(images, faces, detector, **options):
    return straighten_faces(
        images, faces, detector, **{"threshold": 0.8, "max_batch": 8, **options}
    )


def test_a_face_on_its_side_is_seen_where_it_is_whatever_its_landmarks_were(
    detector, astronaut, upright
):
    truth = on_its_side(upright)
    center = truth.boxes.view(2, 2).mean(0)
    upside_down = center - (truth.landmarks - center)
    wrong = replace(truth, landmarks=upside_down)
    (found,) = straighten(astronaut.rot90(1, (2, 3)), wrong, detector)
    size = float((upright.boxes[0, 2:] - upright.boxes[0, :2]).norm())
    assert (found.landmarks - truth.landmarks).norm(dim=-1).max() < 0.03 * size
    torch.testing.assert_close(found.boxes, truth.boxes, rtol=0, atol=0.06 * size)
    assert found.scores[0] > 0.98


def test_a_place_without_a_face_gives_none_and_the_others_keep_their_order(
    detector, astronaut, upright
):
    images = torch.cat((torch.full_like(astronaut, 0.5), astronaut))
    there = replace(upright, image_index=torch.tensor([1]))
    empty, found = straighten(images, type(there).concatenate([upright, there]), detector)
    assert empty is None
    torch.testing.assert_close(found.landmarks, upright.landmarks, rtol=0, atol=4)
    assert found.image_index.tolist() == [1]


def test_a_face_less_sure_than_the_threshold_is_none(detector, astronaut, upright):
    assert straighten(astronaut, upright, detector, threshold=1.0) == [None]


def test_no_faces_need_no_look(detector, astronaut, upright):
    asked = []
    monitor = Monitor(check_interrupt=lambda: asked.append(1))
    assert straighten(astronaut, upright.select([]), detector, monitor=monitor) == []
    assert asked == []
    straighten(astronaut, upright, detector, monitor=monitor)
    assert len(asked) >= 3  # once before each call of the network


@pytest.mark.parametrize(
    ("degrees", "score", "expected"),
    [(0, 0.99, True), (7, 0.99, True), (-9, 0.99, False), (180, 0.99, False), (0, 0.97, False)],
)
def test_only_level_faces_that_are_sure_need_no_second_look(degrees, score, expected):
    assert are_upright(clip([[300, 300]], degrees=degrees, score=score)).tolist() == [expected]


def test_a_face_seen_from_the_side_needs_a_second_look():
    face = clip([[300, 300]], score=0.99)
    middle = face.landmarks.mean(dim=1, keepdim=True)
    face.landmarks[..., :1] = (face.landmarks - middle)[..., :1] * math.cos(1.2) + middle[..., :1]
    assert are_upright(face).tolist() == [False]
