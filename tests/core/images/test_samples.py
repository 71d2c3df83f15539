"""Samples of picture files to pixels and back."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpen_core.errors import TensorSpecError
from gpen_core.images.samples import to_pixels, to_samples


@given(
    st.sampled_from([np.uint8, np.uint16, np.float32]), st.sampled_from([3, 4]), st.integers(0, 99)
)
def test_samples_come_back_bit_for_bit(dtype, n_channels, seed):
    draw = np.random.default_rng(seed).random((3, 5, n_channels), dtype=np.float32)
    samples = draw if dtype is np.float32 else (draw * np.iinfo(dtype).max).astype(dtype)
    pixels = to_pixels(samples)
    assert pixels.shape == (1, n_channels, 3, 5)
    np.testing.assert_array_equal(to_samples(pixels, dtype), samples)


@pytest.mark.parametrize("n_channels", [1, 2])
def test_grey_is_in_all_three_channels_and_comes_back_as_luma(n_channels):
    samples = np.arange(2 * 3 * n_channels, dtype=np.uint8).reshape(2, 3, n_channels)
    pixels = to_pixels(samples)
    assert pixels.shape == (1, n_channels + 2, 2, 3)
    assert torch.equal(pixels[:, 0], pixels[:, 2])
    np.testing.assert_array_equal(to_samples(pixels, np.uint8, is_grey=True), samples)


def test_the_ends_of_the_range_are_0_and_1():
    assert to_pixels(np.full((1, 1, 3), 65535, np.uint16)).unique().tolist() == [1.0]
    loud = torch.tensor([-0.5, 0.5, 1.5]).view(1, 3, 1, 1)
    assert to_samples(loud, np.uint8).flatten().tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((4, 4), np.uint8), r"got \(4, 4\)"),
        (np.zeros((3, 4, 5), np.uint8), "Put the channels last"),
        (np.zeros((0, 4, 3), np.uint8), r"got \(0, 4, 3\)"),
        (np.zeros((4, 4, 3), np.int32), "got int32"),
    ],
)
def test_other_samples_are_refused(samples, message):
    with pytest.raises(TensorSpecError, match=f"image: expected .*{message}"):
        to_pixels(samples)
