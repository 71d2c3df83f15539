import numpy as np
import pytest
import skimage.color
import skimage.data
import torch
from torch.nn import functional as F

from gpen_core.blending import color_match
from gpen_core.blending.color_match import match_color, rgb_to_oklab
from gpen_core.errors import TensorSpecError
from gpen_core.images import srgb
from support.geometry import noise

# Ottosson's own matrix from XYZ (D65), another way to the same cone responses.
XYZ_TO_LMS = [
    [0.8189330101, 0.3618667424, -0.1288597137],
    [0.0329845436, 0.9293118715, 0.0361456387],
    [0.0482003018, 0.2643662691, 0.6338517070],
]
LMS_TO_LAB = [
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
]
# One column each: what the restoration does wrong, as gains of linear light.
GAINS = {"warm": (1.0, 0.8, 0.6), "cool": (0.7, 0.85, 1.0), "dark": (0.6, 0.6, 0.6)}


def to_numpy(crops):
    return crops[0].movedim(0, -1).double().numpy()


def difference(a, b):
    """Mean CIEDE2000."""
    labs = [skimage.color.rgb2lab(to_numpy(x)) for x in (a, b)]
    return float(skimage.color.deltaE_ciede2000(*labs).mean())


def gained(crops, gains):
    linear = torch.where(crops <= 0.04045, crops / 12.92, ((crops + 0.055) / 1.055) ** 2.4)
    linear = linear * torch.tensor(gains)[:, None, None]
    bent = 1.055 * linear.clamp_min(1e-9) ** (1 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, linear * 12.92, bent)


def oklab_to_rgb(colors):
    """As a color map ends."""
    return color_match._roots_to_rgb(srgb.mix_channels(color_match._LAB_TO_ROOTS, colors))


def shifted(crops, gain, offset):
    """Affine in Oklab."""
    return oklab_to_rgb(rgb_to_oklab(crops) * gain + torch.tensor(offset)[:, None, None])


def grey(crops):
    return crops.mean(dim=1, keepdim=True).expand_as(crops).contiguous()


def chroma(crops):
    return float((crops.amax(dim=1) - crops.amin(dim=1)).max())


@pytest.fixture(scope="module")
def face(astronaut):
    crop = astronaut[..., 30:190, 145:305]
    return F.interpolate(crop, size=(256, 256), mode="bicubic", antialias=True).clamp(0, 1)


def test_oklab_agrees_with_xyz_of_skimage():
    colors = noise(64)[None]
    lms = skimage.color.rgb2xyz(to_numpy(colors)) @ np.array(XYZ_TO_LMS).T
    expected = np.cbrt(lms) @ np.array(LMS_TO_LAB).T
    np.testing.assert_allclose(to_numpy(rgb_to_oklab(colors)), expected, atol=5e-4)
    torch.testing.assert_close(oklab_to_rgb(rgb_to_oklab(colors)), colors, rtol=0, atol=2e-5)


def test_oklab_goes_to_black_and_white_and_back():
    colors = torch.linspace(0, 1, 1001).expand(3, 1, 1001)
    lab = rgb_to_oklab(colors)
    torch.testing.assert_close(oklab_to_rgb(lab), colors, rtol=0, atol=1e-5)
    assert lab[1:].abs().max() < 1e-6
    assert float(lab[0, 0, -1]) == pytest.approx(1, abs=1e-6)
    assert float(lab[0, 0, 0]) == pytest.approx(0, abs=2e-3)  # 8e-9 of white's light


def test_black_is_a_colour_however_a_device_rounds_powers(monkeypatch):
    power = srgb.power_
    for module in (srgb, color_match):
        monkeypatch.setattr(module, "power_", lambda x, p: power(x, p) * (1 - 1e-5))
    assert rgb_to_oklab(torch.zeros(3, 1, 1)).isfinite().all()


@pytest.mark.parametrize("name", GAINS)
def test_another_light_is_taken_back(face, name):
    cast = gained(face, GAINS[name])
    assert difference(match_color(cast, face, None, 1.0), face) < 0.05 * difference(cast, face)


