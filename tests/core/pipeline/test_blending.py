"""Colour, detail and grain as they act in the whole pipeline."""

import pytest
import skimage.color
import skimage.data
import torch

import gpen_core
from gpen_core import RunOptions
from gpen_core.blending.color_match import match_color
from gpen_core.blending.compositing import Compositor, FaceChange
from gpen_core.blending.detail import blend_detail_
from gpen_core.blending.face_mask import crop_mask
from gpen_core.blending.settings import BlendSettings
from gpen_core.errors import SettingError
from gpen_core.geometry.alignment import Template, align_faces
from support.faces import PLACES, batch, faces_at
from support.geometry import noise
from support.metrics import psnr

FACE = faces_at((0, 140.0, 25.0, 180.0))  # about where the astronaut's is


def paste(images, crops, faces=FACE, **settings):
    return gpen_core.paste_faces(images, faces, crops, settings=BlendSettings(**settings))


@pytest.mark.parametrize("setting", [{"color": 1.0}, {"detail": 1.0}, {"grain": 1.0}])
def test_untouched_crops_stay_untouched_with_everything_on(astronaut, setting):
    crops = gpen_core.crop_faces(astronaut, FACE, 256)
    result = paste(astronaut, crops, **setting)
    assert (result.images - astronaut).abs().mean() < 1e-4


@pytest.mark.parametrize("setting", [{"color": 1.0}, {"detail": 1.0}, {"grain": 1.0}])
def test_pixels_outside_the_mask_keep_every_bit_with_everything_on(setting):
    images, faces = batch(4), faces_at(*PLACES)
    crops = gpen_core.crop_faces(images, faces, 64).flip(-1)
    result = paste(images, crops, faces, **setting)
    outside = (result.masks == 0)[:, None].expand_as(images)
    assert torch.equal(result.images[outside], images[outside])
    assert torch.equal(result.images[:, 3], images[:, 3])


def test_color_takes_a_cast_off_the_restored_face(astronaut):
    crops = gpen_core.crop_faces(astronaut, FACE, 256)
    cast = (crops * torch.tensor([1.0, 0.9, 0.75]).view(3, 1, 1)).clamp(0, 1)

    def difference(result):
        inside = result.masks[0] > 0.5
        labs = [
            skimage.color.rgb2lab(image[0].permute(1, 2, 0)[inside].numpy())
            for image in (result.images, astronaut)
        ]
        return skimage.color.deltaE_ciede2000(*labs).mean()

    plain, matched = paste(astronaut, cast), paste(astronaut, cast, color=1.0)
    assert difference(plain) > 4
    assert difference(matched) < 0.5 * difference(plain)


@pytest.mark.parametrize("size", [128, 512])
@pytest.mark.parametrize(
    ("setting", "decibels"),
    [({"color": 0.8}, 52), ({"detail": 0.7}, 75), ({"color": 1.0, "detail": 1.0}, 52)],
)
def test_color_and_detail_give_what_they_give_in_the_crops(astronaut, size, setting, decibels):
    settings = {"shape": "ellipse", "padding": 0.15, "detail_size": 0.3}
    before = gpen_core.crop_faces(astronaut, FACE, size)
    cast = torch.tensor([1.0, 0.85, 0.7]).view(3, 1, 1)
    after = (before + 0.3 * (before - before.mean())).clamp(0, 1) * cast
    finished = after.clone()
    if "color" in setting:
        weights = crop_mask(size, BlendSettings(**settings), "cpu")[None]
        finished = match_color(finished, before, weights, setting["color"])
    if "detail" in setting:
        blend_detail_(finished, before, settings["detail_size"], setting["detail"])
    expected = paste(astronaut, finished, **settings).images
    result = paste(astronaut, after, **settings, **setting).images
    assert psnr(paste(astronaut, after, **settings).images, expected) < 40
    assert psnr(result, expected) > decibels


def test_detail_keeps_the_light_of_the_input(astronaut):
    crops = gpen_core.crop_faces(astronaut, FACE, 256)
    brighter = crops + 0.1
    plain = paste(astronaut, brighter)
    kept = paste(astronaut, brighter, detail=1.0, detail_size=0.1)
    inside = plain.masks[0] == 1
    assert (plain.images - astronaut)[0][:, inside].mean() > 0.08
    assert (kept.images - astronaut)[0][:, inside].abs().mean() < 1e-3


