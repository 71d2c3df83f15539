import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from gpen_core.geometry.alignment import invert_affine
from gpen_core.geometry.warping import (
    Region,
    crop_image,
    footprint,
    pixel_centres,
    shift_target,
    warp,
)
from support.geometry import noise, similarity, smooth, smooth_at
from support.metrics import psnr


def area_average(source: torch.Tensor, matrix: torch.Tensor, size: int, n: int) -> torch.Tensor:
    """Slow twin of ``warp``: n x n bicubic samples in each target pixel."""
    steps = (torch.arange(size * n, dtype=torch.float64) + 0.5) / n
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    points = torch.stack((x, y), -1) @ matrix[:, :2].T + matrix[:, 2]
    extent = torch.tensor([source.shape[2], source.shape[1]])
    grid = (points * 2 / extent - 1).float()[None]
    sampled = F.grid_sample(
        source[None], grid, mode="bicubic", padding_mode="border", align_corners=False
    )
    return F.avg_pool2d(sampled[0], n)


def test_warp_by_the_identity_returns_the_pixels():
    image = noise(33)
    torch.testing.assert_close(warp(image, similarity(1, 0), 33, 33), image, rtol=0, atol=2e-6)


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_warp_by_quarter_turns_about_the_centre_only_moves_pixels(quarter_turns):
    image = noise(32)
    turn = similarity(1, 90 * quarter_turns)
    centre = torch.tensor([16.0, 16.0], dtype=torch.float64)
    turn[:, 2] = centre - turn[:, :2] @ centre
    # Moving along x towards y in the target means turning the picture the other way.
    expected = torch.rot90(image, quarter_turns, (1, 2))
    torch.testing.assert_close(warp(image, turn, 32, 32), expected, rtol=0, atol=5e-6)


@pytest.mark.parametrize("factor", [2, 3, 6, 7, 12])
def test_warp_that_shrinks_by_a_whole_number_is_the_average_of_blocks(factor):
    image = smooth(12 * factor)
    shrunk = warp(image, similarity(factor, 0), 12, 12)
    assert psnr(shrunk, F.avg_pool2d(image, factor)) > 60


@pytest.mark.parametrize("scale", [0.3, 1.0, 1.7, 2.9, 5.3, 11.0])
@pytest.mark.parametrize("degrees", [0, 20])
def test_warp_puts_every_pixel_centre_where_the_matrix_says(scale, degrees):
    matrix = similarity(scale, degrees, (130.0, 60.0))
    region = Region(0, 30, 0, 30)
    points = pixel_centres(region, matrix, torch.device("cpu"))
    expected = smooth_at(points[..., 0], points[..., 1])
    # 0.05 pixel of displacement would already cost more than this.
    assert psnr(warp(smooth(600), matrix, 30, 30), expected) > (46 if scale < 5 else 40)


@pytest.mark.parametrize("scale", [1.5, 2.5, 3.5, 4.0, 8.0, 20.0])
def test_warp_does_not_alias(scale):
    image = noise(800)
    matrix = similarity(scale, 15, (220.0, 30.0))
    expected = area_average(image, matrix, 20, 24)
    assert psnr(warp(image, matrix, 20, 20), expected) > 39
    plain = area_average(image, matrix, 20, 1)  # what one sample a pixel gives
    assert psnr(plain, expected) < 21


def test_warp_that_shrinks_goes_on_as_the_border_too():
    white = torch.ones(3, 101, 103)  # blocks at the border are not whole
    shrunk = warp(white, similarity(20.0, 0, (-40.0, -40.0)), 12, 12)
    torch.testing.assert_close(shrunk, torch.ones(3, 12, 12), rtol=0, atol=1e-5)


def test_warp_in_bands_equals_warp_at_once(monkeypatch):
    image, matrix = noise(100), similarity(2.3, 10, (10.0, 5.0))
    at_once = warp(image, matrix, 40, 30)
    monkeypatch.setattr("gpen_core.geometry.warping._CPU_SAMPLES_AT_ONCE", 1000)
    torch.testing.assert_close(warp(image, matrix, 40, 30), at_once, rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [0.4, 2.3, 9.0])
