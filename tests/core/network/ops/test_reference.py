import pytest
import torch
import torch.nn.functional as F

from gpen_core.network import ops
from gpen_core.network.ops.shared import Injection


def zero_stuffed_and_filtered(rgb):
    n, chs, height, width = rgb.shape
    stuffed = torch.zeros(n, chs, 2 * height, 2 * width)
    stuffed[:, :, ::2, ::2] = rgb
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    kernel = (4 * torch.outer(taps, taps)).expand(chs, 1, 4, 4)
    return F.conv2d(F.pad(stuffed, (2, 1, 2, 1)), kernel, groups=chs)


def test_to_rgb_enlarges_the_previous_map_by_zero_stuffing_and_the_filter():
    previous = torch.randn(2, 3, 5, 4)
    x, weights = torch.randn(2, 6, 10, 8), torch.zeros(2, 3, 6)
    enlarged = ops.to_rgb(x, weights, torch.zeros(3), previous)
    torch.testing.assert_close(enlarged, zero_stuffed_and_filtered(previous))


@pytest.mark.parametrize(("first", "end"), [(0, 3), (3, 8), (5, 10), (0, 10)])
def test_to_rgb_of_rows_is_those_rows_of_the_whole(first, end):
    x, weights = torch.randn(1, 6, 10, 8), torch.randn(1, 3, 6)
    bias, previous = torch.randn(3), torch.randn(1, 3, 5, 4)
    whole = ops.to_rgb(x, weights, bias, previous)
    rows = ops.to_rgb(x[:, :, first:end], weights, bias, previous, first)
    torch.testing.assert_close(rows, whole[:, :, first:end])


@pytest.mark.parametrize("bias", [None, torch.randn(5)], ids=["added", "concatenated"])
def test_result_is_written_where_it_is_wanted(bias):
    x, weight = torch.randn(1, 4, 6, 6), torch.randn(5, 4, 3, 3)
    injection = Injection(torch.randn(1, 5, 6, 6), 0.5, bias)
    expected = ops.convolve(x, weight, torch.ones(5), injection)
    out = injection.empty_result()
    assert ops.convolve(x, weight, torch.ones(5), injection, out=out) is out
    assert torch.equal(out, expected)