@pytest.mark.parametrize(
    ("gain", "offset", "left"), [(1.0, (0.0, 0.02, 0.03), 0.15), (0.7, (0.18, 0.0, 0.0), 0.01)]
)
def test_a_shift_or_a_loss_of_contrast_is_taken_back(face, gain, offset, left):
    cast = shifted(face, gain, offset)
    assert difference(match_color(cast, face, None, 1.0), face) < left * difference(cast, face)


def test_colours_that_were_right_stay(face):
    torch.testing.assert_close(match_color(face, face, None, 1.0), face, rtol=0, atol=1e-4)


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("where", ["scattered", "together"])
@pytest.mark.parametrize("spoilt", ["restored", "reference"])
def test_a_twentieth_of_other_pixels_changes_little(face, value, where, spoilt):
    other = torch.rand(256, 256, generator=torch.Generator().manual_seed(0)) < 0.05
    if where == "together":
        other[:] = False
        other[100:157, 100:157] = True
    pair = {"restored": gained(face, GAINS["warm"]), "reference": face.clone()}
    expected = match_color(pair["restored"], pair["reference"], None, 1.0)
    pair[spoilt] = torch.where(other, value, pair[spoilt])
    result = match_color(pair["restored"], pair["reference"], None, 1.0)
    assert (result - expected)[..., ~other].abs().max() < 0.004  # one 8-bit step


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("name", [*GAINS, "haze"])
def test_a_third_that_shows_something_else_is_left_out(face, name, value):
    cast = shifted(face, 0.7, [0.12, 0.01, 0.02]) if name == "haze" else gained(face, GAINS[name])
    covered = torch.zeros(256, 256, dtype=torch.bool)
    covered[20:160, 20:160] = True
    matched = match_color(cast, torch.where(covered, value, face), None, 1.0)
    left, before = ((x - face)[..., ~covered].abs().mean() for x in (matched, cast))
    assert left < 0.05 * before


def test_detail_that_only_the_restoration_has_keeps_its_contrast(face):
    coarse = F.interpolate(F.avg_pool2d(face, 4), size=(256, 256), mode="bicubic").clamp(0, 1)
    assert difference(match_color(face, coarse, None, 1.0), face) < 0.07


def test_noise_of_the_reference_is_not_taken_for_colour(face):
    noisy = grey(face) + 0.05 * (noise(256)[None] - 0.5)
    result = match_color(grey(face), noisy.clamp(0, 1), None, 1.0)
    assert chroma(result) < 0.02


def test_a_grey_pair_stays_grey(face):
    result = match_color(gained(grey(face), GAINS["dark"]), grey(face), None, 1.0)
    assert chroma(result) < 1e-5
    assert difference(result, grey(face)) < 0.05


def test_a_tinted_restoration_of_a_grey_picture_turns_grey(face):
    assert chroma(match_color(gained(face, GAINS["warm"]), grey(face), None, 1.0)) < 0.005


def test_faint_noise_of_a_grey_restoration_is_not_blown_up(face):
    faint = (grey(face) + 0.01 * (noise(256)[None] - 0.5)).clamp(0, 1)
    result = match_color(faint, face, None, 1.0)
    lab, flat = rgb_to_oklab(result), rgb_to_oklab(match_color(grey(face), face, None, 1.0))
    before = (rgb_to_oklab(faint) - rgb_to_oklab(grey(face)))[:, 1:].std()
    assert (lab - flat)[:, 1:].std() < 3.1 * before


@pytest.mark.parametrize("values", [(0.0, 0.5), (0.5, 0.0), (1.0, 0.3), (0.0, 0.0)])
def test_single_colours_are_matched_without_a_spread(values):
    restored, reference = (torch.full((1, 3, 32, 32), value) for value in values)
    torch.testing.assert_close(
        match_color(restored, reference, None, 1.0), reference, rtol=0, atol=1e-4
    )


def test_a_spread_that_cannot_be_seen_is_not_matched():
    faint = 0.5 + 1e-5 * noise(32)[None]
    result = match_color(faint, torch.full_like(faint, 0.3), None, 1.0)
    assert result.std() > 0.5 * faint.std()


