"""sRGB against its definition."""

import pytest
import torch

from gpen_core.images.srgb import LUMA, from_linear_, luma, mix_channels, to_linear
from support.geometry import noise


def by_definition(value: float) -> float:
    """IEC 61966-2-1."""
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def test_to_linear_is_the_definition():
    values = torch.linspace(0, 1, 1001)
    expected = torch.tensor([by_definition(v) for v in values.double().tolist()])
    torch.testing.assert_close(to_linear(values), expected, rtol=0, atol=1e-6)
    assert 0 <= to_linear(values)[0] < 1e-8


def test_from_linear_is_the_inverse_and_cuts_off():
    values = torch.linspace(0, 1, 1001)
    torch.testing.assert_close(from_linear_(to_linear(values)), values, rtol=0, atol=2e-6)
    assert from_linear_(torch.tensor([-1.0, 2.0])).tolist() == pytest.approx([0, 1])


def test_channels_are_mixed_by_rows_of_the_matrix():
    matrix = torch.tensor([[0.0, 1, 0], [0, 0, 2], [1, 1, 1]])
    image = noise(8)
    mixed = mix_channels(matrix, image)
    expected = torch.stack((image[1], 2 * image[2], image.sum(0)))
    torch.testing.assert_close(mixed, expected)


def test_luma_leaves_grey_as_it_is_and_takes_no_alpha():
    grey = torch.full((4, 2, 2), 0.25)
    grey[3] = 1
    torch.testing.assert_close(luma(grey), grey[0])
    assert sum(LUMA) == pytest.approx(1)
    assert float(luma(torch.tensor([0.0, 1, 0]).view(3, 1, 1))) == pytest.approx(0.587)
