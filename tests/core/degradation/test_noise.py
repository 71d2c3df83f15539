"""Noise: its sizes and shares on the average."""

import math

import pytest
import scipy.stats
import torch

from gpen_core.degradation.noise import Noise, NoiseKind, poisson_noise
from support.stages import apply, even, picture


@pytest.mark.parametrize("is_grey", [False, True])
def test_gaussian_noise_has_its_sigma_and_grey_noise_equal_channels(is_grey):
    noise = apply(Noise(NoiseKind.GAUSSIAN, 10 / 255, is_grey), even(0.5)) - 0.5
    assert noise.std() * 255 == pytest.approx(10, rel=0.02)
    assert abs(noise.mean()) * 255 < 0.15
    correlation = torch.corrcoef(noise.flatten(1))[0, 1]
    assert correlation == pytest.approx(1.0 if is_grey else 0.0, abs=0.02)


def test_chroma_is_a_factor_of_the_colour_in_noise_and_not_of_its_luma():
    weights = torch.tensor([0.299, 0.587, 0.114])
    plain, colorful = (
        apply(Noise(NoiseKind.GAUSSIAN, 10 / 255, chroma=chroma), even(0.5)) - 0.5
        for chroma in (1.0, 1.5)
    )
    lumas = [torch.einsum("c,chw->hw", weights, noise) for noise in (plain, colorful)]
    torch.testing.assert_close(lumas[0], lumas[1], atol=1e-6, rtol=0)
    torch.testing.assert_close(colorful - lumas[1], 1.5 * (plain - lumas[0]), atol=1e-6, rtol=0)


def test_grains_have_the_sigma_of_noise_and_the_size_asked_for():
    noise = apply(Noise(NoiseKind.GAUSSIAN, 10 / 255, grain_px=1.5), even(0.5, 400, 400)) - 0.5
    assert noise.std() * 255 == pytest.approx(10, rel=0.03)
    neighbours = torch.corrcoef(
        torch.stack([noise[:, :, 3:].flatten(), noise[:, :, :-3].flatten()])
    )
    assert neighbours[0, 1] == pytest.approx(math.exp(-(3**2) / (4 * 1.5**2)), abs=0.03)


def test_speckle_is_in_proportion_to_the_picture():
    for value in (0.2, 0.4):
        noise = apply(Noise(NoiseKind.SPECKLE, 20 / 255), even(value)) - value
        assert noise.std() * 255 == pytest.approx(20 * value, rel=0.02)


@pytest.mark.parametrize("is_grey", [False, True])
def test_salt_and_pepper_fall_on_their_shares(is_grey):
    noisy = apply(Noise(NoiseKind.SALT_AND_PEPPER, 0.1, is_grey, salt=0.3), even(0.5))
    assert (noisy == 1).float().mean() == pytest.approx(0.03, abs=0.003)
    assert (noisy == 0).float().mean() == pytest.approx(0.07, abs=0.004)
    assert ((noisy == 0.5) | (noisy == 0) | (noisy == 1)).all()
    assert torch.equal(noisy[0], noisy[1]) == is_grey


def test_poisson_noise_is_the_quantile_of_each_value():
    random = torch.Generator().manual_seed(0)
    pixels = torch.rand(3, 40, 50, generator=random)
    uniform = torch.rand(3, 40, 50, generator=random)
    rounded = (pixels * 255).round() / 255
    assert len(rounded.unique()) > 128  # so 256 counts
    counts = scipy.stats.poisson.ppf(uniform.double().numpy(), rounded.double().numpy() * 256)
    expected = torch.from_numpy(counts / 256).float() - rounded
    torch.testing.assert_close(poisson_noise(pixels, uniform), expected, atol=1e-6, rtol=0)


def test_the_lowest_quantile_of_poisson_noise_is_no_negative_count():
    pixels = picture()
    counts = poisson_noise(pixels, torch.zeros_like(pixels)) + (pixels * 255).round() / 255
    assert counts.min() >= 0
    assert (counts < pixels).all()


def test_poisson_noise_grows_with_the_light_and_with_its_factor():
    ramp = torch.linspace(0.1, 0.5, 256).view(1, 256, 1).expand(3, 256, 400).contiguous()
    rounded = (ramp * 255).round() / 255
    n_counts = 2 ** math.ceil(math.log2(len(rounded.unique())))
    noise = apply(Noise(NoiseKind.POISSON, 0.5), ramp) - ramp
    for rows in (slice(0, 8), slice(248, 256)):
        expected = 0.5 * math.sqrt(float(rounded[:, rows].mean()) / n_counts)
        assert noise[:, rows].std() == pytest.approx(expected, rel=0.05)
    assert abs(noise.mean()) < 1e-3


def test_grey_poisson_noise_is_added_to_all_channels_alike():
    ramp = picture(100, 100) * 0.5 + 0.2
    noise = apply(Noise(NoiseKind.POISSON, 0.5, is_grey=True), ramp) - ramp
    torch.testing.assert_close(noise[0], noise[2], atol=1e-6, rtol=0)
    assert noise[0].std() > 0.005
