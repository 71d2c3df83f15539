"""The way to the coordinates that are smoothed, and back."""

import math

import pytest
import torch

from gpen_core.faces.coordinates import Pixels, Pose
from gpen_core.faces.tracking import order_by_track
from support.clips import clip, line, n_images, noisy, with_ids


def order_of(faces):
    return order_by_track(faces, n_images(faces))


@pytest.mark.parametrize("coordinates", [Pixels, Pose])
def test_points_come_back_from_their_coordinates(coordinates):
    faces = with_ids(noisy(clip(line(20, (200, 100), (5, 1)), degrees=torch.arange(20) * 40)))
    points = faces.landmarks.double()
    values = coordinates.of_points(points, order_of(faces))
    torch.testing.assert_close(coordinates.to_points(values), points, rtol=0, atol=1e-9)


def test_a_face_that_turns_and_grows_steadily_has_a_pose_on_straight_lines():
    steps = torch.arange(30, dtype=torch.float64)
    faces = with_ids(clip(line(30, (200, 100), (5, 1)), zoom=1.02**steps, degrees=17 * steps))
    values = Pose.of_points(faces.landmarks.double(), order_of(faces))
    torch.testing.assert_close(
        torch.diff(values, n=2, dim=0), torch.zeros(28, 14).double(), rtol=0, atol=1e-4
    )
    speed = torch.diff(values[:, 2:4], dim=0).mean(dim=0)
    assert speed.tolist() == pytest.approx([math.log(1.02), math.radians(17)], abs=1e-6)


def test_angles_of_one_track_know_nothing_of_the_turns_of_another():
    turning = clip(line(20, (200, 100), (1, 0)), degrees=torch.arange(20) * 30)
    still = clip(line(20, (500, 100), (1, 0)))
    both = with_ids(type(still).concatenate([turning, still]), [0] * 20 + [1] * 20)
    order = order_of(both)
    angles = Pose.of_points(both.landmarks.double()[order.rows], order)[:, 3]
    torch.testing.assert_close(angles[20:], torch.zeros(20).double(), rtol=0, atol=1e-6)
