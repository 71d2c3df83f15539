"""The damage that a network in training learns to undo."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gpen_core import (
    DEGRADE_PRESETS,
    BlurKind,
    BlurSettings,
    DegradeSettings,
    Interpolation,
    JpegSettings,
    NoiseSettings,
    ResizeBackSettings,
    ResizeSettings,
    degrade,
)

SMALL_FACE = DegradeSettings(
    blur=BlurSettings(
        probability=0.8,
        kinds={BlurKind.GAUSSIAN: 0.6, BlurKind.ANISOTROPIC: 0.4},
        sigma=(0.4, 4.4),
    ),
    resize=ResizeSettings(
        factor=(1.2, 5.0), interpolation={Interpolation.AREA: 0.7, Interpolation.BILINEAR: 0.3}
    ),
    noise=NoiseSettings(sigma=(0, 13), grey=0.3),
    jpeg=JpegSettings(quality=(35, 95)),
    resize_back=ResizeBackSettings(
        interpolation={Interpolation.BICUBIC: 0.7, Interpolation.BILINEAR: 0.3}
    ),
)
"""A face of 50 to 210 pixels in a photo that was compressed: what a small network can mend."""

MILD_JPEG = DegradeSettings(jpeg=JpegSettings(quality=(70, 98)))

MIX: tuple[tuple[float, DegradeSettings], ...] = (
    (0.08, DegradeSettings()),  # undamaged faces must be left alone
    (0.04, MILD_JPEG),
    (0.68, SMALL_FACE),
    (0.08, DEGRADE_PRESETS["swap-128"]),
    (0.08, DEGRADE_PRESETS["webcam"]),
    (0.04, DEGRADE_PRESETS["real-esrgan"]),
)
"""Shares of the pictures, and what happens to them."""


def damage(faces: Tensor, seed: int) -> Tensor:
    """Damage each face by one entry of ``MIX``.

    Args:
        faces: (N, 3, S, S) in [0, 1], on any device.
        seed: Of all draws.

    Returns:
        The same shape and device, in [0, 1].
    """
    shares, settings = zip(*MIX, strict=True)
    chosen = np.random.default_rng(seed).choice(len(MIX), size=len(faces), p=shares)
    return torch.cat(
        [
            degrade(face[None], settings[choice], seed=seed, first_index=index)
            for index, (face, choice) in enumerate(zip(faces, chosen, strict=True))
        ]
    )
