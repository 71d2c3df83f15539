"""Restoring and pasting: what changes, what stays, and what is refused."""

import pytest
import torch
import torch.nn.functional as F

import gpen_core
from gpen_core import RunOptions
from gpen_core.blending.settings import BlendSettings
from gpen_core.errors import TensorSpecError
from gpen_core.faces.faces import Faces
from gpen_core.geometry.alignment import template_landmarks
from support.faces import PLACES, batch, faces_at
from support.geometry import noise, smooth
from support.metrics import psnr


@pytest.mark.parametrize("template", gpen_core.Template)
@pytest.mark.parametrize("n_channels", [3, 4])
def test_the_identity_network_gives_back_the_input(identity, template, n_channels):
    images = batch(n_channels)
    settings = BlendSettings(template=template)
    result = gpen_core.restore_faces(images, faces_at(*PLACES), identity, settings=settings)
    torch.testing.assert_close(result.images, images, rtol=0, atol=1e-6)
    inside = (result.masks > 0)[:, None].expand_as(images)
    assert psnr(result.images[inside], images[inside]) > 120
    assert torch.equal(result.images[~inside], images[~inside])


def test_a_network_that_changes_pixels_changes_only_those_in_the_mask(random_network):
    images = batch(4)
    result = gpen_core.restore_faces(images, faces_at(*PLACES), random_network)
    inside = (result.masks > 0)[:, None].expand_as(images)
    assert torch.equal(result.images[~inside], images[~inside])
    assert torch.equal(result.images[:, 3], images[:, 3])  # alpha
    assert torch.equal(result.images[2], images[2])  # no face in it
    for i in (0, 1):
        assert (result.images[i] - images[i]).abs().max() > 0.1
    assert result.images.min() >= 0
    assert result.images.max() <= 1


def test_blend_of_zero_gives_the_input_bit_for_bit(random_network):
    images = batch(4)
    settings = BlendSettings(blend=0)
    result = gpen_core.restore_faces(images, faces_at(*PLACES), random_network, settings=settings)
    assert torch.equal(result.images, images)
    assert result.masks.max() == 1  # where it would have been


def test_the_input_is_not_modified(random_network):
    images = batch()
    before = images.clone()
    gpen_core.restore_faces(images, faces_at(*PLACES), random_network)
    assert torch.equal(images, before)


@pytest.mark.parametrize("fine_grain", gpen_core.FineGrain)
def test_crops_that_are_pasted_are_not_modified(fine_grain):
    images, faces = batch(), faces_at(*PLACES)
    crops = gpen_core.crop_faces(images, faces, 128).flip(-1)
    given = crops.clone()
    settings = gpen_core.BlendSettings(color=1.0, detail=0.5, grain=1.0, fine_grain=fine_grain)
    gpen_core.paste_faces(images, faces, crops, settings=settings)
    assert torch.equal(crops, given)


def test_crops_that_are_kept_are_those_of_the_network_alone(random_network):
    images, faces = batch(), faces_at(*PLACES)
    settings = gpen_core.BlendSettings(color=1.0, detail=0.5, grain=1.0)
    result = gpen_core.restore_faces(
        images, faces, random_network, settings=settings, run=RunOptions(keep_crops=True)
    )
    crops = gpen_core.crop_faces(images, faces, 256)
    torch.testing.assert_close(result.crops, crops, rtol=0, atol=0)
    expected = random_network(crops * 2 - 1) / 2 + 0.5
    torch.testing.assert_close(result.restored_crops, expected.clamp(0, 1), rtol=0, atol=1e-4)
    assert expected.min() < -0.01  # so that it matters whether they are brought into range


def test_no_faces_give_back_the_images(random_network):
    images = batch()
    result = gpen_core.restore_faces(
        images, Faces.empty(), random_network, run=RunOptions(keep_crops=True)
    )
    assert torch.equal(result.images, images)
    assert not result.masks.any()
    assert result.crops.shape == (0, 3, 256, 256)


def test_no_images_give_no_images(random_network):
    images = torch.zeros(0, 3, 8, 8)
    assert gpen_core.restore_faces(images, Faces.empty(), random_network).images.shape[0] == 0


@pytest.mark.parametrize(
    ("images", "remedy"),
    [
        (torch.zeros(1, 1, 9, 9), "Repeat the grey channel"),
        (torch.zeros(1, 2, 9, 9), "RGB or RGBA"),
        (torch.zeros(3, 9, 9), "batch axis"),
        (torch.zeros(1, 3, 9, 9, dtype=torch.uint8), "images / 255"),
    ],
)
def test_images_of_another_kind_are_refused(identity, images, remedy):
    with pytest.raises(TensorSpecError, match=remedy):
        gpen_core.restore_faces(images, Faces.empty(), identity)


def test_pixels_that_are_not_finite_are_refused(identity):
    images = batch()
    images[1, 0, 50, 60] = float("nan")
    with pytest.raises(TensorSpecError, match="face 0 of image 1"):
        gpen_core.restore_faces(images, faces_at((1, 20.0, 20.0, 80.0)), identity)