@pytest.mark.parametrize("sigma", [0.02, 0.05])
def test_grain_brings_a_smooth_face_to_the_noise_of_its_surroundings(sigma):
    generator = torch.Generator().manual_seed(0)
    images = 0.5 + sigma * torch.randn(1, 3, 400, 400, generator=generator)
    faces = faces_at((0, 120.0, 110.0, 160.0))
    smooth = torch.full((1, 3, 256, 256), 0.5)
    settings = {"fine_grain": "replace", "padding": 0.02, "feather": 0.1}
    plain = paste(images, smooth, faces, **settings)
    grainy = paste(images, smooth, faces, grain=1.0, **settings)
    inside = plain.masks[0] == 1
    assert plain.images[0][:, inside].std() < 0.01 * sigma + 1e-4
    assert grainy.images[0][:, inside].std() == pytest.approx(sigma, rel=0.15)
    again = paste(images, smooth, faces, grain=1.0, **settings)
    assert torch.equal(again.images, grainy.images)


def test_the_grain_is_that_around_the_face_and_not_in_it():
    generator = torch.Generator().manual_seed(0)
    face = faces_at((0, 120.0, 110.0, 160.0))
    noise = 0.03 * torch.randn(1, 3, 400, 400, generator=generator)
    settings = {"fine_grain": "replace", "padding": 0.02, "feather": 0.1}
    smooth = torch.full((1, 3, 256, 256), 0.5)
    masks = paste(0.5 + noise, smooth, face, **settings).masks
    images = 0.5 + noise * (1 - masks)  # denoised before, inside alone
    grainy = paste(images, smooth, face, grain=1.0, **settings)
    assert grainy.images[0][:, masks[0] == 1].std() == pytest.approx(0.03, rel=0.15)


def test_the_grain_of_another_picture_is_given_where_that_is_asked_for():
    generator = torch.Generator().manual_seed(0)
    image, mask = torch.full((3, 400, 400), 0.5), torch.zeros(400, 400)
    source = image + 0.03 * torch.randn(3, 400, 400, generator=generator)
    matrix = align_faces(faces_at((0, 120.0, 110.0, 160.0)).landmarks, Template.FFHQ, 256)[0]
    compositor = Compositor(image, mask, BlendSettings(grain=1.0), grain_source=source)
    before, after = torch.full((3, 256, 256), 0.5), torch.full((3, 256, 256), 0.6)
    compositor.add_(FaceChange(before, after, matrix))
    compositor.finish()
    assert image[:, mask == 1].std() == pytest.approx(0.03, rel=0.15)


def test_the_grain_of_a_clip_in_parts_is_that_of_the_whole(random_network):
    images, faces = batch(), faces_at((0, 20.0, 10.0, 80.0), (1, 20.0, 10.0, 80.0))
    settings = BlendSettings(grain=1.0)
    whole = gpen_core.restore_faces(images[:2], faces, random_network, settings=settings).images
    second = faces_at((0, 20.0, 10.0, 80.0))
    parts = [
        gpen_core.restore_faces(
            images[i : i + 1], second, random_network, settings=settings, run=RunOptions(seed=i)
        ).images
        for i in range(2)
    ]
    assert torch.equal(torch.cat(parts), whole)
    unseeded = gpen_core.restore_faces(images[1:2], second, random_network, settings=settings)
    assert not torch.equal(unseeded.images, parts[1])


def test_fine_grain_of_a_face_larger_than_the_crop_is_kept_or_replaced(identity):
    images, faces = noise(600)[None], faces_at((0, 0.0, 0.0, 600.0))
    kept = gpen_core.restore_faces(images, faces, identity)
    torch.testing.assert_close(kept.images, images, rtol=0, atol=1e-6)
    replaced = gpen_core.restore_faces(
        images, faces, identity, settings=BlendSettings(fine_grain="replace")
    )
    inside = replaced.masks[0] == 1
    # Noise of 600 pixels through 256: what is left is what the crop can hold.
    ratio = replaced.images[0][:, inside].std() / images[0][:, inside].std()
    assert 0.2 < ratio < 0.55


@pytest.mark.parametrize(
    "wrong", [{"blend": 1.5}, {"color": -0.1}, {"feather": 0.6}, {"grain": float("nan")}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(SettingError, match=next(iter(wrong))):
        BlendSettings(**wrong)
