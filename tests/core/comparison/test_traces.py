import math

import pytest
import torch

from gpen_core.comparison import flicker, seam
from gpen_core.errors import TensorSpecError
from support.geometry import noise

SIZE = 96


def ramp(slope: float) -> torch.Tensor:
    """(1, 3, SIZE, SIZE) grey, rising in x and y."""
    x = torch.arange(SIZE) * slope
    return (x + x[:, None]).expand(1, 3, SIZE, SIZE).clone()


def box(feather: int = 0) -> torch.Tensor:
    """(1, SIZE, SIZE) 1 in the middle, with a straight slope of so many pixels around it."""
    inside = 24 - (torch.arange(SIZE) - (SIZE - 1) / 2).abs()
    sides = (inside > 0).float() if feather == 0 else (inside / feather + 0.5).clamp(0, 1)
    return torch.minimum(sides, sides[:, None])[None]


def test_an_edge_that_changes_nothing_has_the_gradient_of_its_surroundings():
    for feather in (0, 6):
        # Not quite: at the corners of the box the gradient runs along the normal.
        assert seam(ramp(0.004), box(feather)) == pytest.approx(1, abs=0.03)
        assert seam(noise(SIZE)[None], box(feather)) == pytest.approx(1, abs=0.1)


def test_a_step_at_a_hard_edge_adds_to_the_gradient_there():
    half = torch.zeros(1, SIZE, SIZE)
    half[:, :, SIZE // 2 :] = 1
    pasted = ramp(0.004) + 0.02 * half
    assert seam(pasted, half) == pytest.approx(1 + 0.02 / 0.004, rel=1e-3)


def test_a_soft_edge_spreads_the_step_and_shows_less():
    seams = []
    for feather in (0, 4, 16):
        mask = box(feather)
        seams.append(seam(ramp(0.004) + 0.05 * mask, mask))
    assert seams[0] > 1.5 * seams[1] > 2 * seams[2] > 2


def test_the_seams_of_a_batch_are_pooled_and_one_mask_does_for_all():
    images = torch.cat([ramp(0.004), ramp(0.004) + 0.02 * box()])
    both = seam(images, box())
    apart = [seam(images[i : i + 1], box()) for i in (0, 1)]
    assert both == pytest.approx(sum(apart) / 2, rel=1e-5)  # beside the edge they are alike
    assert both == seam(images, box().expand(2, -1, -1))


def test_without_an_edge_or_a_gradient_there_is_no_ratio():
    image = ramp(0.004)
    assert seam(image, torch.ones(1, SIZE, SIZE)) is None
    assert seam(image, torch.zeros(1, SIZE, SIZE)) is None
    flat = torch.full_like(image, 0.5)
    assert seam(flat, box()) == 1
    assert seam(flat + 0.1 * box(), box()) == math.inf


def test_a_mask_of_another_size_says_what_to_do():
    with pytest.raises(TensorSpecError, match="pasted through"):
        seam(ramp(0.004), torch.ones(1, SIZE, SIZE + 1))


def test_flicker_is_the_deviation_in_time_and_nothing_in_space():
    assert flicker(noise(32)[None].expand(4, -1, -1, -1)) == pytest.approx(0, abs=1e-6)
    generator = torch.Generator().manual_seed(0)
    frames = noise(64)[None] + 0.02 * torch.randn(16, 3, 64, 64, generator=generator)
    assert flicker(frames) == pytest.approx(0.02, rel=0.01)
    # Two frames that differ by d deviate by d / sqrt(2).
    assert flicker(torch.stack([ramp(0.0)[0], ramp(0.0)[0] + 0.1])) == pytest.approx(
        0.1 / math.sqrt(2)
    )


def test_flicker_counts_only_the_region_and_not_alpha():
    frames = torch.zeros(2, 4, 8, 8)
    frames[1, :3, :, :4] = 0.1
    frames[1, 3] = 1
    left = torch.zeros(8, 8)
    left[:, :4] = 1
    assert flicker(frames, left) == pytest.approx(0.1 / math.sqrt(2))
    assert flicker(frames, 1 - left) == 0
    assert flicker(frames) == pytest.approx(0.1 / 2)
    assert math.isnan(flicker(frames, 0 * left))


def test_flicker_needs_two_frames():
    with pytest.raises(TensorSpecError, match="whole clip"):
        flicker(torch.zeros(1, 3, 8, 8))
    with pytest.raises(TensorSpecError, match="region"):
        flicker(torch.zeros(2, 3, 8, 8), torch.zeros(4, 4))
