"""Blending a swap, on pictures whose parts are known: a face of noise put onto a smooth picture."""

import pytest
import torch
import torch.nn.functional as F
from torchvision.transforms.functional import gaussian_blur as blur

from gpen_core import Faces, RunOptions, SwapPairs
from gpen_core.blending.color_match import rgb_to_oklab
from gpen_core.blending.grain import measure_noise
from gpen_core.errors import SettingError, TensorSpecError
from gpen_core.faces.parsing import PARSING_SIZE, REGIONS, FaceRegion
from gpen_core.monitor import Monitor
from gpen_core.swaps.blend import blend_swap
from gpen_core.swaps.settings import SwapSettings
from support.faces import faces_at
from support.geometry import smooth
from support.metrics import psnr

SIZE = 160
# One face whose crop is at (30, 20), 100 pixels wide; one that nobody swaps.
SWAPPED, UNTOUCHED = (0, 30.0, 20.0, 100.0), (1, 20.0, 40.0, 90.0)
OFF = SwapSettings(restore=0, color=0, grain=0, keep=0)


def settings(**influences) -> SwapSettings:
    return SwapSettings(**{"restore": 0, "color": 0, "grain": 0, "keep": 0, **influences})


@pytest.fixture
def originals():
    return smooth(SIZE).expand(2, -1, -1, -1).clone()


@pytest.fixture
def face_mask():
    """(H, W): where the swap put its face, inside the crop of ``SWAPPED``."""
    mask = torch.zeros(SIZE, SIZE)
    mask[50:105, 52:108] = 1
    return mask


@pytest.fixture
def swapped(originals, face_mask):
    """Another face in another light in the first image, in truncated 8 bits."""
    face = smooth(SIZE).roll(4, 2) * torch.tensor([1.0, 0.7, 0.5]).view(3, 1, 1)
    first = originals[0] * (1 - face_mask) + face * face_mask
    return (torch.stack([first, originals[1]]) * 255).floor() / 255


@pytest.fixture
def faces():
    return faces_at(SWAPPED, UNTOUCHED)


def test_with_all_influences_off_the_swap_comes_back_bit_for_bit(
    originals, swapped, faces, random_network
):
    result = blend_swap(
        SwapPairs(originals, swapped),
        faces,
        random_network,
        settings=OFF,
        user_masks=torch.zeros(1, SIZE, SIZE),
    )
    assert torch.equal(result.images, swapped)
    assert not result.masks.any()
    assert len(result.faces) == 1


def test_only_the_swapped_face_is_changed(originals, swapped, faces, random_network):
    before = swapped.clone()
    result = blend_swap(
        SwapPairs(originals, swapped), faces, random_network, settings=settings(restore=1)
    )
    assert torch.equal(swapped, before)
    assert result.faces.image_index.tolist() == [0]
    assert torch.equal(result.images[1], swapped[1])
    outside = (result.masks == 0)[:, None].expand_as(swapped)
    assert torch.equal(result.images[outside], swapped[outside])
    assert (result.images[0] - swapped[0]).abs().max() > 0.1


def test_the_change_stays_within_what_the_swap_touched_and_its_margin(
    originals, swapped, faces, random_network, face_mask
):
    def reach(margin: float) -> float:
        masks = blend_swap(
            SwapPairs(originals, swapped),
            faces,
            random_network,
            settings=settings(restore=1, margin=margin, keep=0),
        ).masks
        return float(masks[0].sum())

    near, far = reach(0.0), reach(0.15)
    touched = float(face_mask.sum())
    assert 0.8 * touched < near < 1.6 * touched
    assert far > near + 2 * 0.15 * 100 * (55 + 56) * 0.5


def test_the_identity_network_gives_the_swap_back(originals, swapped, faces, identity):
    for detail in (0, 0.5, 1):
        chosen = settings(restore=1, detail=detail, keep=1)
        result = blend_swap(SwapPairs(originals, swapped), faces, identity, settings=chosen)
        assert psnr(result.images, swapped) > 110


def test_restore_scales_the_change(originals, swapped, faces, random_network):
    full, half = (
        blend_swap(
            SwapPairs(originals, swapped), faces, random_network, settings=settings(restore=share)
        )
        for share in (1.0, 0.5)
    )
    change, half_change = full.images - swapped, half.images - swapped
    inside = (full.images > 0) & (full.images < 1)  # not cut off
    torch.testing.assert_close(half_change[inside], change[inside] / 2, rtol=0, atol=2e-6)


