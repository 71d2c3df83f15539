"""Scales that keep every map of the encoder in the range of float16, whatever the weights.

Leaky ReLU commutes with positive factors, so each encoder map is computed smaller or larger by a
power of two, which the layers that read it undo. That changes no result beyond rounding. The
decoder needs none of it: its filters have unit norm and its demodulation undoes any factor.
"""

from __future__ import annotations

import math
from collections.abc import Iterable


def encoder_scales(layers: Iterable[tuple[float, float]]) -> list[float]:
    """By how much to divide each encoder map, powers of two.

    Args:
        layers: Of each convolution in turn, with all gains folded in, the rms norm of its filters
            and its largest bias. An ordinary one has a norm of sqrt(2), which is what the leaky
            ReLU takes, so that its map is as large as its input.

    Returns:
        For each layer the size that its map would have beside an ordinary one.
    """
    scales = []
    scale = 1.0
    for norm, bias in layers:
        size = max(scale * norm / math.sqrt(2.0), bias)
        scale = 2.0 ** round(math.log2(size)) if size > 0 else 1.0
        scales.append(scale)
    return scales
