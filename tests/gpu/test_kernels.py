"""What only a device can show of the kernels; core/network/test_fused_kernels.py has the rest."""

import pytest
import torch

pytest.importorskip("triton")
from gpen_core.network.fused import kernels, twins
from gpen_core.network.fused.twins import Injection, channels_last

BYTES_NEEDED = 24 * 2**30


def test_maps_of_more_than_2_to_31_elements_are_written_to_their_end():
    if torch.cuda.mem_get_info()[0] < BYTES_NEEDED:
        pytest.skip("needs 24 GB of free memory on the device")
    n, chs, size = 33, 16, 2048  # 2.2e9 elements, 4.4e9 with concatenated features
    last = channels_last(torch.randn(1, chs, size, size, device="cuda", dtype=torch.float16))
    y = torch.zeros(n, chs, size, size, device="cuda", dtype=torch.float16)
    y = y.contiguous(memory_format=torch.channels_last)
    y[-1:] = last
    bias = torch.randn(chs, device="cuda", dtype=torch.float16)
    out = kernels.activate(y, bias, None, Injection(y, 0.5, bias))
    expected = twins.activate(last, bias, None, Injection(last, 0.5, bias))
    torch.testing.assert_close(out[-1:], expected, rtol=2**-10, atol=1e-6)
    del out
    blurred = kernels.blur(y)
    torch.testing.assert_close(blurred[-1:], kernels.blur(last), rtol=0, atol=0)
    del blurred
    weights = torch.randn(n, 3, chs, device="cuda")
    rgb = kernels.to_rgb(y, weights, bias[:3])
    expected = kernels.to_rgb(last, weights[-1:], bias[:3])
    torch.testing.assert_close(rgb[-1:], expected, rtol=0, atol=0)
