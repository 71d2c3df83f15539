"""The operations by PyTorch's convolutions, with kernels for what lies around them.

Nothing here waits for the device.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
import triton
from torch import Tensor

from ...errors import is_out_of_memory
from ..config import LEAKY_SLOPE
from . import kernels
from .shared import Injection, KernelError

# Elements of a tile of four warps: one or two 16-byte loads of fp16 for each thread. The filter
# keeps four rows of its tile in registers and so takes the smaller one.
_FILTERED_TILE, _PLAIN_TILE = 1024, 2048
_MAX_TILE_CHS = 64
_FILTERED_ROWS = 4  # that a program writes, from 7 that it reads


def from_rgb(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """See ``ops.from_rgb``."""
    n, _, height, width = x.shape
    n_chs = weight.shape[0]
    out = _empty_map(x, n_chs, height, width)
    block_c, block_p = _tile(n_chs, height * width, _PLAIN_TILE)
    grid = (triton.cdiv(height * width, block_p), triton.cdiv(n_chs, block_c), n)
    _launch(
        kernels.from_rgb_kernel, grid,
        x, weight.reshape(n_chs, 3).contiguous(), bias, out, height, width, n_chs, *x.stride(),
        SLOPE=LEAKY_SLOPE, BLOCK_P=block_p, BLOCK_C=block_c,
    )  # fmt: skip
    return out


def blur(x: Tensor) -> Tensor:
    """See ``ops.blur``."""
    _, n_chs, height, width = x.shape
    out = _empty_map(x, n_chs, height + 1, width + 1)
    return _filter_and_finish(x, out, padding=2, gain=1.0)


def convolve_down(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """See ``ops.convolve_down``."""
    y = _channels_last(F.conv2d(x, weight, stride=2))
    return _filter_and_finish(y, y, bias)


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    injection: Injection,
    scale: Tensor | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """See ``ops.convolve``."""
    y = _channels_last(F.conv2d(x, weight, padding=1))
    out = injection.empty_result() if out is None else out
    return _filter_and_finish(y, out, bias, scale, injection)


def convolve_up(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    injection: Injection,
    scale: Tensor | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """See ``ops.convolve_up``."""
    y = _channels_last(F.conv_transpose2d(x, weight, stride=2))
    out = injection.empty_result() if out is None else out
    return _filter_and_finish(y, out, bias, scale, injection, padding=1, gain=4.0)


def to_rgb(
    x: Tensor, weights: Tensor, bias: Tensor, previous: Tensor | None = None, first_row: int = 0
) -> Tensor:
    """See ``ops.to_rgb``."""
    assert first_row == 0, first_row
    _check_channels_last(x)
    n, n_chs, height, width = x.shape
    out = torch.empty((n, 3, height, width), dtype=torch.float32, device=x.device)
    block_c, block_p = _tile(n_chs, height * width, _PLAIN_TILE)
    _launch(
        kernels.to_rgb_kernel, (triton.cdiv(height * width, block_p), n),
        x, weights.contiguous(), bias, out if previous is None else previous.contiguous(), out,
        height, width, n_chs,
        HAS_PREVIOUS=previous is not None, N_BLOCKS=triton.cdiv(n_chs, block_c),
        BLOCK_P=block_p, BLOCK_C=block_c,
    )  # fmt: skip
    return out


def _filter_and_finish(
    x: Tensor,
    out: Tensor,
    bias: Tensor | None = None,
    scale: Tensor | None = None,
    injection: Injection | None = None,
    padding: int | None = None,
    gain: float = 1.0,
) -> Tensor:
    """Filter where a padding is given, then scale, inject and activate where a bias is."""
    _check_channels_last(x)
    _check_channels_last(out)
    mode = kernels.NOT_ACTIVATED if bias is None else kernels.ACTIVATED
    features = injected_bias = None
    if injection is not None:
        features, injected_bias = injection.features, injection.bias
        mode = kernels.ADDED if injected_bias is None else kernels.CONCATENATED
        _check_channels_last(features)
        assert injection.first_row == 0, injection.first_row
    n, n_chs, in_height, in_width = x.shape
    height, width = out.shape[2:]
    rows = 1
    if padding is None:  # pixels do not see each other: take an image as one row
        in_height, in_width, height, width = 1, in_height * in_width, 1, height * width
    elif height >= 64:
        rows = _FILTERED_ROWS
    tile = _PLAIN_TILE if padding is None else _FILTERED_TILE
    block_c, block_w = _tile(n_chs, width, tile)
    grid = (triton.cdiv(width, block_w) * triton.cdiv(n_chs, block_c), triton.cdiv(height, rows), n)

    def pointer(tensor: Tensor | None) -> Tensor:
        return out if tensor is None else tensor  # one that is not read

    _launch(
        kernels.map_kernel, grid,
        x, out, pointer(features), pointer(scale), pointer(bias), pointer(injected_bias),
        1.0 if injection is None else injection.strength,
        in_height, in_width, height, width, n_chs,
        FILTERED=padding is not None, PADDING=padding or 0, GAIN=gain, ROWS=rows,
        MODE=mode, SCALED=scale is not None, SLOPE=LEAKY_SLOPE, BLOCK_W=block_w, BLOCK_C=block_c,
    )  # fmt: skip
    return out


def _launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **constants: Any) -> None:
    """Compile the kernel if need be, and start it on the device of its first argument."""
    try:
        with torch.cuda.device_of(arguments[0]):  # type: ignore[no-untyped-call]
            kernel[grid](*arguments, **constants)
    except Exception as error:  # Triton's failures have no common base
        if is_out_of_memory(error):
            raise
        raise KernelError(str(error) or type(error).__name__) from error


def _tile(n_chs: int, n_pixels: int, n_elements: int) -> tuple[int, int]:
    """Channels and pixels of a tile, powers of two, of about ``n_elements`` in all."""
    block_c = min(_MAX_TILE_CHS, triton.next_power_of_2(n_chs))
    return block_c, min(n_elements // block_c, triton.next_power_of_2(n_pixels))


def _channels_last(x: Tensor) -> Tensor:
    """``x`` itself where it lies channels-last, else a copy that does."""
    return x.contiguous(memory_format=torch.channels_last)


def _empty_map(like: Tensor, n_chs: int, height: int, width: int) -> Tensor:
    """An uninitialised channels-last map for the faces of another, in its dtype."""
    y = like.new_empty(len(like), height, width, n_chs)
    return y.permute(0, 3, 1, 2)


def _check_channels_last(x: Tensor) -> None:
    assert x.is_contiguous(memory_format=torch.channels_last), x.stride()
