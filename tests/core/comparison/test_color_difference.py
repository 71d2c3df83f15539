import numpy as np
import pytest
import skimage.color
import torch

from gpen_core.comparison.color_difference import ciede2000, rgb_to_lab
from support.geometry import noise

# Of the pairs that Sharma, Wu and Dalal publish with their results: hues on either side of 0
# degrees and of each other's opposite, greys, and blues, where the terms are easily got wrong.
SHARMA = [
    ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
    ((50.0, -1.3802, -84.2814), (50.0, 0.0, -82.7485), 1.0000),
    ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
    ((50.0, 2.4900, -0.0010), (50.0, -2.4900, 0.0009), 7.1792),
    ((50.0, 2.4900, -0.0010), (50.0, -2.4900, 0.0011), 7.2195),
    ((50.0, 2.5, 0.0), (61.0, -5.0, 29.0), 22.8977),
    ((6.7747, -0.2908, -2.4247), (5.8714, -0.0985, -2.2286), 0.6377),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
]


def as_pixels(colors) -> torch.Tensor:
    """(3, 1, N) float64 of N colours."""
    return torch.tensor(colors, dtype=torch.float64).T[:, None]


def test_ciede2000_gives_the_published_values():
    first, second = (as_pixels([pair[i] for pair in SHARMA]) for i in (0, 1))
    expected = torch.tensor([[pair[2] for pair in SHARMA]], dtype=torch.float64)
    torch.testing.assert_close(ciede2000(first, second), expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(ciede2000(second, first), expected, rtol=0, atol=1e-4)


def test_ciede2000_agrees_with_scikit_image_in_float32():
    generator = torch.Generator().manual_seed(0)
    labs = torch.rand(2, 3, 80, 80, generator=generator) * 200 - 100
    labs[:, 0] = labs[:, 0].abs()
    labs[0, 1:, :20] = 0  # greys
    expected = skimage.color.deltaE_ciede2000(*labs.permute(0, 2, 3, 1).double().numpy())
    np.testing.assert_allclose(ciede2000(*labs), expected, rtol=1e-4, atol=2e-4)


def test_rgb_to_lab_agrees_with_scikit_image():
    colors = noise(64)
    colors[:, :8] *= 0.03  # where sRGB is linear, and CIELAB too
    expected = skimage.color.rgb2lab(colors.permute(1, 2, 0).double().numpy())
    # Whose white is rounded to four digits.
    np.testing.assert_allclose(rgb_to_lab(colors).permute(1, 2, 0), expected, atol=0.02)


def test_greys_have_no_chroma_and_white_has_a_lightness_of_100():
    greys = torch.linspace(0, 1, 256).expand(3, 1, 256)
    lab = rgb_to_lab(greys)
    assert float(lab[1:].abs().max()) < 1e-3
    assert float(lab[0, 0, -1]) == pytest.approx(100, abs=1e-3)
    assert float(lab[0, 0, 0]) == pytest.approx(0, abs=1e-3)


def test_equal_colours_are_not_different():
    lab = rgb_to_lab(noise(32))
    assert torch.equal(ciede2000(lab, lab.clone()), torch.zeros(32, 32))