def test_only_pixels_under_the_mask_are_looked_at(face):
    cast = gained(face, GAINS["cool"])
    mask = torch.zeros(1, 256, 256)
    mask[:, 40:200, 60:220] = 1
    spoilt = torch.where(mask[:, None] > 0, cast, 1 - face)
    result = match_color(spoilt, face, mask, 1.0)
    inside = (mask[0] > 0).nonzero()
    rows, columns = inside[:, 0], inside[:, 1]
    error = (result - face)[..., rows, columns].abs().mean()
    assert error < 0.05 * (cast - face)[..., rows, columns].abs().mean()
    nothing = match_color(cast, face, torch.zeros(1, 256, 256), 1.0)
    torch.testing.assert_close(nothing, cast, rtol=0, atol=1e-5)


def test_strength_goes_straight_in_oklab_and_is_off_at_zero(face):
    face = 0.2 + 0.6 * face  # so that nothing leaves sRGB
    cast = shifted(face, 0.9, (0.0, 0.02, 0.02))
    assert match_color(cast, face, None, 0.0) is cast
    ends = [rgb_to_oklab(x) for x in (cast, match_color(cast, face, None, 1.0))]
    half = rgb_to_oklab(match_color(cast, face, None, 0.5))
    torch.testing.assert_close(half, (ends[0] + ends[1]) / 2, rtol=0, atol=1e-4)


def test_each_face_of_a_batch_is_handled_alone(face):
    restored = torch.cat([gained(face, gains) for gains in GAINS.values()])
    reference = torch.cat([face, face.flip(-1), grey(face)])
    masks = noise(256)
    together = match_color(restored, reference, masks, 0.8)
    for i in range(3):
        one = slice(i, i + 1)
        alone = match_color(restored[one], reference[one], masks[one], 0.8)
        torch.testing.assert_close(together[one], alone, rtol=0, atol=1e-4)
    assert match_color(restored[:0], reference[:0], masks[:0], 1.0).shape == (0, 3, 256, 256)


def test_pictures_of_other_things_give_finite_colours():
    result = match_color(noise(64)[None], noise(64, 1)[None] ** 8, None, 1.0)
    assert bool(result.isfinite().all())
    assert result.min() >= 0
    assert result.max() <= 1


def test_shapes_that_do_not_fit_are_refused():
    crops = torch.zeros(1, 3, 8, 8)
    with pytest.raises(TensorSpecError, match="expected restored and reference"):
        match_color(crops, crops[:, :2], None, 1.0)
    with pytest.raises(TensorSpecError, match=r"masks: expected \(1, 8, 8\)"):
        match_color(crops, crops, torch.zeros(8, 8), 1.0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_another_face_in_the_same_place_is_matched_as_a_whole(seed):
    """Most pixels are black in any light; the few of the face must not be taken for outliers."""
    cells = torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(seed))
    face = F.interpolate(cells, (96, 96), mode="bicubic").clamp(0, 1) * 0.4 + 0.5
    reference = torch.zeros(1, 3, 96, 96)
    reference[..., 30:66, 30:66] = face[..., 30:66, 30:66]
    truth = reference.flip(3)
    darker = truth * 0.6
    matched = match_color(darker, reference, None, 1.0, same_face=False)
    assert (matched - truth).abs().mean() < 0.1 * (darker - truth).abs().mean()


@pytest.mark.parametrize("size", [64, 300, 512])
def test_a_mask_of_the_sampled_pixels_alone_gives_the_same(size):
    generator = torch.Generator().manual_seed(0)
    restored, reference = torch.rand(2, 1, 3, size, size, generator=generator)
    masks = torch.rand(1, size, size, generator=generator)
    stride = color_match.sample_stride(size)
    sampled = masks[:, ::stride, ::stride]
    whole = color_match.match_color(restored, reference, masks, 1.0)
    assert torch.equal(color_match.match_color(restored, reference, sampled, 1.0), whole)


def test_a_map_fitted_to_crops_gives_any_pixels_the_same_colors(face):
    cast = gained(face, GAINS["warm"])
    (color_map,) = color_match.fit_color_maps(cast, face, None, 0.8)
    matched = match_color(cast, face, None, 0.8)
    part = cast[0, :, 20:120, 7:40].clone()
    color_map.apply(part, out=part)
    torch.testing.assert_close(part, matched[0, :, 20:120, 7:40], rtol=0, atol=1e-6)
