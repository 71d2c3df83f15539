"""What the network must cost at least: its arithmetic on a CPU, its memory traffic on a GPU."""

from __future__ import annotations

import math

from gpen_core import GpenConfig
from gpen_core.network.config import expected_shapes


def arithmetic_flop(config: GpenConfig) -> int:
    """Floating-point operations of the convolutions and linear layers for one face.

    Direct convolution as published, a multiplication and an addition counted as two. The FIR
    filters, whose share depends on how they are arranged, are left out.
    """
    n_products = 0
    for name, shape in expected_shapes(config).items():
        if name.endswith((".weight", "conv.weight")) and len(shape) > 1:
            n_products += math.prod(shape) * _positions(name, config)
    return 2 * n_products


def traffic_bytes(config: GpenConfig, element_bytes: int, batch: int) -> int:
    """Bytes that a layer-by-layer network must move for a batch, every pass perfectly fused.

    Each layer reads its input map, its injected map and its weights once and writes its result
    once: one pass an encoder layer (filter, convolution, activation), one a styled convolution
    (convolution, filter, injection, activation), one an RGB layer. Caches are not counted on.
    """
    weights = sum(
        math.prod(shape)
        for name, shape in expected_shapes(config).items()
        if not name.endswith(".kernel")
    )
    width = config.injected_width

    def elements(resolution: int) -> int:
        return config.channels(resolution) * resolution**2

    maps = 3 * config.size**2 + elements(config.size)  # encoder 0
    for resolution in config.resolutions[:-1]:
        maps += elements(2 * resolution) + elements(resolution)
    for resolution in config.resolutions:
        decoded, features = width * elements(resolution), elements(resolution)
        if resolution > 4:
            maps += width * elements(resolution // 2) + features + decoded  # up
        maps += (decoded if resolution > 4 else features) + features + decoded
        rgb = 3 * resolution**2
        maps += decoded + rgb + (rgb // 4 if resolution > 4 else 0)
    return element_bytes * (weights + batch * maps)


def _positions(name: str, config: GpenConfig) -> int:
    """How many times a weight is applied to one face."""
    if name.startswith("ecd"):
        return (config.size >> int(name[3 : name.index(".")])) ** 2
    if "modulation" in name or ".style." in name or name.startswith("final_linear"):
        return 1
    part, _, rest = name.removeprefix("generator.").partition(".")
    if part in ("conv1", "to_rgb1"):
        return 16
    index = int(rest.partition(".")[0])
    # A transposed convolution is applied at the resolution it reads.
    level = (index + 1) // 2 if part == "convs" else index + 1
    return config.resolutions[level] ** 2
