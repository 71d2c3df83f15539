import pytest
import torch

from gpen_core.blending.compositing import Compositor, FaceChange
from gpen_core.blending.settings import BlendSettings
from gpen_core.geometry.alignment import invert_affine
from gpen_core.geometry.warping import crop_image
from support.geometry import noise, similarity, smooth
from support.metrics import psnr

HARD = BlendSettings(padding=0, feather=0)


def composite(image, changes, matrices, settings=HARD):
    """The image with changes pasted into it, and its mask."""
    result, mask = image.clone(), torch.zeros(image.shape[-2:])
    compositor = Compositor(result, mask, settings)
    for change, matrix in zip(changes, matrices, strict=True):
        compositor.add_(FaceChange(torch.zeros_like(change), change, matrix))
    compositor.finish()
    return result, mask


def test_no_change_leaves_every_bit():
    image = noise(50)
    result, mask = composite(image, [torch.zeros(3, 32, 32)], [similarity(1.7, 20, (9, 3))])
    assert torch.equal(result, image)
    assert mask.max() == 1


@pytest.mark.parametrize("scale", [0.4, 1.0, 4.0])
def test_pixels_outside_the_mask_keep_every_bit(scale):
    image = noise(60)
    image[:, 40:] += 7  # even what is out of range
    matrix = invert_affine(similarity(1 / scale, 33, (20.0, 5.0)))
    result, mask = composite(image, [torch.ones(3, 32, 32)], [matrix], BlendSettings())
    assert torch.equal(result[:, mask == 0], image[:, mask == 0])
    assert not torch.equal(result[:, mask > 0], image[:, mask > 0])


def test_blend_of_zero_keeps_every_bit():
    image = noise(60) * 3 - 1
    settings = BlendSettings(blend=0)
    result, _ = composite(image, [torch.ones(3, 32, 32)], [similarity(1, 5)], settings)
    assert torch.equal(result, image)


@pytest.mark.parametrize("blend", [0.25, 0.5, 1.0])
def test_blend_takes_its_share_of_the_change(blend):
    image = torch.full((3, 20, 20), 0.5)
    settings = BlendSettings(blend=blend, padding=0, feather=0)
    result, _ = composite(image, [torch.full((3, 20, 20), 0.25)], [similarity(1)], settings)
    torch.testing.assert_close(result, torch.full((3, 20, 20), 0.5 + blend * 0.25))


def test_a_change_at_the_same_scale_lands_on_its_pixels():
    image, change = torch.full((3, 40, 40), 0.5), noise(16) * 0.4
    result, mask = composite(image, [change], [similarity(1, 0, (-12.0, -7.0))])
    torch.testing.assert_close(result[:, 7:23, 12:28], 0.5 + change, rtol=0, atol=1e-6)
    assert mask.sum() == 16 * 16


@pytest.mark.parametrize(("scale", "at_least"), [(0.5, 50), (1.3, 50), (3.0, 50), (9.0, 50)])
def test_replacing_a_crop_by_that_of_another_picture_shows_that_picture(scale, at_least):
    image, other = torch.full((3, 200, 200), 0.5), smooth(200)
    image_to_crop = invert_affine(similarity(1 / scale, 12, (60.0, 70.0)))
    before, after = (crop_image(x, image_to_crop, 64, "cpu") for x in (image, other))
    result, mask = composite(image, [after - before], [image_to_crop], HARD)
    whole = mask == 1
    assert psnr(result[:, whole], other[:, whole]) > at_least


def test_a_smaller_face_gets_the_average_of_the_crop_and_no_aliases():
    change = torch.zeros(3, 256, 256)
    change[:, :, ::2] = 0.5  # stripes finer than the image's pixels: their mean is a quarter
    image = torch.zeros(3, 40, 40)
    result, mask = composite(image, [change], [similarity(8.0, 0, (-40.0, -40.0))])
    inside = result[:, mask == 1]
    torch.testing.assert_close(inside, torch.full_like(inside, 0.25), rtol=0, atol=1e-3)


def test_results_are_brought_into_range_inside_the_mask_only():
    image = torch.full((3, 30, 30), 2.0)
    result, mask = composite(image, [torch.full((3, 10, 10), 0.5)], [similarity(1)])
    assert bool((result[:, mask > 0] == 1).all())
    assert bool((result[:, mask == 0] == 2).all())


def test_overlapping_faces_do_not_depend_on_their_order_and_do_not_add_up():
    image = torch.full((3, 60, 60), 0.2)
    changes = [torch.full((3, 30, 30), 0.4), torch.full((3, 30, 30), 0.2)]
    matrices = [similarity(1, 0, (-5.0, -5.0)), similarity(1, 0, (-20.0, -10.0))]
    first, mask = composite(image, changes, matrices, BlendSettings())
    second, _ = composite(image, changes[::-1], matrices[::-1], BlendSettings())
    torch.testing.assert_close(first, second, rtol=0, atol=1e-6)
    assert mask.max() <= 1
    assert first.max() <= 0.6 + 1e-6
    both = first[:, 20:30, 27:30]
    assert 0.4 < both.mean() < 0.6


def test_where_faces_overlap_the_nearer_middle_weighs_more():
    image = torch.full((3, 40, 80), 0.5)
    changes = [torch.full((3, 40, 40), 0.2), torch.full((3, 40, 40), -0.2)]
    matrices = [similarity(1), similarity(1, 0, (-20.0, 0.0))]  # share columns 20 to 40
    result, mask = composite(image, changes, matrices)
    assert bool((mask[:, :60] == 1).all())
    row = result[0, 20]
    assert row[19] == pytest.approx(0.7)
    assert row[41] == pytest.approx(0.3)
    assert bool((row[20:41].diff() < 0).all())
    assert row[29:31].mean() == pytest.approx(0.5, abs=1e-3)


def test_a_face_outside_the_image_is_nothing():
    image = noise(20)
    result, mask = composite(image, [torch.ones(3, 8, 8)], [similarity(1, 0, (500.0, 0.0))])
    assert torch.equal(result, image)
    assert not mask.any()


def test_alpha_is_passed_on():
    image = torch.cat([noise(20), noise(20, 1)[:1]])
    result, _ = composite(image, [torch.full((3, 20, 20), 0.5)], [similarity(1)])
    assert torch.equal(result[3], image[3])
    assert not torch.equal(result[:3], image[:3])
