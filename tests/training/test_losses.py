"""Losses with known answers."""

import pytest
import torch

from gpen_core.geometry.alignment import Template, template_landmarks
from training.losses import FEATURE_EMPHASIS, energy_loss, feature_weights, fidelity_loss

FLAT = torch.ones(1, 1, 64, 64)


def test_weights_have_a_mean_of_one_and_are_greatest_on_eyes_and_mouth():
    weights = feature_weights(256)[0, 0]
    points = template_landmarks(Template.FFHQ, 256).long()

    assert weights.mean() == pytest.approx(1)
    for x, y in points[[0, 1, 3, 4]].tolist():
        assert weights[y, x] > 0.99 * weights.max()
    assert weights.max() / weights[0, 0] == pytest.approx(1 + FEATURE_EMPHASIS, rel=0.01)


def test_equal_faces_have_no_loss():
    faces = torch.rand(2, 3, 64, 64)

    assert fidelity_loss(faces, faces, FLAT) == 0


def test_an_even_error_counts_once():
    faces = torch.zeros(2, 3, 64, 64)

    # Neither gradients nor bands see it; the pixels do.
    assert fidelity_loss(faces + 0.1, faces, FLAT) == pytest.approx(0.1)


def test_an_error_counts_more_where_the_weights_are_higher():
    faces, weights = torch.zeros(1, 3, 256, 256), feature_weights(256)
    x, y = template_landmarks(Template.FFHQ, 256)[0].long().tolist()
    on_the_eye, in_the_corner = faces.clone(), faces.clone()
    on_the_eye[..., y - 4 : y + 4, x - 4 : x + 4] = 0.1
    in_the_corner[..., 4:12, 4:12] = 0.1

    ratio = fidelity_loss(on_the_eye, faces, weights) / fidelity_loss(in_the_corner, faces, weights)

    assert ratio == pytest.approx(1 + FEATURE_EMPHASIS, rel=0.1)


def test_fine_errors_count_more_than_coarse_ones_of_the_same_size():
    faces = torch.zeros(1, 3, 64, 64)
    checks = (torch.arange(64) % 2 * 2 - 1.0) * 0.1
    halves = torch.where(torch.arange(64) < 32, -0.1, 0.1)

    fine, coarse = (fidelity_loss(faces + error, faces, FLAT) for error in (checks, halves))

    assert fine > 2 * coarse


def test_energy_is_the_same_wherever_fine_detail_lies():
    noise = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    moved = noise.roll((2, 4), dims=(2, 3))
    soft = torch.nn.functional.avg_pool2d(noise, 3, stride=1, padding=1)

    assert energy_loss(noise, noise) == 0
    assert energy_loss(moved, noise) < 0.2 * energy_loss(soft, noise)


def test_detail_of_half_the_strength_lacks_half_the_energy():
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    checks = ((rows + columns) % 2 * 2 - 1.0).expand(1, 3, -1, -1)

    assert energy_loss(0.5 * checks, checks) == pytest.approx(0.5, rel=0.01)


def test_coarse_detail_hardly_counts():
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    blocks = ((rows // 8 + columns // 8) % 2 * 2 - 1.0).expand(1, 3, -1, -1)
    smooth = torch.nn.functional.avg_pool2d(blocks, 5, stride=1, padding=2)

    assert energy_loss(0.5 * smooth, smooth) < 0.05
