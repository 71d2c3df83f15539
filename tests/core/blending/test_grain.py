import numpy as np
import pytest
import skimage.data
import skimage.restoration
import torch
from scipy.ndimage import gaussian_filter
from torch.nn import functional as F

from gpen_core.blending.grain import add_grain, measure_noise, surrounding_noise
from gpen_core.blending.masks import box_mask
from gpen_core.errors import TensorSpecError

SIZE = 224
KINDS = ["white", "grey", "coloured", "blurred", "blurred grey"]


def match_grain(pasted, original, mask, strength, seed):
    return add_grain(pasted, mask, surrounding_noise(original, mask), strength, seed)


def make_noise(kind, sigma, seed=0):
    """(3, SIZE, SIZE) of this standard deviation, root mean square over the channels."""
    values = np.random.default_rng(seed).standard_normal((3, SIZE, SIZE))
    if "grey" in kind:
        values[:] = values[0]
    if kind == "coloured":
        values *= np.array([1.5, 0.5, 1.0])[:, None, None]
    if "blurred" in kind:
        values = gaussian_filter(values, (0, 0.7, 0.7), mode="wrap")
    return torch.from_numpy(values / np.sqrt((values**2).mean()) * sigma).float()


def ramp():
    return torch.linspace(0.4, 0.6, SIZE).expand(3, SIZE, SIZE)


def photo():
    """The astronaut's face, as large as half the region, without its own grain."""
    pixels = skimage.data.astronaut().astype(np.float32)[20:188, 130:298] / 255
    clean = torch.from_numpy(gaussian_filter(pixels, (1.5, 1.5, 0))).movedim(-1, 0)[None]
    clean = F.interpolate(clean, size=(SIZE, SIZE), mode="bicubic", antialias=True)[0]
    return clean.clamp(0, 1) * 0.4 + 0.3


def face_mask(padding=0.02):
    y, x = torch.meshgrid(*[(torch.arange(SIZE) + 0.5) / SIZE] * 2, indexing="ij")
    return box_mask(torch.stack([x, y], dim=-1), padding, 0.12)


def level(values, where):
    return float(values[:, where].square().mean().sqrt())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sigma", [0.01, 0.08])
def test_known_noise_is_measured(kind, sigma):
    noise = make_noise(kind, sigma)
    measured = measure_noise(ramp() + noise, torch.ones(SIZE, SIZE))
    assert measured.sigma == pytest.approx(sigma, rel=0.1)
    assert measured.blur_px == pytest.approx(0.7 if "blurred" in kind else 0, abs=0.35)
    expected = torch.cov(noise.flatten(1).double())
    torch.testing.assert_close(measured.covariance, expected, rtol=0.2, atol=0.15 * sigma**2)


def test_the_measure_agrees_with_that_of_skimage():
    pytest.importorskip("pywt")
    picture = photo() + make_noise("white", 0.03)
    expected = skimage.restoration.estimate_sigma(
        picture.numpy(), channel_axis=0, average_sigmas=True
    )
    measured = measure_noise(picture, torch.ones(SIZE, SIZE))
    assert measured.sigma == pytest.approx(expected, rel=0.1)


def test_edges_and_clipped_places_do_not_count():
    noise = make_noise("white", 0.04)
    picture = ramp() + noise
    picture[:, :, 100:140:8] += 0.4
    picture[:, :80] = (noise[:, :80] - 0.02).clamp_min(0)
    measured = measure_noise(picture.clamp(0, 1), torch.ones(SIZE, SIZE))
    assert measured.sigma == pytest.approx(0.04, rel=0.1)


def test_texture_beside_flat_places_does_not_count():
    picture = ramp() + make_noise("white", 0.02)
    texture = gaussian_filter(make_noise("grey", 1.0, 1).numpy(), (0, 1.0, 1.0)) * 0.8
    picture[:, 40:] += torch.from_numpy(texture)[:, 40:]
    measured = measure_noise(picture, torch.ones(SIZE, SIZE))
    assert measured.sigma == pytest.approx(0.02, rel=0.15)


