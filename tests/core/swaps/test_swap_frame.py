"""One image of a swap, known answers."""

import torch

from gpen_core.geometry.alignment import invert_affine
from gpen_core.swaps.settings import SwapSettings
from gpen_core.swaps.swap_frame import SwapChange, SwapFrame, resized_minimum

WHOLE = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype=torch.float64)  # crop = image


def test_resized_minimum_is_at_the_resolution_of_the_second():
    first = torch.tensor([[0.2, 0.8]]).expand(2, 2)
    second = torch.full((4, 4), 0.5)
    expected = torch.tensor([0.2, 0.35, 0.5, 0.5]).expand(4, 4)
    torch.testing.assert_close(resized_minimum(first, second), expected)


def excluded(keep, size=32):
    """A black original, a white swap of all of it, and a user mask that excludes the right half."""
    canvas, mask = torch.ones(3, size, size), torch.zeros(size, size)
    user_mask = torch.ones(size, size)
    user_mask[:, size // 2 :] = 0
    settings = SwapSettings(restore=0, color=0, grain=0, keep=keep)
    frame = SwapFrame(canvas, mask, torch.zeros(3, size, size), settings, user_mask, seed=0)
    crop = torch.ones(3, size, size)
    frame.add_(SwapChange(crop, crop, invert_affine(WHOLE), crop_mask=torch.ones(size, size)))
    frame.finish()
    return canvas, mask


def test_the_original_returns_where_the_user_mask_excludes_the_swap():
    canvas, mask = excluded(keep=0.75)
    torch.testing.assert_close(canvas[:, :, 18:], torch.full((3, 32, 14), 0.25))
    assert torch.equal(canvas[:, :, :16], torch.ones(3, 32, 16))
    assert mask[:, 18:].min() == 1
    assert not mask[:, :16].any()


def test_nothing_returns_without_keep():
    canvas, mask = excluded(keep=0)
    assert torch.equal(canvas, torch.ones(3, 32, 32))
    assert not mask.any()
