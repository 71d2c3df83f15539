"""How different two colours look: CIEDE2000, and CIELAB, which it is measured in.

References:
    G. Sharma, W. Wu, E. N. Dalal, "The CIEDE2000 color-difference formula: implementation notes,
    supplementary test data, and mathematical observations", Color Research & Application 30(1),
    2005.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..images.srgb import mix_channels, to_linear

# Linear sRGB to CIE XYZ of D65 (IEC 61966-2-1), each row divided by the white that it adds up to,
# so that greys are grey to the last bit.
_RGB_TO_XYZ = torch.tensor(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ],
    dtype=torch.float64,
)
_RGB_TO_WHITE = _RGB_TO_XYZ / _RGB_TO_XYZ.sum(dim=1, keepdim=True)
_DARKEST_ROOT = 6 / 29  # below it CIELAB replaces the cube root by a linear function
_CHROMA_25_7 = 25.0**7


def rgb_to_lab(colors: Tensor) -> Tensor:
    """(..., 3, H, W) floating sRGB-encoded in [0, 1] to CIELAB of D65: L in [0, 100], a and b."""
    xyz = mix_channels(_RGB_TO_WHITE, to_linear(colors))
    line = xyz / (3 * _DARKEST_ROOT**2) + 4 / 29
    x, y, z = torch.where(xyz > _DARKEST_ROOT**3, xyz.pow(1 / 3), line).unbind(dim=-3)
    return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), dim=-3)


def ciede2000(first: Tensor, second: Tensor) -> Tensor:
    """The difference of two colours; 1 is about what can just be seen side by side.

    Args:
        first: (..., 3, H, W) floating CIELAB.
        second: Same shape and dtype.

    Returns:
        (..., H, W), 0 or more.
    """
    (l1, a1, b1), (l2, a2, b2) = first.unbind(dim=-3), second.unbind(dim=-3)
    # Greyish colours get more of a: 1 + G in the paper, as all other letters are the paper's.
    stretch = 1.5 - 0.5 * _saturation((_length(a1, b1) + _length(a2, b2)) / 2)
    a1, a2 = stretch * a1, stretch * a2
    c1, c2 = _length(a1, b1), _length(a2, b2)
    h1 = torch.atan2(b1, a1)
    # From the first hue to the second the shorter way round. A grey has none, and none is needed:
    # all that hue goes into is multiplied by the chroma of both.
    turn = torch.remainder(torch.atan2(b2, a2) - h1 + math.pi, 2 * math.pi) - math.pi
    lightness, chroma, hue = (l1 + l2) / 2, (c1 + c2) / 2, h1 + turn / 2
    d_hue = 2 * (c1 * c2).sqrt() * torch.sin(turn / 2)
    t = (
        1
        - 0.17 * torch.cos(hue - math.radians(30))
        + 0.24 * torch.cos(2 * hue)
        + 0.32 * torch.cos(3 * hue + math.radians(6))
        - 0.20 * torch.cos(4 * hue - math.radians(63))
    )
    from_middle = (lightness - 50).square()
    s_l = 1 + 0.015 * from_middle / (20 + from_middle).sqrt()
    s_c = 1 + 0.045 * chroma
    s_h = 1 + 0.015 * chroma * t
    blueness = (torch.rad2deg(torch.remainder(hue, 2 * math.pi)) - 275) / 25
    rotation = -2 * _saturation(chroma) * torch.sin(math.pi / 3 * torch.exp(-blueness.square()))
    l_term, c_term, h_term = (l2 - l1) / s_l, (c2 - c1) / s_c, d_hue / s_h
    squared = l_term.square() + c_term.square() + h_term.square() + rotation * c_term * h_term
    return squared.clamp_min(0).sqrt()


def _length(a: Tensor, b: Tensor) -> Tensor:
    return (a.square() + b.square()).sqrt()


def _saturation(chroma: Tensor) -> Tensor:
    """0 for grey, towards 1 for vivid colours."""
    power = chroma.pow(7)
    return (power / (power + _CHROMA_25_7)).sqrt()
