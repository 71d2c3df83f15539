"""Local regression over time, against a least-squares fit of each frame's surroundings."""

import pytest
import torch

from gpen_core.faces.regression import LocalRegression
from gpen_core.faces.tracking import order_by_track
from support.clips import clip, line, with_ids

SIGMA = 2.0
FRAMES = [0, 1, 2, 4, 5, 9, 10, 11, 12, 30]
IDS = [0] * 6 + [1] * 4


@pytest.fixture
def order():
    """Two tracks with gaps; the last face has no other within reach."""
    faces = clip(line(len(FRAMES), (200, 100), (5, 1)), frames=FRAMES)
    return order_by_track(with_ids(faces, IDS), 31)


@pytest.fixture
def values():
    return torch.randn(len(FRAMES), 3, dtype=torch.float64)


def weights_of(i):
    """How much each of the rows counts at row ``i``."""
    frames = torch.tensor(FRAMES, dtype=torch.float64)
    weights = torch.exp(-0.5 * ((frames - frames[i]) / SIGMA).square())
    in_reach = (frames - frames[i]).abs() <= 3 * SIGMA
    return weights * in_reach * (torch.tensor(IDS) == IDS[i]), frames - frames[i]


def test_a_fit_is_the_weighted_least_squares_line_around_each_frame(order, values):
    fitted, deviations = LocalRegression(order, SIGMA).fit(values, SIGMA)
    for i in range(len(FRAMES) - 1):
        weights, offsets = weights_of(i)
        design = torch.stack((torch.ones_like(offsets), offsets), dim=1)
        solve = torch.linalg.pinv(design * weights.sqrt()[:, None]) * weights.sqrt()
        torch.testing.assert_close(fitted[i], (solve @ values)[0])
        torch.testing.assert_close(deviations[i], solve[0].norm())


def test_a_frame_alone_stays_as_it_is(order, values):
    fitted, deviations = LocalRegression(order, SIGMA).fit(values, SIGMA)
    torch.testing.assert_close(fitted[-1], values[-1])
    assert float(deviations[-1]) == pytest.approx(1)


def test_an_average_weighs_the_frames_of_the_track_alone(order, values):
    averages = LocalRegression(order, SIGMA).average(values[:, 0], SIGMA)
    for i in range(len(FRAMES)):
        weights, _ = weights_of(i)
        torch.testing.assert_close(averages[i], (weights * values[:, 0]).sum() / weights.sum())