def test_warp_keeps_the_memory_order_and_gives_the_same_pixels(scale):
    image, matrix = noise(100), similarity(scale, 10, (10.0, 5.0))
    channels_last = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    warped = warp(channels_last, matrix, 40, 30)
    assert warped.permute(1, 2, 0).is_contiguous()
    expected = warp(image, matrix, 40, 30)
    assert expected.is_contiguous()
    torch.testing.assert_close(warped, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [0.4, 2.3])
def test_warp_is_the_same_wherever_it_is_needed(scale, monkeypatch):
    monkeypatch.setattr("gpen_core.geometry.warping._CPU_SAMPLES_AT_ONCE", 2000)
    image, matrix = noise(100), similarity(scale, 10, (10.0, 5.0))
    y, x = torch.meshgrid(torch.arange(40), torch.arange(30), indexing="ij")
    needed = ((y - 22).square() + (x - 12).square() < 100).float()
    part = warp(image, matrix, 40, 30, needed=needed)
    shown = needed > 0
    torch.testing.assert_close(part[:, shown], warp(image, matrix, 40, 30)[:, shown])
    assert not part[:, :, 23:].any()  # nothing there was computed
    assert not warp(image, matrix, 40, 30, needed=torch.zeros(40, 30)).any()


def test_warp_beyond_the_border_goes_on_as_the_border():
    image = noise(8)
    far = warp(image, similarity(1, 0, (1000.0, 3.0)), 2, 2)
    torch.testing.assert_close(far, image[:, 3:5, 7:8].expand(3, 2, 2), rtol=0, atol=1e-6)


@given(
    scale=st.floats(0.05, 5.9),  # beyond, blocks begin at the corner of what is read
    degrees=st.floats(-180, 180),
    x=st.floats(-50, 150),
    y=st.floats(-50, 150),
)
def test_crop_image_equals_warping_the_whole_image(scale, degrees, x, y):
    image = smooth(90)
    crop_to_image = similarity(scale, degrees, (x, y))
    crop = crop_image(image, invert_affine(crop_to_image), 16, "cpu")
    whole = warp(image, crop_to_image, 16, 16)
    torch.testing.assert_close(crop, whole, rtol=0, atol=2e-5)


def test_crop_image_wholly_outside_is_filled_with_the_border():
    image = noise(10)
    crop = crop_image(image, similarity(1, 0, (500.0, 500.0)), 4, "cpu")
    torch.testing.assert_close(crop, image[:, :1, :1].expand(3, 4, 4), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("scale", [0.001, 1.0, 1000.0])
def test_crop_image_of_tiny_images_is_finite(size, scale):
    crop = crop_image(noise(size), similarity(scale, 30), 8, "cpu")
    assert crop.shape == (3, 8, 8)
    assert crop.isfinite().all()


def test_crop_image_of_half_precision_is_computed_in_single():
    image = smooth(64)
    matrix = similarity(0.5, 10)
    halves = crop_image(image.half(), matrix, 16, "cpu")
    assert halves.dtype == torch.float32
    torch.testing.assert_close(halves, crop_image(image, matrix, 16, "cpu"), rtol=0, atol=1e-3)


def test_footprint_holds_the_corners_and_stays_in_the_image():
    assert footprint(similarity(2, 0, (10.0, 20.0)), 8, (100, 100)) == Region(20, 36, 10, 26)
    assert footprint(similarity(2, 0, (10.0, 20.0)), 8, (100, 100), 3) == Region(17, 39, 7, 29)
    assert footprint(similarity(2, 0, (-5.0, 90.0)), 8, (100, 100)) == Region(90, 100, 0, 11)


def test_shift_target_counts_from_the_corner_of_the_region():
    matrix = similarity(1.3, 12, (4.0, 5.0))
    region = Region(7, 9, 11, 14)
    whole = pixel_centres(Region(0, 20, 0, 20), matrix, torch.device("cpu"))
    part = pixel_centres(region, matrix, torch.device("cpu"))
    torch.testing.assert_close(part, whole[7:9, 11:14])
    assert torch.equal(shift_target(matrix, Region(0, 1, 0, 1)), matrix)


def test_regions_intersect():
    first, second = Region(0, 10, 0, 10), Region(5, 20, 8, 9)
    shared = first.intersection(second)
    assert shared == Region(5, 10, 8, 9)
    assert shared.relative_to(second) == Region(0, 5, 0, 1)
    nothing = first.intersection(Region(10, 20, 0, 10))
    assert (nothing.height, nothing.width) == (0, 10)
