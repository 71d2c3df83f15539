"""Sizes, and what is lost between them."""

import cv2
import pytest
import torch

from gpen_core.degradation.pipeline import draw_steps
from gpen_core.degradation.resize import Interpolation, Resize, ResizeSettings, Tilt
from gpen_core.degradation.settings import DegradeSettings
from support.stages import apply, even, picture


@pytest.mark.parametrize("size", [(20, 31), (96, 100)])
def test_resizing_is_opencvs_without_smoothing(size):
    pixels = picture()
    expected = cv2.resize(pixels.permute(1, 2, 0).numpy(), size[::-1])
    actual = apply(Resize(size, Interpolation.BILINEAR), pixels).permute(1, 2, 0)
    torch.testing.assert_close(actual, torch.from_numpy(expected), atol=1e-5, rtol=0)


def test_resizing_by_area_keeps_the_mean():
    pixels = torch.rand(3, 48, 64, generator=torch.Generator().manual_seed(0))
    shrunk = apply(Resize((12, 16), Interpolation.AREA), pixels)
    torch.testing.assert_close(shrunk[:, 0, 0], pixels[:, :4, :4].mean(dim=(1, 2)))


def test_a_face_for_swappers_has_one_size_whatever_the_picture_has():
    settings = DegradeSettings(resize=ResizeSettings(short_side=(143, 143)))
    for side in (256, 512, 1024):
        assert draw_steps(settings, (side, 2 * side), seed=0)[0].size == (143, 286)
    assert draw_steps(settings, (100, 120), seed=0) == []


def test_tilting_to_and_fro_moves_nothing_and_loses_detail():
    pixels = picture(60, 90)
    there_and_back = apply(Tilt(12.0), pixels)
    middle = (slice(None), slice(15, 45), slice(20, 70))
    assert (there_and_back - pixels)[middle].abs().max() < 0.02
    noise = torch.rand(3, 60, 90, generator=torch.Generator().manual_seed(0))
    assert apply(Tilt(12.0), noise)[middle].std() < 0.8 * noise[middle].std()
    torch.testing.assert_close(apply(Tilt(30.0), even(0.25)), even(0.25))  # nothing comes in
