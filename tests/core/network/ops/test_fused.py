"""The operations by kernels against the reference in float32.

Without a CUDA device the kernels run in Triton's interpreter, which computes what the compiled ones
compute, on the CPU and slowly. It rounds to bfloat16 by cutting off.
"""

import re
from dataclasses import replace

import pytest
import torch

pytest.importorskip("triton")
from gpen_core.network import ops
from gpen_core.network.bands import stored
from gpen_core.network.layers import StyledConv
from gpen_core.network.ops import fused, reference
from gpen_core.network.ops.self_check import compare
from gpen_core.network.ops.shared import Injection, KernelError
from support.metrics import relative_l2

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
MAX_ERROR = {torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 1e-2}
KINDS = ["added", "concatenated"]  # ways of injection
DTYPES = pytest.mark.parametrize("dtype", MAX_ERROR, ids=str)
# (N, C, H, W): several tiles of pixels; odd; more channels than a tile; a single pixel.
SHAPES = [(1, 16, 19, 17), (2, 24, 7, 11), (2, 65, 3, 4), (2, 3, 1, 1)]
# The filter has a way for maps of 64 rows and more. The interpreter takes long for it.
FILTERED_SHAPES = [(1, 16, 66, 3), (2, 5, 3, 7), (1, 65, 2, 2)]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def random(*shape, dtype=torch.float32):
    values = torch.randn(shape).to(DEVICE, dtype)
    return values.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else values


def in_float32(value):
    if isinstance(value, Injection):
        bias = None if value.bias is None else in_float32(value.bias)
        return replace(value, features=in_float32(value.features), bias=bias)
    return None if value is None else value.cpu().float()


def assert_agree(name, *arguments):
    actual = getattr(fused, name)(*arguments)
    expected = getattr(reference, name)(*map(in_float32, arguments))
    assert actual.shape == expected.shape
    assert actual.dtype == (torch.float32 if name == "to_rgb" else arguments[0].dtype)
    assert name == "to_rgb" or actual.is_contiguous(memory_format=torch.channels_last)
    assert relative_l2(actual.float().cpu(), expected) <= MAX_ERROR[arguments[0].dtype]


def injection(kind, n, chs, height, width, dtype):
    bias = random(chs, dtype=dtype) if kind == "concatenated" else None
    return Injection(random(n, chs, height, width, dtype=dtype), -0.7, bias)


@DTYPES
def test_all_pass_the_self_check(dtype):
    compare(fused, reference, torch.device(DEVICE), dtype)


@DTYPES
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scaled", [False, True])
def test_convolve_agrees_with_the_reference(dtype, kind, scaled):
    for n, chs, height, width in SHAPES:
        x, weight = random(n, 5, height, width, dtype=dtype), random(chs, 5, 3, 3, dtype=dtype)
        features = injection(kind, n, chs, height, width, dtype)
        scale = random(n, chs) if scaled else None
        assert_agree("convolve", x, weight, random(chs, dtype=dtype), features, scale)


@DTYPES
@pytest.mark.parametrize("kind", KINDS)
def test_convolve_up_agrees_with_the_reference(dtype, kind):
    for n, chs, height, width in FILTERED_SHAPES:
        height, width = (height + 1) // 2, (width + 1) // 2
        x, weight = random(n, 4, height, width, dtype=dtype), random(4, chs, 3, 3, dtype=dtype)
        features = injection(kind, n, chs, 2 * height, 2 * width, dtype)
        scale = random(n, chs) if kind == "added" else None
        assert_agree("convolve_up", x, weight, random(chs, dtype=dtype), features, scale)


@DTYPES
def test_convolve_down_agrees_with_the_reference(dtype):
    for n, chs, height, width in SHAPES[:3]:
        x, weight = random(n, 5, height, width, dtype=dtype), random(chs, 5, 3, 3, dtype=dtype)
        assert_agree("convolve_down", x, weight, random(chs, dtype=dtype))


@DTYPES
def test_blur_agrees_with_the_reference(dtype):
    for shape in FILTERED_SHAPES[1:]:
        assert_agree("blur", random(*shape, dtype=dtype))


@DTYPES
@pytest.mark.parametrize("planar", [False, True])
def test_from_rgb_agrees_with_the_reference(dtype, planar):
    for n, chs, height, width in SHAPES:
        x = random(n, 3, height, width, dtype=dtype)
        if planar:
            x = x.contiguous()
        assert_agree("from_rgb", x, random(chs, 3, 1, 1, dtype=dtype), random(chs, dtype=dtype))


@DTYPES
@pytest.mark.parametrize("first", [False, True])
def test_to_rgb_agrees_with_the_reference(dtype, first):
    for n, chs, height, width in SHAPES:
        x, bias = random(n, chs, 2 * height, 2 * width, dtype=dtype), random(3, dtype=dtype)
        previous = None if first else random(n, 3, height, width).contiguous()
        assert_agree("to_rgb", x, random(n, 3, chs), bias, previous)


@pytest.mark.parametrize("upsample", [False, True])
@pytest.mark.parametrize("size", [2, 8])  # the weight is larger than the map, and smaller
def test_styled_conv_of_two_faces_by_kernels_agrees_with_the_reference(monkeypatch, upsample, size):
    conv = StyledConv(5, 6, 16, upsample, concat=True, dtype=torch.float32).to(DEVICE)
    for weight in conv.parameters():
        weight.normal_()
    conv.energy.square_()
    conv.epsilon.fill_(1e-8)
    conv.injection_strength = -0.6
    out_size = 2 * size if upsample else size
    x, features = random(2, 5, size, size), random(2, 6, out_size, out_size)
    style = random(2, 16)

    def restore():
        return conv(stored(x), style, stored(features)).rows(0, out_size)

    monkeypatch.setattr(ops.dispatcher, "kernels_work", lambda device, dtype: False)
    expected = restore()
    monkeypatch.setattr(ops.dispatcher, "run", lambda name, *given: getattr(fused, name)(*given))
    assert relative_l2(restore(), expected) <= 1e-6


@pytest.mark.parametrize(
    ("said", "raised"),
    [
        ("out of resource: shared memory", KernelError),
        ("Triton Error [CUDA]: out of memory", ValueError),  # no fault of the kernel
    ],
)
def test_kernel_that_does_not_start_ends_in_a_kernel_error(monkeypatch, said, raised):
    class Kernel:
        def __getitem__(self, grid):
            raise ValueError(said)

    monkeypatch.setattr(fused.kernels, "map_kernel", Kernel())
    with pytest.raises(raised, match=re.escape(said)):
        fused.blur(random(1, 4, 4, 4))
