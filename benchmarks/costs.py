"""What the network must cost a CPU at least: its arithmetic."""

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
