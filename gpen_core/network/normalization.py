"""Scales that keep every map of the network in the range of float16, whatever the weights.

Demodulation undoes any factor on a filter, so filters are stored with unit norm, as StyleGAN3
does. Leaky ReLU commutes with positive factors, so each encoder map is computed smaller or larger
by a power of two, which the layers that read it undo. Neither changes a result beyond rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor


def unit_filters(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Filters (O, I, k, k) of unit norm, and the norms (O,) that they had; 1 for those of zeros."""
    norms = weight.flatten(1).norm(dim=1)
    norms = torch.where(norms > 0, norms, 1.0)
    return weight / norms[:, None, None, None], norms


def encoder_scales(layers: Iterable[tuple[Tensor, Tensor]]) -> list[float]:
    """By how much to divide each encoder map, powers of two.

    Args:
        layers: Weight (O, I, k, k) and bias (O,) of each convolution in turn, with all gains
            folded in, such that an input of unit variance keeps it where the scale is 1.

    Returns:
        For each layer the size that its map would have beside an ordinary one.
    """
    scales = []
    scale = 1.0
    for weight, bias in layers:
        # sqrt(2) is the gain of the activation, which an ordinary layer loses in the leaky ReLU.
        gain = float(weight.flatten(1).norm(dim=1).square().mean().sqrt()) / math.sqrt(2.0)
        size = max(scale * gain, float(bias.abs().amax()))
        scale = 2.0 ** round(math.log2(size)) if size > 0 else 1.0
        scales.append(scale)
    return scales
