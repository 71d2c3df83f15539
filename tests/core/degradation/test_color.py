"""Changes of colour, exactly."""

import torch

from gpen_core.degradation.color import Adjust, Grey, Shift
from support.stages import apply, picture


def test_a_shift_moves_each_channel_by_steps_of_8_bits_and_stops_at_the_ends():
    shifted = apply(Shift((51.0, -51.0, 0.0)), torch.tensor([0.9, 0.5, 0.25]).view(3, 1, 1))
    torch.testing.assert_close(shifted.flatten(), torch.tensor([1.0, 0.3, 0.25]))


def test_grey_is_the_luma_of_bt_601():
    grey = apply(Grey(), torch.eye(3).view(3, 1, 3))
    torch.testing.assert_close(grey, torch.tensor([0.299, 0.587, 0.114]).expand(3, 1, 3))
    half = apply(Grey(0.5), torch.eye(3).view(3, 1, 3))
    torch.testing.assert_close(half, (grey + torch.eye(3).view(3, 1, 3)) / 2)


def test_adjustments_do_what_their_names_say():
    red = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)
    torch.testing.assert_close(apply(Adjust("hue", 1 / 3), red), red.roll(1, 0), atol=0.01, rtol=0)
    pixels = picture()
    torch.testing.assert_close(apply(Adjust("brightness", 0.5), pixels), pixels / 2)
    assert apply(Adjust("contrast", 0.0), pixels).std() < 1e-6
    assert apply(Adjust("saturation", 0.0), pixels).std(dim=0).max() < 1e-6
