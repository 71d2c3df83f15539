"""Crop and paste by themselves, and pasting into enlarged images."""

import pytest
import torch
import torch.nn.functional as F

import gpen_core
from gpen_core import Monitor, RunOptions, resize
from gpen_core.blending.settings import BlendSettings
from gpen_core.errors import SettingError, TensorSpecError
from gpen_core.network.config import GpenConfig
from support.faces import PLACES, batch, faces_at
from support.geometry import noise, smooth
from support.metrics import psnr

CONFIG = GpenConfig(256, 1, 0.0625)


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


def test_no_faces_make_no_crops():
    faces = gpen_core.Faces.empty()
    crops = gpen_core.crop_faces(batch(), faces, 64)
    assert crops.shape == (0, 3, 64, 64)
    assert torch.equal(gpen_core.paste_faces(batch(), faces, crops).images, batch())


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


def test_crops_of_any_size_go_through_the_network_some_at_a_time(random_network):
    crops = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    events = []
    monitor = Monitor(
        on_progress=lambda *progress: events.append(progress),
        on_crop=lambda crop: events.append(tuple(crop.shape)),
        check_interrupt=lambda: events.append("check"),
    )
    restored = gpen_core.restore_crops(crops, random_network, max_batch=2, monitor=monitor)
    shape = (3, 256, 256)
    assert events == ["check", shape, (1, 3), shape, (2, 3), "check", shape, (3, 3)]
    together = gpen_core.restore_crops(resize(crops, (256, 256)), random_network)
    torch.testing.assert_close(restored, together, rtol=0, atol=1e-5)
    assert gpen_core.restore_crops(crops[:0], random_network).shape == (0, *shape)
