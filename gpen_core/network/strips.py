"""The network on a CPU: large maps are computed in strips of rows, one face at a time.

A temporary of many megabytes is slow there: it does not fit into the caches, and the operating
system clears each fresh page of it first, which can take longer than the arithmetic. In strips
the temporaries stay small, and the widest maps never exist as a whole: not the encoder's first
map, not what lies between the two convolutions of a resolution, not the decoder's last map. The
few rows that neighbouring strips both read are computed for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from .layers import (
    EncoderBlock,
    Rows,
    StyledConv,
    ToRgb,
    rows_of,
    upsampled_rgb_rows,
)
from .precision import arithmetic_dtype

STRIP_BYTES = 16 * 2**20
"""About the size of the widest temporary of a strip."""


def encode_in_strips(blocks: Sequence[EncoderBlock], crop: Tensor) -> tuple[list[Rows], Tensor]:
    """Run the encoder on (1, 3, S, S).

    Returns:
        Its maps from full resolution to 4x4, and the last of them as a tensor.
    """
    features: list[Rows] = [partial(blocks[0].rows, rows_of(crop), crop.shape[2])]
    x = crop
    for block in blocks[1:]:
        size = crop.shape[2] >> len(features)
        out_chs, in_chs = block.weight.shape[:2]
        x = _empty_map(out_chs, size, arithmetic_dtype(block.weight))
        rows = partial(block.rows, features[-1], 2 * size)
        # Two rows of the input, twice as wide, go into one of the result.
        for first, end in _strips(size, row_bytes=4 * size * in_chs * x.itemsize):
            x[:, :, first:end] = rows(first, end)
        features.append(rows_of(x))
    return features, x


def decode_in_strips(
    convs: Sequence[StyledConv],
    to_rgbs: Sequence[ToRgb],
    constant: Tensor,
    features: list[Rows],
    style: Tensor,
) -> Tensor:
    """Run the decoder on the maps of one face, which are taken off the list as they are used up.

    Returns:
        (1, 3, S, S) float32.
    """
    x = convs[0](constant, style, features.pop()(0, 4))
    rgb: Tensor = to_rgbs[0](x, style)
    for i, to_rgb in enumerate(to_rgbs[1:]):
        up, conv = convs[2 * i + 1 : 2 * i + 3]
        x, rgb = _double(x, rgb, style, features.pop(), up, conv, to_rgb, keep=bool(features))
    return rgb


def _double(
    x: Tensor,
    rgb: Tensor,
    style: Tensor,
    features: Rows,
    up: StyledConv,
    conv: StyledConv,
    to_rgb: ToRgb,
    keep: bool,
) -> tuple[Tensor, Tensor]:
    """One resolution of the decoder: its map, empty unless it is to be kept, and its RGB."""
    height = x.shape[2]
    size = 2 * height
    channels = conv.weight.shape[1]
    strips = list(_strips(size, row_bytes=size * channels * x.itemsize))
    if len(strips) == 1:
        injected = features(0, size)
        x = conv(up(x, style, injected), style, injected)
        return x, to_rgb(x, style, rgb)

    up_weight = up.modulated_weight(style, height * height)
    weight = conv.modulated_weight(style, size * size)
    upsampled = partial(up.rows, rows_of(x), height, up_weight, features)
    rows = partial(conv.rows, upsampled, size, weight, features)
    rgb_weight = to_rgb.modulated_weights(style)[0]
    result = _empty_map(channels if keep else 0, size, arithmetic_dtype(conv.weight))
    result_rgb = rgb.new_empty(1, 3, size, size)
    for first, end in strips:
        y = rows(first, end)
        if keep:
            result[:, :, first:end] = y
        low = upsampled_rgb_rows(rgb, first, end)
        torch.add(to_rgb.convolve(y, rgb_weight), low, out=result_rgb[:, :, first:end])
    return result, result_rgb


def _strips(height: int, row_bytes: int) -> Iterator[tuple[int, int]]:
    """First row and the one past the last of each strip."""
    n_rows = max(4, STRIP_BYTES // row_bytes)
    for first in range(0, height, n_rows):
        yield first, min(first + n_rows, height)


def _empty_map(channels: int, size: int, dtype: torch.dtype) -> Tensor:
    """An uninitialised (1, channels, size, size) in the memory order that convolutions like."""
    return torch.empty(1, size, size, channels, dtype=dtype).permute(0, 3, 1, 2)
