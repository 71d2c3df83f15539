"""Triton kernels: single passes over channels-last maps.

Importing this imports Triton. A map is read and written once, channels along the threads;
arithmetic is in float32, rounded once on the way out; offsets that grow with the batch or the map
are 64-bit.
"""

from __future__ import annotations

import triton
import triton.language as tl

NOT_ACTIVATED, ACTIVATED, ADDED, CONCATENATED = range(4)
"""Modes of ``map_kernel``."""


@triton.jit
def _shifted_pixels(
    row_ptr, row_exists, shift, start, width, n_chs, channel, BLOCK_W: tl.constexpr
):
    """Pixels of a row, as [BLOCK_W, BLOCK_C] float32, from column ``start + shift`` on.

    ``row_ptr`` points to column ``start``. Outside the map there are zeros.
    """
    local = tl.arange(0, BLOCK_W) + shift
    inside = row_exists & (start + local >= 0) & (start + local < width)
    offsets = local[:, None] * n_chs + channel[None, :]
    mask = inside[:, None] & (channel < n_chs)[None, :]
    return tl.load(row_ptr + offsets, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def _filtered_row(
    x_ptr, n, i, start, height, width, n_chs, channel, PADDING: tl.constexpr, BLOCK_W: tl.constexpr
):
    """Row ``i`` of a map under the horizontal taps [1, 3, 3, 1] / 8."""
    exists = (i >= 0) & (i < height)
    row = x_ptr + ((n * height + i) * width + start) * n_chs
    a = _shifted_pixels(row, exists, 0 - PADDING, start, width, n_chs, channel, BLOCK_W)
    b = _shifted_pixels(row, exists, 1 - PADDING, start, width, n_chs, channel, BLOCK_W)
    c = _shifted_pixels(row, exists, 2 - PADDING, start, width, n_chs, channel, BLOCK_W)
    d = _shifted_pixels(row, exists, 3 - PADDING, start, width, n_chs, channel, BLOCK_W)
    return (a + d) * 0.125 + (b + c) * 0.375


@triton.jit
def _leaky(x, SLOPE: tl.constexpr):
    return tl.where(x >= 0, x, x * SLOPE)


@triton.jit
def _store_row(
    y, out_ptr, features_ptr, scale, bias, injected_bias, strength,
    n, i, start, height, width, n_chs, channel,
    MODE: tl.constexpr, SLOPE: tl.constexpr, BLOCK_W: tl.constexpr,
):  # fmt: skip
    """Demodulate, inject, activate and write a tile of row ``i``."""
    local = tl.arange(0, BLOCK_W)
    mask = ((start + local < width) & (i < height))[:, None] & (channel < n_chs)[None, :]
    pixel = (n * height + i) * width + start
    if MODE == 3:
        features = tl.load(
            features_ptr + pixel * n_chs + (local[:, None] * n_chs + channel[None, :]), mask=mask
        ).to(tl.float32)
        row = out_ptr + pixel * (2 * n_chs)
        offsets = local[:, None] * (2 * n_chs) + channel[None, :]
        value = _leaky(y * scale[None, :] + bias[None, :], SLOPE)
        injected = _leaky(features * strength + injected_bias[None, :], SLOPE)
        tl.store(row + offsets, value.to(out_ptr.dtype.element_ty), mask=mask)
        tl.store(row + n_chs + offsets, injected.to(out_ptr.dtype.element_ty), mask=mask)
    else:
        row = out_ptr + pixel * n_chs
        offsets = local[:, None] * n_chs + channel[None, :]
        if MODE == 2:
            features = tl.load(features_ptr + pixel * n_chs + offsets, mask=mask).to(tl.float32)
            y = _leaky(y * scale[None, :] + bias[None, :] + features * strength, SLOPE)
        elif MODE == 1:
            y = _leaky(y * scale[None, :] + bias[None, :], SLOPE)
        tl.store(row + offsets, y.to(out_ptr.dtype.element_ty), mask=mask)


@triton.jit
def map_kernel(
    x_ptr, out_ptr, features_ptr, scale_ptr, bias_ptr, injected_bias_ptr, strength,
    in_height, in_width, height, width, n_chs,
    FILTERED: tl.constexpr, PADDING: tl.constexpr, GAIN: tl.constexpr, ROWS: tl.constexpr,
    MODE: tl.constexpr, SCALED: tl.constexpr, SLOPE: tl.constexpr,
    BLOCK_W: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """Optionally filter, then optionally demodulate, inject and activate.

    One program writes ROWS rows of BLOCK_W pixels and BLOCK_C channels of one image.
    """
    n_channel_blocks = tl.cdiv(n_chs, BLOCK_C)
    start = (tl.program_id(0) // n_channel_blocks) * BLOCK_W
    channel = (tl.program_id(0) % n_channel_blocks) * BLOCK_C + tl.arange(0, BLOCK_C)
    n = tl.program_id(2).to(tl.int64)
    first = tl.program_id(1) * ROWS

    scale = tl.full([BLOCK_C], 1.0, tl.float32)
    bias = tl.zeros([BLOCK_C], tl.float32)
    injected_bias = tl.zeros([BLOCK_C], tl.float32)
    if SCALED:
        scale = tl.load(scale_ptr + n * n_chs + channel, mask=channel < n_chs, other=0.0)
    if MODE != 0:
        bias = tl.load(bias_ptr + channel, mask=channel < n_chs, other=0.0).to(tl.float32)
    if MODE == 3:
        injected_bias = tl.load(
            injected_bias_ptr + channel, mask=channel < n_chs, other=0.0
        ).to(tl.float32)  # fmt: skip

    if FILTERED:
        i = first - PADDING
        a = _filtered_row(
            x_ptr, n, i, start, in_height, in_width, n_chs, channel, PADDING, BLOCK_W
        )  # fmt: skip
        b = _filtered_row(
            x_ptr, n, i + 1, start, in_height, in_width, n_chs, channel, PADDING, BLOCK_W
        )
        c = _filtered_row(
            x_ptr, n, i + 2, start, in_height, in_width, n_chs, channel, PADDING, BLOCK_W
        )
        for row in tl.static_range(ROWS):
            d = _filtered_row(
                x_ptr, n, i + 3 + row, start, in_height, in_width, n_chs, channel, PADDING, BLOCK_W
            )
            y = (a + d) * (0.125 * GAIN) + (b + c) * (0.375 * GAIN)
            _store_row(
                y, out_ptr, features_ptr, scale, bias, injected_bias, strength,
                n, first + row, start, height, width, n_chs, channel, MODE, SLOPE, BLOCK_W,
            )  # fmt: skip
            a = b
            b = c
            c = d
    else:
        row_ptr = x_ptr + ((n * height + first) * width + start) * n_chs
        y = _shifted_pixels(
            row_ptr, first < height, 0, start, width, n_chs, channel, BLOCK_W
        )  # fmt: skip
        _store_row(
            y, out_ptr, features_ptr, scale, bias, injected_bias, strength,
            n, first, start, height, width, n_chs, channel, MODE, SLOPE, BLOCK_W,
        )  # fmt: skip


@triton.jit
def from_rgb_kernel(
    x_ptr, weight_ptr, bias_ptr, out_ptr, height, width, n_chs,
    stride_n, stride_c, stride_h, stride_w,
    SLOPE: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    start = tl.program_id(0) * BLOCK_P
    local = tl.arange(0, BLOCK_P)
    pixel = start + local
    channel = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    n = tl.program_id(2).to(tl.int64)
    exists = pixel < height * width
    i = (pixel // width).to(tl.int64)
    j = (pixel % width).to(tl.int64)
    source = x_ptr + n * stride_n + i * stride_h + j * stride_w
    y = tl.zeros([BLOCK_P, BLOCK_C], tl.float32)
    y += tl.load(bias_ptr + channel, mask=channel < n_chs, other=0.0).to(tl.float32)[None, :]
    for k in tl.static_range(3):
        values = tl.load(source + k * stride_c, mask=exists, other=0.0).to(tl.float32)
        weight = tl.load(weight_ptr + channel * 3 + k, mask=channel < n_chs, other=0.0)
        y += values[:, None] * weight.to(tl.float32)[None, :]
    row = out_ptr + (n * height * width + start) * n_chs
    tl.store(
        row + local[:, None] * n_chs + channel[None, :],
        _leaky(y, SLOPE).to(out_ptr.dtype.element_ty),
        mask=exists[:, None] & (channel < n_chs)[None, :],
    )


@triton.jit
def _enlarged(plane_ptr, i, j, height, width, exists):
    """A plane of ``height`` by ``width`` at pixels (i, j) of its enlargement by two.

    Zero-stuffing and the FIR filter leave two taps on each axis: 3/4 on the pixel that covers
    (i, j), 1/4 on the next one on the other side of it; beyond the border there are zeros.
    """
    i_near = i // 2
    j_near = j // 2
    i_far = i_near - 1 + 2 * (i % 2)
    j_far = j_near - 1 + 2 * (j % 2)
    i_inside = (i_far >= 0) & (i_far < height)
    j_inside = (j_far >= 0) & (j_far < width)
    a = tl.load(plane_ptr + i_near * width + j_near, mask=exists, other=0.0)
    b = tl.load(plane_ptr + i_near * width + j_far, mask=exists & j_inside, other=0.0)
    c = tl.load(plane_ptr + i_far * width + j_near, mask=exists & i_inside, other=0.0)
    d = tl.load(plane_ptr + i_far * width + j_far, mask=exists & i_inside & j_inside, other=0.0)
    return 0.75 * (0.75 * a + 0.25 * b) + 0.25 * (0.75 * c + 0.25 * d)


@triton.jit
def to_rgb_kernel(
    x_ptr, weights_ptr, bias_ptr, previous_ptr, out_ptr, height, width, n_chs,
    HAS_PREVIOUS: tl.constexpr, N_BLOCKS: tl.constexpr,
    BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    start = tl.program_id(0) * BLOCK_P
    local = tl.arange(0, BLOCK_P)
    pixel = start + local
    n = tl.program_id(1).to(tl.int64)
    n_pixels = height * width
    exists = pixel < n_pixels
    red = tl.zeros([BLOCK_P, BLOCK_C], tl.float32)
    green = tl.zeros([BLOCK_P, BLOCK_C], tl.float32)
    blue = tl.zeros([BLOCK_P, BLOCK_C], tl.float32)
    tile = x_ptr + (n * n_pixels + start) * n_chs
    for block in range(N_BLOCKS):
        channel = block * BLOCK_C + tl.arange(0, BLOCK_C)
        real = channel < n_chs
        values = tl.load(
            tile + local[:, None] * n_chs + channel[None, :],
            mask=exists[:, None] & real[None, :],
            other=0.0,
        ).to(tl.float32)
        weights = weights_ptr + n * 3 * n_chs + channel
        red += values * tl.load(weights, mask=real, other=0.0)[None, :]
        green += values * tl.load(weights + n_chs, mask=real, other=0.0)[None, :]
        blue += values * tl.load(weights + 2 * n_chs, mask=real, other=0.0)[None, :]
    r = tl.sum(red, axis=1) + tl.load(bias_ptr).to(tl.float32)
    g = tl.sum(green, axis=1) + tl.load(bias_ptr + 1).to(tl.float32)
    b = tl.sum(blue, axis=1) + tl.load(bias_ptr + 2).to(tl.float32)
    if HAS_PREVIOUS:
        i = pixel // width
        j = pixel % width
        half_height = height // 2
        half_width = width // 2
        plane = previous_ptr + n * 3 * half_height * half_width
        r += _enlarged(plane, i, j, half_height, half_width, exists)
        plane += half_height * half_width
        g += _enlarged(plane, i, j, half_height, half_width, exists)
        plane += half_height * half_width
        b += _enlarged(plane, i, j, half_height, half_width, exists)
    target = out_ptr + n * 3 * n_pixels + pixel
    tl.store(target, r, mask=exists)
    tl.store(target + n_pixels, g, mask=exists)
    tl.store(target + 2 * n_pixels, b, mask=exists)
