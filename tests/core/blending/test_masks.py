import math

import pytest
import torch

from gpen_core.blending.masks import box_mask, ellipse_mask, intersect, soften
from gpen_core.errors import SettingError, TensorSpecError

# What float32 leaves of sums of a hundred weights.
ROUNDING = 1e-6


def grid(n: int = 200) -> torch.Tensor:
    steps = (torch.arange(n) + 0.5) / n
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack((x, y), -1)


def test_box_mask_is_one_inside_zero_outside_and_soft_between():
    points = torch.tensor([[0.5, 0.5], [0.01, 0.5], [0.5, 0.99], [-1.0, 0.5], [0.1, 0.5]])
    mask = box_mask(points, padding=0.05, feather=0.1)
    assert mask[:4].tolist() == [1, 0, 0, 0]
    assert mask[4].item() == pytest.approx(0.5)  # in the middle of the ramp


def test_box_mask_without_feather_has_a_hard_edge():
    assert set(box_mask(grid(), 0.1, 0).unique().tolist()) == {0.0, 1.0}


def test_box_mask_without_padding_covers_the_crop():
    assert bool((box_mask(grid(), 0, 0) == 1).all())


@pytest.mark.parametrize("feather", [0.05, 0.3, 0.5])
def test_box_mask_is_symmetric_and_falls_towards_the_edge(feather):
    mask = box_mask(grid(), 0.02, feather)
    torch.testing.assert_close(mask, mask.flip(0))
    torch.testing.assert_close(mask, mask.T)
    along_the_middle = mask[100, :100]
    assert bool((along_the_middle.diff() >= 0).all())
    assert along_the_middle.diff().max() <= 1.6 / (feather * 200)  # no step anywhere


def test_box_mask_of_full_padding_is_empty():
    assert not box_mask(grid(), 0.5, 0.1).any()


def smoothstep(position):
    position = torch.as_tensor(position, dtype=torch.float32).clamp(0, 1)
    return 3 * position**2 - 2 * position**3


def test_box_mask_takes_left_top_right_bottom():
    rows = torch.nonzero(box_mask(grid(100), (0.1, 0.2, 0.3, 0.4), 0))
    assert rows.min(0).values.tolist() == [20, 10]  # y, x
    assert rows.max(0).values.tolist() == [59, 69]
    assert len(rows) == 40 * 60


def test_box_mask_has_the_same_ramp_on_every_side():
    mask = box_mask(grid(1000), (0.1, 0.2, 0.3, 0.4), 0.1)
    expected = smoothstep((torch.arange(100) + 0.5) / 100)
    for ramp in (
        mask[400, 100:200],
        mask[200:300, 400],
        mask[400, 600:700].flip(0),
        mask[500:600, 400].flip(0),
    ):
        torch.testing.assert_close(ramp, expected, atol=1e-4, rtol=0)


def test_box_mask_rounds_its_corners():
    mask = box_mask(grid(400), 0.1, 0.2)
    assert mask[40 + 40, 200] == pytest.approx(0.5, abs=0.02)  # in the middle of a side's ramp
    assert 0.15 < mask[40 + 40, 40 + 40] < 0.35  # the same distance from two sides
    level = mask >= 0.5
    square = level.any(0).sum() * level.any(1).sum()
    assert 0.90 < level.sum() / square < 0.99


@pytest.mark.parametrize("mask_of", [box_mask, ellipse_mask])
@pytest.mark.parametrize("feather", [0.3, 0.5, 3.0])
def test_masks_with_a_wide_feather_are_one_in_the_middle_without_a_crease(mask_of, feather):
    mask = mask_of(grid(201), (0.1, 0.3, 0.2, 0.1), feather)
    assert mask.max() == pytest.approx(1, abs=1e-3)
    steps = mask.diff(dim=1).diff(dim=1)[60:-40].abs()
    # A crease is a jump of the slope, here of up to 4; a smooth ramp bends far less a pixel.
    assert steps.max() * 201 < 1.2


@pytest.mark.parametrize("mask_of", [box_mask, ellipse_mask])
@pytest.mark.parametrize("feather", [0, 0.1])
def test_masks_of_full_padding_are_empty_and_never_reach_outside(mask_of, feather):
    for padding in (0.5, 0.7, (0.6, 0, 0.5, 0), (0, 0, 0, 1)):
        assert not mask_of(grid(50), padding, feather).any()
    outside = grid(50) * 3 - 1
    outside = outside[((outside < 0) | (outside > 1)).any(-1)]
    assert not mask_of(outside, 0, feather).any()