def test_color_brings_the_face_into_the_light_of_the_original(
    faces, identity, face_mask, astronaut
):
    photo = astronaut[..., 10:170, 150:310]
    face = photo[0].roll(3, 2)
    cast = face * torch.tensor([1.0, 0.8, 0.65]).view(3, 1, 1)
    swap = torch.lerp(photo[0], cast, face_mask)
    result = blend_swap(
        SwapPairs(photo, swap[None]), faces_at(SWAPPED), identity, settings=settings(color=1)
    )
    inside = face_mask * (result.masks[0] > 0.99) > 0

    def distance(image):
        colors = rgb_to_oklab(image[None])[0] - rgb_to_oklab(face[None])[0]
        return float(colors[:, inside].norm(dim=0).mean())

    assert distance(result.images[0]) < 0.4 * distance(swap)


def test_grain_is_that_of_the_original(originals, swapped, faces, identity, face_mask):
    noise = torch.randn(originals.shape, generator=torch.Generator().manual_seed(1)) * 0.03
    noisy = (originals + noise).clamp(0, 1)
    clean_face = swapped * face_mask + noisy * (1 - face_mask)
    result = blend_swap(SwapPairs(noisy, clean_face), faces, identity, settings=settings(grain=1))
    assert measure_noise(clean_face[0], face_mask).sigma < 0.01
    added = result.images[0] - clean_face[0]
    inside = F.avg_pool2d(face_mask[None], 15, 1, 7)[0] == 1
    around = (F.max_pool2d(face_mask[None], 7, 1, 3)[0] == 0) & (result.masks[0] > 0)
    assert float(added[:, inside].std()) == pytest.approx(0.03, rel=0.15)
    assert float(added[:, around].std()) < 0.01  # it has its own


def test_grain_is_put_back_into_the_margin_if_the_network_took_it(
    originals, swapped, faces, identity, face_mask, monkeypatch
):
    noise = torch.randn(originals.shape, generator=torch.Generator().manual_seed(1)) * 0.03
    noisy = (originals + noise).clamp(0, 1)
    clean_face = swapped * face_mask + noisy * (1 - face_mask)
    monkeypatch.setattr(
        "gpen_core.swaps.blend.restore_crops", lambda crops, model: blur(crops, 15, 3.0)
    )
    result = blend_swap(
        SwapPairs(noisy, clean_face),
        faces,
        identity,
        settings=settings(restore=1, detail=0, grain=1, margin=0.15),
    )
    around = (F.max_pool2d(face_mask[None], 3, 1, 1)[0] == 0) & (result.masks[0] > 0.8)
    smooth_there = blur(result.images, 9, 1.5)
    noise_there = (result.images - smooth_there)[0][:, around].std()
    noise_before = (noisy - blur(noisy, 9, 1.5))[0][:, around].std()
    assert float(noise_there) == pytest.approx(float(noise_before), rel=0.15)


def test_outside_the_mask_the_original_shows(originals, swapped, faces, identity, face_mask):
    mask = torch.zeros(1, SIZE, SIZE)
    mask[..., :80] = 1
    result = blend_swap(
        SwapPairs(originals, swapped),
        faces,
        identity,
        settings=settings(restore=1, keep=1),
        user_masks=mask,
    )
    hidden = (face_mask > 0) & (mask[0] == 0)
    torch.testing.assert_close(
        result.images[0][:, hidden], originals[0][:, hidden], rtol=0, atol=1e-5
    )
    shown = (face_mask > 0) & (mask[0] == 1)
    torch.testing.assert_close(result.images[0][:, shown], swapped[0][:, shown], rtol=0, atol=1e-5)
    assert torch.equal(result.images[1], swapped[1])  # nothing was swapped there


def test_half_of_keep_is_half_of_the_original(originals, swapped, faces, identity, face_mask):
    result = blend_swap(
        SwapPairs(originals, swapped),
        faces,
        identity,
        settings=settings(keep=0.5),
        user_masks=torch.zeros(1, SIZE, SIZE),
    )
    inside = face_mask > 0
    middle = (originals[0] + swapped[0]) / 2
    torch.testing.assert_close(result.images[0][:, inside], middle[:, inside], rtol=0, atol=1e-5)


