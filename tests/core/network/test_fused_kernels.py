"""The kernels against the twins that define them.

Without a CUDA device they run in Triton's interpreter, which computes what the compiled kernels
compute, on the CPU and slowly. It rounds to bfloat16 by cutting off, so a result may differ there
by one unit in the last place.
"""

import pytest
import torch

pytest.importorskip("triton")
from gpen_core.network.fused import kernels, twins
from gpen_core.network.fused.twins import Injection, channels_last

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TOLERANCE = {torch.float32: 1e-6, torch.float16: 2**-10, torch.bfloat16: 2**-7}
KINDS = ["none", "added", "concatenated"]  # ways of injection
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
# (N, C, H, W): several tiles of pixels; odd; more channels than a tile; a single pixel.
SHAPES = [(1, 16, 19, 17), (2, 24, 7, 11), (2, 65, 3, 4), (2, 3, 1, 1)]
# The filter has a way for maps of 64 rows and more. The interpreter takes long for it.
FILTERED_SHAPES = [(1, 16, 66, 3), (2, 5, 3, 7), (1, 65, 2, 2)]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def random(*shape, dtype=torch.float32):
    values = torch.randn(shape).to(DEVICE, dtype)
    return channels_last(values) if len(shape) == 4 else values


def assert_agree(name, *arguments):
    dtype = arguments[0].dtype
    actual, expected = getattr(kernels, name)(*arguments), getattr(twins, name)(*arguments)
    assert actual.dtype == expected.dtype
    assert actual.is_contiguous(memory_format=torch.channels_last)
    tolerance = TOLERANCE[dtype]
    scale = float(expected.float().abs().amax())
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=1e-6 * scale)


def injection(kind, n, chs, height, width, dtype):
    if kind == "none":
        return None
    bias = random(chs, dtype=dtype) if kind == "concatenated" else None
    return Injection(random(n, chs, height, width, dtype=dtype), -0.7, bias)


@DTYPES
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scaled", [False, True])
def test_activate_agrees_with_its_twin(dtype, kind, scaled):
    for n, chs, height, width in SHAPES:
        y, bias = random(n, chs, height, width, dtype=dtype), random(chs, dtype=dtype)
        scale = random(n, chs) if scaled else None
        assert_agree("activate", y, bias, scale, injection(kind, n, chs, height, width, dtype))


@pytest.mark.parametrize(("dtype", "kind"), list(zip(TOLERANCE, KINDS, strict=True)))
def test_blur_activate_agrees_with_its_twin(dtype, kind):
    for n, chs, height, width in FILTERED_SHAPES:
        y, bias = random(n, chs, height + 1, width + 1, dtype=dtype), random(chs, dtype=dtype)
        features = injection(kind, n, chs, height, width, dtype)
        assert_agree("blur_activate", y, bias, random(n, chs), features)


@DTYPES
def test_blur_agrees_with_its_twin(dtype):
    for shape in FILTERED_SHAPES[1:]:
        assert_agree("blur", random(*shape, dtype=dtype))


@DTYPES
@pytest.mark.parametrize("planar", [False, True])
def test_from_rgb_agrees_with_its_twin(dtype, planar):
    for n, chs, height, width in SHAPES:
        x = random(n, 3, height, width, dtype=dtype)
        if planar:
            x = x.contiguous()
        assert_agree("from_rgb", x, random(chs, 3, 1, 1, dtype=dtype), random(chs, dtype=dtype))


@DTYPES
@pytest.mark.parametrize("first", [False, True])
def test_to_rgb_agrees_with_its_twin(dtype, first):
    for n, chs, height, width in SHAPES:
        x, bias = random(n, chs, 2 * height, 2 * width, dtype=dtype), random(3, dtype=dtype)
        weights = random(n, 3, chs)
        previous = None if first else random(n, 3, height, width).contiguous()
        actual = kernels.to_rgb(x, weights, bias, previous)
        assert actual.is_contiguous()
        expected = twins.to_rgb(x, weights, bias, previous)
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)
