"""What only a device can show of the kernels; core/network/ops/test_fused.py has the rest."""

import pytest
import torch

pytest.importorskip("triton")
from gpen_core.network.ops import fused
from gpen_core.network.ops.shared import Injection

BYTES_NEEDED = 24 * 2**30


def test_maps_of_more_than_2_to_31_elements_are_written_to_their_end():
    if torch.cuda.mem_get_info()[0] < BYTES_NEEDED:
        pytest.skip("needs 24 GB of free memory on the device")
    n, chs, size = 33, 16, 2048  # 2.2e9 elements, 4.4e9 with concatenated features
    last = torch.randn(1, chs, size, size, device="cuda", dtype=torch.float16)
    last = last.contiguous(memory_format=torch.channels_last)
    x = last.new_zeros(n, size, size, chs).permute(0, 3, 1, 2)
    x[-1:] = last
    weight = torch.randn(chs, chs, 3, 3, device="cuda", dtype=torch.float16) / 12
    bias = torch.randn(chs, device="cuda", dtype=torch.float16)
    out = fused.convolve(x, weight, bias, Injection(x, 0.5, bias))
    expected = fused.convolve(last, weight, bias, Injection(last, 0.5, bias))
    torch.testing.assert_close(out[-1:], expected, rtol=2**-9, atol=1e-3)
    del out
    blurred = fused.blur(x)
    torch.testing.assert_close(blurred[-1:], fused.blur(last), rtol=0, atol=0)
    del blurred
    weights = torch.randn(n, 3, chs, device="cuda")
    rgb = fused.to_rgb(x, weights, bias[:3])
    expected = fused.to_rgb(last, weights[-1:], bias[:3])
    torch.testing.assert_close(rgb[-1:], expected, rtol=0, atol=0)
