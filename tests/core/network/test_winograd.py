"""Convolution by minimal filtering, against direct convolution in double precision."""

import pytest
import torch
import torch.nn.functional as F

from gpen_core.network import winograd
from support.metrics import relative_l2


def layer(in_chs, out_chs, height, width):
    torch.manual_seed(0)
    x, weight, bias = (
        torch.randn(1, in_chs, height, width),
        torch.randn(out_chs, in_chs, 3, 3) / (3 * in_chs**0.5),
        torch.randn(out_chs),
    )
    layout = torch.channels_last
    return x.contiguous(memory_format=layout), weight.contiguous(memory_format=layout), bias


@pytest.mark.parametrize(("height", "width"), [(64, 64), (33, 128), (66, 30), (1, 2)])
def test_winograd_of_any_map_size_agrees_with_direct_convolution(height, width):
    x, weight, bias = layer(256, 128, height, width)
    expected = F.conv2d(x.double(), weight.double(), bias.double(), padding=1)
    actual = winograd.WinogradFilters(weight).convolve(x, bias)
    assert actual.shape == expected.shape
    assert relative_l2(actual, expected) <= 2e-6


def test_winograd_of_rows_of_a_larger_map_agrees_with_direct_convolution():
    x, weight, bias = layer(128, 64, 100, 128)
    rows = x[:, :, 17:60]
    expected = F.conv2d(rows.double(), weight.double(), bias.double(), padding=1)
    actual = winograd.WinogradFilters(weight).convolve(rows, bias)
    assert relative_l2(actual, expected) <= 2e-6


@pytest.mark.parametrize(
    ("in_chs", "n_pixels", "dtype", "pays"),
    [
        (1024, 64**2, torch.float32, True),
        (1024, 32**2, torch.float32, False),
        (64, 1024**2, torch.float32, False),
        (1024, 64**2, torch.bfloat16, False),
    ],
)
def test_winograd_is_chosen_for_wide_large_float32_maps_only(in_chs, n_pixels, dtype, pays):
    assert winograd.pays(torch.empty(8, in_chs, 3, 3, dtype=dtype), n_pixels) is pays
