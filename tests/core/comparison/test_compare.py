import math

import numpy as np
import pytest
import scipy.ndimage
import skimage.color
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from gpen_core.blending.face_mask import box_masks
from gpen_core.comparison import compare, compare_images
from gpen_core.errors import GpenError
from gpen_core.geometry.resizing import resize
from gpen_core.monitor import Monitor
from support.faces import faces_at
from support.geometry import noise


def pair(size: int = 48, strength: float = 0.1) -> tuple[torch.Tensor, torch.Tensor]:
    before = noise(size, 1)[None]
    after = (before + strength * (noise(size, 2)[None] - 0.5)).clamp(0, 1)
    return before, after


def test_compare_images_agrees_with_scikit_image():
    before, after = pair()
    measured = compare_images(before, after).whole
    a, b = (x[0].permute(1, 2, 0).double().numpy() for x in (before, after))
    assert measured.psnr == pytest.approx(peak_signal_noise_ratio(a, b, data_range=1), abs=1e-4)
    # scikit-image leaves out a rim of half a window; the same pixels are the region here.
    region = torch.zeros(1, 48, 48)
    region[:, 5:-5, 5:-5] = 1
    inside = compare_images(before, after, region).region
    expected = structural_similarity(
        a,
        b,
        data_range=1,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert inside.ssim == pytest.approx(expected, abs=1e-5)


def test_compare_images_equal_images_are_infinitely_alike():
    before, _ = pair()
    measured = compare_images(before, before.clone()).whole
    assert measured.psnr == math.inf
    assert measured.ssim == pytest.approx(1, abs=1e-6)
    assert measured.ms_ssim == pytest.approx(1, abs=1e-6)
    assert measured.sharpness == 1
    assert measured.color_error == 0


def test_compare_images_opposites_have_less_than_nothing_in_common():
    before, _ = pair(128)
    measured = compare_images(before, 1 - before).whole
    assert measured.ssim < 0
    assert measured.ms_ssim == 0
    assert measured.sharpness == pytest.approx(1, rel=1e-5)


def test_compare_images_sharpness_is_the_ratio_of_the_laplacians_energies():
    before, _ = pair()
    fainter = compare_images(before, 0.5 + 0.3 * (before - 0.5)).whole
    assert fainter.sharpness == pytest.approx(0.09, rel=1e-5)
    luma = (before[0] * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(0).double().numpy()
    after = scipy.ndimage.gaussian_filter(luma, 1.0, mode="nearest")
    energies = [(scipy.ndimage.laplace(x, mode="nearest") ** 2).mean() for x in (luma, after)]
    soft = torch.from_numpy(after).expand(1, 3, -1, -1)
    expected = energies[1] / energies[0]
    assert compare_images(before, soft).whole.sharpness == pytest.approx(expected, rel=1e-4)
    flat = torch.full_like(before, 0.5)
    assert compare_images(flat, before).whole.sharpness == math.inf
    assert compare_images(flat, flat + 0.1).whole.sharpness == 1


def test_compare_images_colour_error_is_the_mean_ciede2000():
    before, after = pair()
    labs = [skimage.color.rgb2lab(x[0].permute(1, 2, 0).double().numpy()) for x in (before, after)]
    expected = skimage.color.deltaE_ciede2000(*labs)
    lower = torch.zeros(1, 48, 48)
    lower[:, 24:] = 1
    compared = compare_images(before, after, lower)
    assert compared.whole.color_error == pytest.approx(expected.mean(), abs=1e-3)
    assert compared.region.color_error == pytest.approx(expected[24:].mean(), abs=1e-3)


def test_compare_images_ms_ssim_of_a_batch_is_the_mean_of_its_images():
    before, after = pair(64)
    other = after * 0.5
    apart = [compare_images(before, x).whole.ms_ssim for x in (after, other)]
    both = compare_images(before.expand(2, -1, -1, -1), torch.cat([after, other])).whole
    assert both.ms_ssim == pytest.approx(sum(apart) / 2, abs=1e-6)


def test_compare_images_region_counts_only_what_is_inside():
    before, _ = pair()
    after = before.clone()
    after[:, :, :24] = (after[:, :, :24] + 0.25) % 1
    lower = torch.zeros(1, 48, 48)
    lower[:, 24:] = 1
    comparison = compare_images(before, after, lower)
    assert comparison.region.psnr == math.inf
    assert comparison.whole.psnr < 20
    half = compare_images(before, before + 0.1, torch.full((1, 48, 48), 0.5))
    assert half.region.psnr == pytest.approx(20, abs=1e-3)


def test_compare_images_pools_the_pixels_of_a_batch_and_ignores_alpha():
    images = torch.cat([noise(16, 1), noise(16, 3)[:1]])[None].repeat(2, 1, 1, 1) * 0.5
    changed = images.clone()
    changed[1, :3] += 0.1
    changed[:, 3] = 0
    # Half the squared errors are 0, the others 0.01.
    assert compare_images(images, changed).whole.psnr == pytest.approx(23.0103, abs=1e-3)


def test_compare_images_empty_region_is_none():
    assert compare_images(*pair(), torch.zeros(1, 48, 48)).region is None


def test_compare_images_a_region_of_a_single_pixel_is_measured():
    corner = torch.zeros(1, 49, 49)
    corner[:, -1, -1] = 1  # in no pair of rows or columns
    before, after = pair(49)
    inside = compare_images(before, after, corner).region
    assert inside.psnr == pytest.approx(
        -10 * math.log10(float((before - after)[0, :, -1, -1].square().mean())), abs=1e-3
    )
    assert 0 <= inside.ms_ssim <= 1


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_compare_images_refuses_pixels_that_are_no_numbers(value):
    before, after = pair()
    after[0, 0, 3, 3] = value
    with pytest.raises(GpenError, match="finite"):
        compare_images(before, after)


@pytest.mark.parametrize(
    ("before", "after", "region", "message"),
    [
        ((1, 3, 8, 8), (1, 3, 8, 9), None, "Resize or repeat"),
        ((2, 3, 8, 8), (3, 3, 8, 8), None, "Resize or repeat"),
        ((1, 3, 5, 9), (1, 3, 5, 9), None, "Compare larger"),
        ((0, 3, 8, 8), (0, 3, 8, 8), None, "at least one"),
        ((1, 3, 8, 8), (1, 3, 8, 8), (1, 8, 9), "Resize the mask"),
        ((8, 8, 3), (1, 3, 8, 8), None, "batch axis"),
    ],
)
def test_compare_images_shapes_that_do_not_match_say_what_to_do(before, after, region, message):
    mask = None if region is None else torch.zeros(region)
    with pytest.raises(GpenError, match=message):
        compare_images(torch.zeros(before), torch.zeros(after), mask)


def test_compare_images_a_single_image_before_is_compared_with_each():
    before, after = pair()
    alone, both = before[:1], torch.cat([after, before])
    assert compare_images(alone, both) == compare_images(alone.repeat(len(both), 1, 1, 1), both)


@pytest.mark.parametrize("rows", [6, 7, 16, 47])
def test_compare_images_bands_make_no_difference(monkeypatch, rows):
    before, after = pair()
    region = noise(48, 5)[:1]
    expected = compare_images(before, after, region)
    monkeypatch.setattr(compare, "_BAND_ROWS", rows)
    actual = compare_images(before, after, region)
    for one, other in ((actual.whole, expected.whole), (actual.region, expected.region)):
        assert one.psnr == pytest.approx(other.psnr, abs=1e-5)
        assert one.ssim == pytest.approx(other.ssim, abs=1e-6)
        assert one.ms_ssim == pytest.approx(other.ms_ssim, abs=1e-6)
        assert one.sharpness == pytest.approx(other.sharpness, abs=1e-6)
        assert one.color_error == pytest.approx(other.color_error, rel=1e-6)


def test_compare_images_asks_before_each_image_whether_to_stop():
    asked = []
    monitor = Monitor(check_interrupt=lambda: asked.append(1))
    compare_images(*(torch.zeros(3, 3, 8, 8),) * 2, monitor=monitor)
    assert len(asked) == 3


def test_box_masks_are_one_inside_the_scaled_boxes_and_cut_off_at_the_edge():
    faces = faces_at((1, 10.0, 10.0, 20.0), (0, -50.0, 4.0, 60.0))
    masks = box_masks(faces, 2, (60, 80), (2.0, 1.5))
    for index, box in enumerate(faces.boxes[[1, 0]]):
        x0, y0, x1, y1 = (box * torch.tensor([2.0, 1.5, 2.0, 1.5])).round().clamp(min=0).int()
        expected = np.zeros((60, 80))
        expected[y0:y1, x0:x1] = 1
        np.testing.assert_array_equal(masks[index], expected)
    assert masks.sum() > 0
    with pytest.raises(GpenError):
        box_masks(faces, 1, (60, 80))


def test_resize_keeps_images_of_that_size_and_the_range():
    images = noise(16, 1)[None]
    assert resize(images, (16, 16)) is images
    resized = resize((images > 0.5).float(), (31, 17))
    assert resized.shape == (1, 3, 31, 17)
    assert float(resized.min()) >= 0
    assert float(resized.max()) <= 1
