"""Single points that are wrong, found among those that only move."""

import pytest
import torch

from gpen_core.faces.outliers import replace_outliers
from gpen_core.faces.tracking import order_by_track
from support.clips import clip, line, n_images, noisy, with_ids


def replaced(faces, sigma=1.0):
    """The landmarks afterwards, with noise of ``sigma`` pixels assumed."""
    order = order_by_track(with_ids(faces), n_images(faces))
    noise = torch.full((len(faces),), sigma, dtype=torch.float64)
    return replace_outliers(faces.landmarks.double(), order, noise)


@pytest.mark.parametrize("at", [0, 5, 19])
def test_a_point_that_is_wrong_once_is_put_onto_the_line_of_the_others(at):
    truth = clip(line(20, (200, 100), (5, 1)))
    wrong = clip(line(20, (200, 100), (5, 1)))
    wrong.landmarks[at, 2] += 40
    torch.testing.assert_close(replaced(wrong), truth.landmarks.double(), rtol=0, atol=1e-3)


def test_two_mistakes_near_each_other_are_both_found():
    truth = clip(line(20, (200, 100), (5, 1)))
    wrong = clip(line(20, (200, 100), (5, 1)))
    wrong.landmarks[9, 2] += 60
    wrong.landmarks[11, 2] += 40
    torch.testing.assert_close(replaced(wrong), truth.landmarks.double(), rtol=0, atol=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_noise_alone_is_left_as_it_is(seed):
    faces = noisy(clip(line(40, (200, 100), (5, 1))), seed)
    assert torch.equal(replaced(faces), faces.landmarks.double())


def test_a_face_that_steps_aside_and_stays_there_is_left_as_it_is():
    path = torch.cat((line(10, (200, 100), (0, 0)), line(10, (260, 100), (0, 0))))
    faces = clip(path)
    assert torch.equal(replaced(faces), faces.landmarks.double())


@pytest.mark.parametrize("n_moving", [3, 4, 5])
def test_a_face_that_starts_at_the_end_of_its_track_is_left_as_it_is(n_moving):
    still = line(20 - n_moving, (200, 100), (0, 0))
    faces = clip(torch.cat((still, line(n_moving, (230, 100), (30, 0)))))
    assert torch.equal(replaced(faces, sigma=0.1), faces.landmarks.double())


def test_a_track_too_short_to_judge_is_left_as_it_is():
    faces = clip(line(6, (200, 100), (5, 1)))
    faces.landmarks[3, 2] += 40
    assert torch.equal(replaced(faces), faces.landmarks.double())