def test_faces_of_another_batch_are_refused(identity):
    with pytest.raises(TensorSpecError, match="below 3"):
        gpen_core.restore_faces(batch(), faces_at((3, 0.0, 0.0, 50.0)), identity)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_tiny_images_come_back(identity, size):
    images = noise(size)[None]
    result = gpen_core.restore_faces(images, faces_at((0, 0.0, 0.0, float(size))), identity)
    torch.testing.assert_close(result.images, images, rtol=0, atol=1e-6)


def test_half_precision_images_keep_their_dtype_and_their_bits(random_network):
    images = batch().half()
    result = gpen_core.restore_faces(images, faces_at(*PLACES), random_network)
    inside = (result.masks > 0)[:, None].expand_as(images)
    assert result.images.dtype == torch.float16
    assert torch.equal(result.images[~inside], images[~inside])


def test_a_real_face_is_found_aligned_and_given_back(identity, detector, astronaut):
    faces = gpen_core.detect_faces(astronaut, detector)
    assert len(faces) == 1
    result = gpen_core.restore_faces(astronaut, faces, identity, run=RunOptions(keep_crops=True))
    torch.testing.assert_close(result.images, astronaut, rtol=0, atol=1e-6)
    # In the crop the face is where the template wants it: found there again, at those points.
    again = gpen_core.detect_faces(result.crops, detector)
    expected = template_landmarks(gpen_core.Template.FFHQ, 256).float()
    assert (again.landmarks[0] - expected).norm(dim=1).max() < 0.05 * 256


@pytest.mark.parametrize("template", gpen_core.Template)
def test_crop_restore_and_paste_equal_the_whole_exactly(random_network, template):
    images, faces = batch(4), faces_at(*PLACES)
    settings = BlendSettings(template, blend=0.7, padding=0.1, feather=0.2)
    whole = gpen_core.restore_faces(
        images, faces, random_network, settings=settings, run=RunOptions(keep_crops=True)
    )
    crops = gpen_core.crop_faces(images, faces, 256, template=template)
    assert torch.equal(crops, whole.crops)
    restored = torch.cat([gpen_core.restore_crops(crop[None], random_network) for crop in crops])
    pasted = gpen_core.paste_faces(images, faces, restored, settings=settings)
    assert torch.equal(pasted.images, whole.images)
    assert torch.equal(pasted.masks, whole.masks)


def test_paste_of_untouched_crops_of_any_size_gives_back_the_images():
    images, faces = batch(), faces_at(*PLACES)
    for size in (64, 300):
        crops = gpen_core.crop_faces(images, faces, size)
        assert torch.equal(gpen_core.paste_faces(images, faces, crops).images, images)


@pytest.mark.parametrize("shape", [(3, 3, 64, 64), (4, 3, 64, 32), (4, 1, 64, 64)])
def test_paste_refuses_crops_that_are_not_those_of_the_faces(shape):
    with pytest.raises(TensorSpecError, match=r"expected \(4, 3, S, S\)"):
        gpen_core.paste_faces(batch(), faces_at(*PLACES), torch.zeros(shape))


def test_a_canvas_gets_the_faces_at_its_own_resolution(random_network):
    images, faces = batch(), faces_at(*PLACES)
    canvas = F.interpolate(images, scale_factor=3, mode="bicubic").clamp(0, 1)
    result = gpen_core.restore_faces(images, faces, random_network, into=canvas.clone())
    assert result.images.shape == canvas.shape
    assert result.masks.shape == (3, 360, 360)
    outside = (result.masks == 0)[:, None].expand_as(canvas)
    assert torch.equal(result.images[outside], canvas[outside])
    # What is pasted is the restored crop itself, not an enlargement of the small result.
    small = gpen_core.restore_faces(images, faces, random_network)
    enlarged = F.interpolate(small.masks[:, None], scale_factor=3, mode="bilinear")[:, 0]
    assert (enlarged - result.masks).abs().mean() < 0.01


def test_an_exactly_enlarged_canvas_shows_the_detail_of_the_crop():
    images = torch.full((1, 3, 64, 64), 0.5)
    picture = smooth(256)
    faces = faces_at((0, 0.0, 0.0, 64.0))
    canvas = torch.full((1, 3, 256, 256), 0.3)  # as different as an upscale model makes it
    settings = BlendSettings(padding=0, feather=0)
    result = gpen_core.paste_faces(images, faces, picture[None], settings=settings, into=canvas)
    assert psnr(result.images[0], picture) > 50


def test_a_canvas_of_another_batch_is_refused(identity):
    with pytest.raises(TensorSpecError, match="into: expected"):
        gpen_core.restore_faces(
            batch(), faces_at(*PLACES), identity, into=torch.zeros(2, 3, 240, 240)
        )


def test_a_user_mask_limits_where_faces_are_pasted(random_network):
    images, faces = batch(), faces_at(*PLACES)
    user_masks = torch.zeros(1, 120, 120)
    user_masks[:, :, 60:] = 0.5
    result = gpen_core.restore_faces(images, faces, random_network, user_masks=user_masks)
    assert torch.equal(result.images[..., :60], images[..., :60])
    assert result.masks.max() == 0.5
    assert (result.images[..., 60:] - images[..., 60:]).abs().max() > 0.05


def test_a_user_mask_of_another_size_is_refused(identity):
    with pytest.raises(TensorSpecError, match="user_masks"):
        gpen_core.restore_faces(
            batch(), faces_at(*PLACES), identity, user_masks=torch.ones(1, 60, 60)
        )