@pytest.mark.parametrize("mask_of", [box_mask, ellipse_mask])
def test_masks_keep_dtype_and_shape(mask_of):
    points = grid(10).double()
    assert mask_of(points, 0.1, 0.2).dtype == torch.float64
    assert mask_of(points, 0.1, 0).dtype == torch.float64
    assert mask_of(points, 0.6, 0).dtype == torch.float64
    assert mask_of(points[0, 0], 0.1, 0.2).shape == ()


@pytest.mark.parametrize("mask_of", [box_mask, ellipse_mask])
@pytest.mark.parametrize("value", [-0.1, math.nan])
def test_masks_with_a_wrong_option_raise(mask_of, value):
    with pytest.raises(SettingError, match=r"padding: expected a fraction .* at least 0, got"):
        mask_of(grid(4), value, 0.1)
    with pytest.raises(SettingError, match=r"padding: expected a fraction .* at least 0, got"):
        mask_of(grid(4), (0.1, 0.1, value, 0.1), 0.1)
    with pytest.raises(SettingError, match=r"feather: expected a fraction .* at least 0, got"):
        mask_of(grid(4), 0.1, value)


# Ellipses


def test_ellipse_mask_of_a_circle_ramps_by_distance():
    points = grid(201)
    mask = ellipse_mask(points, (0.1, 0.2, 0.3, 0.2), 0.15)  # centre (0.4, 0.5), radius 0.3
    distance = 0.3 - torch.hypot(points[..., 0] - 0.4, points[..., 1] - 0.5)
    torch.testing.assert_close(mask, smoothstep(distance / 0.15), atol=1e-5, rtol=0)


def test_ellipse_mask_at_the_centre_is_one():
    assert ellipse_mask(torch.tensor([0.5, 0.5]), 0, 0.5) == 1
    assert ellipse_mask(torch.tensor([0.5, 0.5]), (0.1, 0.4, 0.1, 0.4), 0.2) == 1


def test_ellipse_mask_without_feather_fills_the_box():
    points = grid(400)
    mask = ellipse_mask(points, (0.1, 0.2, 0.3, 0.1), 0)
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    rows = torch.nonzero(mask)
    assert rows.min(0).values.tolist() == [80, 40]
    assert rows.max(0).values.tolist() == [359, 279]
    assert mask.sum().item() / 400**2 == pytest.approx(math.pi * 0.3 * 0.35, rel=1e-3)


def test_ellipse_mask_ramps_by_distance_approximately():
    """Against the distance to a dense polygon, on an ellipse of 3 : 2."""
    points = grid(80)
    angles = torch.linspace(0, 2 * math.pi, 2000)
    outline = torch.stack((0.5 + 0.45 * angles.cos(), 0.5 + 0.3 * angles.sin()), -1)
    distance = torch.cdist(points.view(-1, 2), outline).amin(1).view(80, 80)
    mask = ellipse_mask(points, (0.05, 0.2, 0.05, 0.2), 0.1)
    inside = ellipse_mask(points, (0.05, 0.2, 0.05, 0.2), 0)
    expected = smoothstep(distance / 0.1) * inside
    torch.testing.assert_close(mask, expected, atol=0.12, rtol=0)
    assert (mask - expected).abs().mean() < 0.01


# Intersections


def test_intersect_is_the_minimum():
    a, b, c = torch.rand(3, 5, 6, generator=torch.Generator().manual_seed(0))
    expected = torch.stack([a, b, c]).amin(0)
    assert torch.equal(intersect(a, b, c), expected)
    assert torch.equal(intersect(a), a)


def test_intersect_of_a_mask_with_itself_is_the_mask():
    mask = box_mask(grid(), 0.1, 0.2)
    assert torch.equal(intersect(mask, mask), mask)


def test_intersect_broadcasts():
    masks = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert intersect(torch.full((4, 4), 0.5), masks).shape == (3, 4, 4)


def test_intersect_of_nothing_raises():
    with pytest.raises(TensorSpecError, match="masks: expected at least one, got none"):
        intersect()


# Masks of pixels


def step(size, start=0.5):
    """(1, size, size): 0 left of ``start``, 1 right of it."""
    return (grid(size)[..., 0] > start).float()[None]


