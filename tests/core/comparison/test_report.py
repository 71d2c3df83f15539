"""A comparison in words."""

import math

import pytest

from gpen_core.comparison.compare import Comparison, Similarity
from gpen_core.comparison.report import describe_comparison

NEAR = Similarity(31.4159, 0.91234, 0.95678, 0.876, 2.345)
EQUAL = Similarity(math.inf, 1.0, 1.0, 1.0, 0.0)


def describe(whole=NEAR, region=None, landmark_error=None, has_region=False):
    comparison = Comparison(whole=whole, region=region, landmark_error=landmark_error)
    return describe_comparison(comparison, has_region=has_region)


def test_every_measure_is_named_with_its_value():
    text = describe(region=NEAR, landmark_error=1.26, has_region=True)
    measures = "PSNR 31.42 dB, SSIM 0.9123, MS-SSIM 0.9568, sharpness 0.88, colour error 2.35."
    assert text == (
        f"Whole image: {measures} Inside mask or faces: {measures} Landmarks are off by 1.3 % of "
        "the distance between the eyes."
    )


def test_equal_images_are_called_equal_and_nothing_else():
    for landmark_error in (None, 0.0):
        assert describe(EQUAL, landmark_error=landmark_error) == "Whole image: equal, bit for bit."


@pytest.mark.parametrize("has_region", [True, False])
def test_an_empty_region_is_told_from_none(has_region):
    assert ("nothing inside" in describe(has_region=has_region)) == has_region
