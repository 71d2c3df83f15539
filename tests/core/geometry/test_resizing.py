"""Whole pictures resized."""

import pytest
import torch

from gpen_core.geometry.resizing import resize
from support.geometry import noise, smooth


def test_a_picture_of_that_size_is_returned_itself():
    images = noise(16)[None]
    assert resize(images, (16, 16)) is images


@pytest.mark.parametrize("mode", ["bicubic", "bilinear"])
def test_a_picture_without_detail_looks_the_same_at_another_size(mode):
    images = smooth(200)[None]
    smaller = resize(images, (100, 100), mode)
    expected = images.unfold(2, 2, 2).unfold(3, 2, 2).mean(dim=(-2, -1))
    torch.testing.assert_close(
        smaller[..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2], rtol=0, atol=2e-3
    )


def test_stripes_of_one_pixel_shrink_to_their_mean():
    images = torch.zeros(1, 3, 90, 90)
    images[..., ::2] = 1
    smaller = resize(images, (30, 30))
    assert (smaller[..., 2:-2] - 0.5).abs().max() < 0.02


def test_an_overshoot_is_cut_off_and_the_dtype_stays():
    images = torch.zeros(1, 3, 8, 8, dtype=torch.float64)
    images[..., 4:] = 1
    larger = resize(images, (8, 40))
    assert larger.dtype == torch.float64
    assert (larger.min(), larger.max()) == (0, 1)


def test_a_device_that_cannot_resize_has_it_done_on_the_cpu(monkeypatch):
    import torch.nn.functional as F

    interpolate, calls = F.interpolate, []

    def refuse_once(images, **options):
        calls.append(images.device)
        if len(calls) == 1:
            raise NotImplementedError
        return interpolate(images, **options)

    monkeypatch.setattr(F, "interpolate", refuse_once)
    images = noise(16)[None]
    expected = interpolate(images, (8, 8), mode="bicubic", antialias=True).clamp(0, 1)
    assert torch.equal(resize(images, (8, 8)), expected)
    assert len(calls) == 2
