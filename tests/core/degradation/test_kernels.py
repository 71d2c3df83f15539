"""Kernels against closed forms, and the convolution against SciPy's."""

import math

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpen_core.degradation.blur import convolve
from gpen_core.degradation.kernels import (
    gaussian_kernel,
    identity_kernel,
    motion_kernel,
    plateau_kernel,
    sinc_kernel,
)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.7])
def test_a_gaussian_kernel_is_scipys(sigma):
    radius = math.ceil(4 * sigma)
    impulse = np.zeros((2 * radius + 1, 2 * radius + 1))
    impulse[radius, radius] = 1
    expected = scipy.ndimage.gaussian_filter(impulse, sigma, radius=radius, mode="constant")
    np.testing.assert_allclose(gaussian_kernel((sigma, sigma), 0.0, radius), expected, atol=1e-12)


def test_an_anisotropic_kernel_has_the_covariance_of_its_turned_axes():
    sigmas, angle, radius = (3.0, 1.5), math.radians(30), 20
    kernel = gaussian_kernel(sigmas, angle, radius)
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    expected = turn @ np.diag(np.square(sigmas)) @ turn.T
    measured = [[(kernel * a * b).sum() for b in (x, y)] for a in (x, y)]
    np.testing.assert_allclose(measured, expected, rtol=1e-6)


@pytest.mark.parametrize("beta", [0.5, 1.0, 3.0])
@pytest.mark.parametrize(
    ("make", "at_one_sigma"), [(gaussian_kernel, math.exp(-0.5)), (plateau_kernel, 0.5)]
)
def test_kernels_of_all_shapes_fall_alike_at_one_sigma(make, at_one_sigma, beta):
    kernel = make((4.0, 4.0), 0.0, 9, beta)
    assert kernel[9, 9 + 4] / kernel[9, 9] == pytest.approx(at_one_sigma)
    nearer = make((4.0, 4.0), 0.0, 9, 2 * beta)
    assert nearer[9, 9 + 2] / nearer[9, 9] > kernel[9, 9 + 2] / kernel[9, 9]


def test_a_sinc_kernel_passes_what_is_below_its_cutoff_and_stops_what_is_above():
    radius = 60
    kernel = sinc_kernel(math.pi / 2, radius)
    response = np.abs(np.fft.fft2(kernel))
    frequency = 2 * math.pi * np.fft.fftfreq(2 * radius + 1)
    distance = np.hypot(frequency[:, None], frequency[None])
    assert np.abs(response[distance < 0.8 * math.pi / 2] - 1).max() < 0.1
    assert response[distance > 1.2 * math.pi / 2].max() < 0.1


def test_a_motion_along_an_axis_is_an_average_of_that_many_pixels():
    across = motion_kernel(5, 0.0)
    np.testing.assert_allclose(across[3], [0, 0.2, 0.2, 0.2, 0.2, 0.2, 0], atol=1e-12)
    assert across.sum() == pytest.approx(1)
    np.testing.assert_allclose(motion_kernel(5, math.pi / 2), across.T, atol=0.01)
    np.testing.assert_array_equal(motion_kernel(1, 1.0), identity_kernel(1))


@given(length=st.floats(1, 40), angle=st.floats(-4, 4))
def test_a_motion_has_the_spread_and_direction_of_its_line(length, angle):
    kernel = motion_kernel(length, angle)
    radius = len(kernel) // 2
    offsets = np.arange(-radius, radius + 1)
    along = offsets[None] * math.cos(angle) + offsets[:, None] * math.sin(angle)
    across = offsets[:, None] * math.cos(angle) - offsets[None] * math.sin(angle)
    assert kernel.sum() == pytest.approx(1)
    assert abs((kernel * along).sum()) < 0.06
    # A pixel's centre is less than 0.71 from what lies in it.
    spread = math.sqrt((kernel * along**2).sum())
    assert spread == pytest.approx(length / math.sqrt(12), abs=0.71)
    assert math.sqrt((kernel * across**2).sum()) < 0.71


@given(
    size=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    radius=st.integers(1, 9),
    seed=st.integers(0, 9),
)
def test_convolving_is_what_scipy_does_with_mirrored_borders(size, radius, seed):
    random = np.random.default_rng(seed)
    pixels = random.random((3, *size), dtype=np.float32)
    kernel = random.random((2 * radius + 1, 2 * radius + 1)) - 0.3
    kernel /= np.abs(kernel).sum()
    expected = [scipy.ndimage.convolve(plane, kernel, mode="mirror") for plane in pixels]
    actual = convolve(torch.from_numpy(pixels), kernel).numpy()
    np.testing.assert_allclose(actual, expected, atol=2e-6)