def test_only_weighty_pixels_are_measured():
    weights = torch.zeros(SIZE, SIZE)
    weights[:, SIZE // 2 :] = 0.5
    picture = ramp() + make_noise("white", 0.05) * weights * 2
    assert measure_noise(picture, weights).sigma == pytest.approx(0.05, rel=0.1)
    assert measure_noise(picture, 0.5 - weights).sigma < 0.001
    assert measure_noise(picture, torch.zeros(SIZE, SIZE)).sigma == 0


@pytest.mark.parametrize("picture", [ramp, photo])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sigma", [0.01, 0.03, 0.08])
def test_a_clean_face_gets_the_noise_around_it(picture, kind, sigma):
    clean, noise, mask = picture(), make_noise(kind, sigma), face_mask()
    original = clean + noise
    pasted = mask * clean + (1 - mask) * original
    result = match_grain(pasted, original, mask, 1.0, 5)
    for where in (mask == 1, (mask > 0.3) & (mask < 0.7)):
        assert level(result - clean, where) == pytest.approx(level(noise, where), rel=0.15)
    if kind == "coloured":
        per_channel = (result - clean)[:, mask == 1].std(dim=1)
        torch.testing.assert_close(per_channel, noise.flatten(1).std(dim=1), rtol=0.15, atol=2e-3)
    steps = [
        (x[:, 1:] - x[:, :-1])[:, mask[1:] == 1].std() / x[:, mask == 1].std()
        for x in (result - clean, noise)
    ]
    assert steps[0] == pytest.approx(float(steps[1]), rel=0.15)  # as fine as around


def test_grey_noise_stays_grey():
    original = ramp() + make_noise("blurred grey", 0.05)
    result = match_grain(ramp(), original, face_mask(), 1.0, 0)
    assert level(result - ramp(), face_mask() == 1) > 0.03
    assert float((result.amax(dim=0) - result.amin(dim=0)).max()) < 1e-5


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_what_noise_the_face_still_has_is_counted(kept):
    noise, mask = make_noise("white", 0.04), face_mask()
    pasted = ramp() + noise * (1 - mask * (1 - kept))
    result = match_grain(pasted, ramp() + noise, mask, 1.0, 5)
    for where in (mask == 1, (mask > 0.3) & (mask < 0.7)):
        assert level(result - ramp(), where) == pytest.approx(0.04, rel=0.1)


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_nothing_is_removed_or_added_where_nothing_lacks(factor):
    noise, mask = make_noise("white", 0.03), face_mask()
    pasted = ramp() + noise * (1 + mask * (factor - 1))
    result = match_grain(pasted, ramp() + noise, mask, 1.0, 5)
    assert level(result - pasted, mask == 1) < 0.009  # a twentieth of the variance


def test_a_channel_with_too_much_noise_does_not_stand_in_for_another():
    noise, mask = make_noise("white", 0.03), face_mask()
    pasted = ramp() + noise * torch.tensor([2.0, 2.0, 0.0])[:, None, None]
    added = match_grain(pasted, ramp() + noise, mask, 1.0, 5) - pasted
    assert level(added[:2], mask == 1) < 0.009
    assert level(added[2:], mask == 1) == pytest.approx(0.03, rel=0.15)


@pytest.mark.parametrize("picture", [ramp, photo])
def test_a_picture_without_noise_gets_none(picture):
    result = match_grain(torch.full((3, SIZE, SIZE), 0.5), picture(), face_mask(), 1.0, 5)
    assert level(result - 0.5, face_mask() == 1) < 0.001


def test_without_surroundings_the_original_face_is_the_model():
    noise, mask = make_noise("white", 0.04), torch.ones(SIZE, SIZE)
    result = match_grain(ramp(), ramp() + noise, mask, 1.0, 5)
    assert level(result - ramp(), mask == 1) == pytest.approx(0.04, rel=0.1)


def test_the_surroundings_count_and_not_the_face_that_was_there():
    noise, mask = make_noise("white", 0.04), face_mask()
    original = ramp() + noise * (mask <= 0.02)  # a face that was swapped in
    result = match_grain(ramp(), original, mask, 1.0, 5)
    assert level(result - ramp(), mask == 1) == pytest.approx(0.04, rel=0.15)


def test_noise_has_no_mean_and_strength_scales_it():
    noise, mask = make_noise("white", 0.04), face_mask()
    added = [match_grain(ramp(), ramp() + noise, mask, s, 5) - ramp() for s in (1.0, 0.5)]
    assert abs(float(added[0][:, mask == 1].mean())) < 0.04 * 4 / SIZE
    torch.testing.assert_close(added[1], added[0] / 2, rtol=0, atol=1e-6)


def test_a_seed_gives_one_noise():
    original, mask = ramp() + make_noise("white", 0.04), face_mask()
    first, again, other = (match_grain(ramp(), original, mask, 1.0, seed) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_outside_the_mask_and_at_zero_strength_every_bit_is_kept():
    original, mask = ramp() * 3 + make_noise("white", 0.04), face_mask(0.1)
    pasted = original.clone()
    result = match_grain(pasted, ramp() + make_noise("white", 0.04), mask, 1.0, 5)
    assert torch.equal(result[:, mask == 0], original[:, mask == 0])
    assert result[:, mask > 0].max() <= 1
    clean = ramp().clone()
    assert match_grain(clean, original / 3, mask, 0.0, 5) is clean
    assert match_grain(clean, original / 3, torch.zeros_like(mask), 1.0, 5) is clean


@pytest.mark.parametrize("size", [(1, 1), (3, 9), (5, 6)])
def test_a_few_pixels_are_no_failure(size):
    pixels = torch.rand(3, *size)
    result = match_grain(pixels, pixels.flip(-1), torch.ones(size), 1.0, 0)
    assert bool(result.isfinite().all())


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(TensorSpecError, match=r"pixels: expected \(3, h, w\)"):
        measure_noise(torch.zeros(3, 8, 8), torch.zeros(9, 8))
    with pytest.raises(TensorSpecError, match="Cut both from the same region"):
        match_grain(torch.zeros(3, 8, 8), torch.zeros(3, 9, 8), torch.zeros(8, 8), 1.0, 0)