@pytest.mark.parametrize("size", [64, 512])
@pytest.mark.parametrize("axis", [1, 2])
def test_soften_makes_the_ramp_of_a_box_mask_at_any_size(size, axis):
    mask = step(size)
    softened = soften(mask if axis == 2 else mask.mT, 0.125)
    softened = softened if axis == 2 else softened.mT
    expected = box_mask(grid(size), (0.375, 0, 0, 0), 0.25)
    expected[:, size * 3 // 4 :] = 1
    middle = slice(size // 4 + 1, -size // 4 - 1)  # the box has soft edges above and below too
    torch.testing.assert_close(softened[0, middle], expected[middle], atol=ROUNDING, rtol=0)


def test_soften_leaves_pixels_beyond_its_radius_alone():
    mask = torch.zeros(1, 100, 100)
    mask[:, 40:60, 40:60] = 1
    softened = soften(mask, 0.05)
    assert softened[0, 50, 45] == pytest.approx(1, abs=ROUNDING)
    assert 0.9 < softened[0, 50, 43] < 1
    assert 0 < softened[0, 50, 35] < 0.1
    softened[:, 35:65, 35:65] = 0
    assert not softened.any()


@pytest.mark.parametrize("grow", [-0.1, 0.0, 0.1])
@pytest.mark.parametrize("radius", [0, 0.001, 0.1, 2.0])
def test_soften_of_a_constant_is_the_constant_up_to_the_border(radius, grow):
    for value in (0.0, 0.3, 1.0):
        softened = soften(torch.full((2, 31, 45), value), radius, grow)
        torch.testing.assert_close(softened, torch.full((2, 31, 45), value), atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("grow", [-0.05, 0.0, 0.05])
@pytest.mark.parametrize("radius", [0, 0.01, 0.2])
def test_soften_stays_in_range(radius, grow):
    masks = torch.rand(2, 200, 250, generator=torch.Generator().manual_seed(0)).round()
    masks[1] = 1 + 1e-6  # as sums of probabilities come out
    softened = soften(masks, radius, grow)
    assert softened.min() >= 0
    assert softened.max() <= 1


def test_soften_without_radius_changes_nothing():
    masks = torch.rand(2, 40, 50, generator=torch.Generator().manual_seed(0))
    assert torch.equal(soften(masks, 0), masks)
    # Less than half a pixel: no neighbour is in reach.
    torch.testing.assert_close(soften(masks, 0.4 / 40), masks, atol=ROUNDING, rtol=0)


def test_soften_handles_each_mask_alone():
    masks = torch.rand(3, 40, 50, generator=torch.Generator().manual_seed(0))
    softened = soften(masks, 0.1, 0.05)
    for mask, expected in zip(masks, softened, strict=True):
        torch.testing.assert_close(soften(mask[None], 0.1, 0.05)[0], expected)
    assert soften(masks[:0], 0.1, 0.05).shape == (0, 40, 50)


def test_soften_keeps_the_symmetry_of_a_mask():
    mask = ellipse_mask(grid(60), 0.2, 0)[None]
    softened = soften(mask, 0.1, 0.05)
    for other in (softened.flip(1), softened.flip(2), softened.mT):
        torch.testing.assert_close(softened, other, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("pixels", [1, 2, 5, 10, 27])
def test_soften_grows_as_far_in_all_directions(pixels):
    mask = torch.zeros(1, 101, 101)
    mask[0, 50, 50] = 1
    reached = torch.nonzero(soften(mask, 0, pixels / 101)[0]) - 50
    distance = torch.hypot(*reached.float().T)
    assert reached[reached[:, 0] == 0].abs().max() == pixels
    assert reached[reached[:, 1] == 0].abs().max() == pixels
    assert distance.max() <= pixels * 1.083 + 0.75
    every = torch.cartesian_prod(torch.arange(-50, 51), torch.arange(-50, 51))
    assert len(reached) >= (torch.hypot(*every.float().T) <= pixels - 0.75).sum()


def test_soften_shrinks_as_it_grows():
    mask = ellipse_mask(grid(100), 0.3, 0)[None]
    assert torch.equal(soften(mask, 0, -0.07), 1 - soften(1 - mask, 0, 0.07))
    assert soften(mask, 0, -0.07).sum() < mask.sum() < soften(mask, 0, 0.07).sum()
    moved = soften(step(100), 0, -0.07)
    torch.testing.assert_close(moved, step(100, 0.57))


def test_soften_keeps_dtype_and_input():
    masks = step(32).half()
    copy = masks.clone()
    softened = soften(masks, 0.1, 0.1)
    assert softened.dtype == torch.float16
    assert torch.equal(masks, copy)
    torch.testing.assert_close(softened.float(), soften(masks.float(), 0.1, 0.1), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    "masks",
    [
        torch.zeros(4, 4),
        torch.zeros(1, 1, 4, 4),
        torch.zeros(1, 0, 4),
        torch.zeros(1, 4, 4, dtype=torch.uint8),
    ],
)
def test_soften_of_a_wrong_tensor_raises(masks):
    with pytest.raises(TensorSpecError, match=r"masks: expected \(N, h, w\) floating, got \("):
        soften(masks, 0.1)


def test_soften_with_a_wrong_option_raises():
    for radius in (-0.1, math.nan, math.inf):
        with pytest.raises(SettingError, match=r"radius.*: expected"):
            soften(step(4), radius)
    for grow in (math.nan, math.inf):
        with pytest.raises(SettingError, match="grow: expected"):
            soften(step(4), 0.1, grow)