class LeftHalfIsFace(torch.nn.Module):
    """A parser that sees skin on the left of every crop, and hair on the right."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = []
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def activation_bytes(self):
        return 0

    def forward(self, crops):
        self.seen.append(crops)
        parsed = torch.zeros(len(crops), len(REGIONS), PARSING_SIZE, PARSING_SIZE)
        parsed[:, REGIONS.index(FaceRegion.SKIN), :, : PARSING_SIZE // 2] = 1
        parsed[:, REGIONS.index(FaceRegion.HAIR), :, PARSING_SIZE // 2 :] = 1
        return parsed


def test_what_the_parser_sees_as_hair_comes_from_the_original(
    originals, swapped, faces, identity, face_mask
):
    parser = LeftHalfIsFace()
    result = blend_swap(
        SwapPairs(originals, swapped),
        faces,
        identity,
        settings=settings(restore=1, keep=1),
        parser=parser,
    )
    # The crop's middle is at x = 80; its soft edge is 0.08 of 100 pixels wide.
    left, right = face_mask.clone(), face_mask.clone()
    left[:, 75:] = 0
    right[:, :86] = 0
    for area, expected in ((left, swapped), (right, originals)):
        inside = area > 0
        torch.testing.assert_close(
            result.images[0][:, inside], expected[0][:, inside], rtol=0, atol=1e-4
        )
    (crops,) = parser.seen  # of the swapped face alone, as it was before the swap
    middle = F.interpolate(originals[:1, :, 20:120, 30:130], (512, 512), mode="bilinear")
    torch.testing.assert_close(crops, middle, rtol=0, atol=0.02)


def test_the_parser_is_not_asked_if_nothing_is_kept(originals, swapped, faces, identity):
    parser = LeftHalfIsFace()
    blend_swap(
        SwapPairs(originals, swapped), faces, identity, settings=settings(color=1), parser=parser
    )
    assert not parser.seen


def test_originals_of_another_size_are_brought_to_that_of_the_swap(
    originals, swapped, faces, identity
):
    large = F.interpolate(originals, scale_factor=2, mode="bicubic")
    result = blend_swap(SwapPairs(large, swapped), faces, identity, settings=SwapSettings(grain=0))
    assert len(result.faces) == 1
    assert result.images.shape == swapped.shape


def test_frames_say_which_original_is_whose(originals, swapped, faces, identity):
    three = torch.stack([1 - originals[0], originals[0], originals[1]])
    result = blend_swap(SwapPairs(three, swapped, [1, 2]), faces, identity, settings=OFF)
    assert result.faces.image_index.tolist() == [0]
    with pytest.raises(TensorSpecError, match="originals: expected one for each of 2"):
        blend_swap(SwapPairs(three, swapped), faces, identity, settings=OFF)


def test_alpha_of_the_swap_stays_and_that_of_the_original_is_ignored(
    originals, swapped, faces, random_network
):
    alpha = torch.rand(2, 1, SIZE, SIZE)
    result = blend_swap(
        SwapPairs(torch.cat([originals, 1 - alpha], 1), torch.cat([swapped, alpha], 1)),
        faces,
        random_network,
    )
    assert torch.equal(result.images[:, 3:], alpha)
    plain = blend_swap(SwapPairs(originals, swapped), faces, random_network)
    assert torch.equal(result.images[:, :3], plain.images)


def test_crops_are_those_of_the_swapped_faces(originals, swapped, random_network):
    faces = faces_at(UNTOUCHED, SWAPPED)
    result = blend_swap(
        SwapPairs(originals, swapped), faces, random_network, run=RunOptions(keep_crops=True)
    )
    assert result.crops.shape == result.blended_crops.shape == (1, 3, 256, 256)
    assert not torch.equal(result.crops, result.blended_crops)


def test_batches_do_not_change_the_result(originals, swapped, random_network):
    both = torch.stack([swapped[0], swapped[0]])
    faces = faces_at(SWAPPED, (1, *SWAPPED[1:]))
    one, two = (
        blend_swap(
            SwapPairs(originals, both), faces, random_network, run=RunOptions(max_batch=n)
        ).images
        for n in (1, 2)
    )
    torch.testing.assert_close(one, two, rtol=0, atol=1e-4)


def test_no_faces_leave_the_swap_as_it_is(originals, swapped, random_network):
    result = blend_swap(
        SwapPairs(originals, swapped),
        Faces.empty(),
        random_network,
        run=RunOptions(keep_crops=True),
    )
    assert torch.equal(result.images, swapped)
    assert len(result.crops) == 0


def test_progress_and_interruption(originals, swapped, faces, random_network):
    seen = []
    monitor = Monitor(on_progress=lambda *done: seen.append(done))
    blend_swap(
        SwapPairs(originals, swapped), faces, random_network, run=RunOptions(monitor=monitor)
    )
    assert seen == [(1, 1)]

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        blend_swap(
            SwapPairs(originals, swapped),
            faces,
            random_network,
            run=RunOptions(monitor=Monitor(check_interrupt=stop)),
        )


@pytest.mark.parametrize("field", ["restore", "detail", "color", "grain", "keep", "margin"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_settings_out_of_range_are_refused(field, value):
    with pytest.raises(SettingError, match=field):
        SwapSettings(**{field: value})
