"""Filters that sharpen and ring."""

import cv2
import torch

from gpen_core.degradation.blur import SharpenSettings, SincSettings
from gpen_core.degradation.pipeline import draw_steps
from gpen_core.degradation.settings import DegradeSettings
from support.stages import apply, even, picture


def test_sharpening_adds_what_a_gaussian_takes_away():
    step = draw_steps(
        DegradeSettings(sharpen=SharpenSettings(amount=(0.5, 0.5))), (512, 512), seed=0
    )[0]
    pixels = picture() * 0.5 + 0.25
    smoothed = cv2.GaussianBlur(pixels.permute(1, 2, 0).numpy(), (9, 9), 1.0)
    expected = 1.5 * pixels - 0.5 * torch.from_numpy(smoothed).permute(2, 0, 1)
    torch.testing.assert_close(apply(step, pixels), expected.clamp(0, 1), atol=1e-5, rtol=0)


def test_a_sinc_filter_rings_beside_an_edge():
    settings = DegradeSettings(sinc=SincSettings(1.0, size=(21, 21), cutoff=(1.5, 1.5)))
    step = draw_steps(settings, (512, 512), seed=0)[0]
    pixels = even(0.25, 40, 40)
    pixels[:, :, 20:] = 0.75
    ringing = apply(step, pixels)
    assert ringing.max() > 0.77
    assert ringing.min() < 0.23
    torch.testing.assert_close(ringing.mean(), torch.tensor(0.5), atol=0.01, rtol=0)
