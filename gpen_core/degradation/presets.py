"""Degradations of published training codes, and of what people bring to be restored.

The numbers of the first five are those of the authors' public code and option files. What is theirs
alone was left out: pictures are not mirrored, and only the input becomes grey.

References:
    T. Yang et al., "GAN prior embedded network for blind face restoration in the wild", CVPR 2021.
    X. Wang et al., "Towards real-world blind face restoration with generative facial prior", CVPR
    2021: gfpgan.
    S. Zhou et al., "Towards robust blind face restoration with codebook lookup transformer",
    NeurIPS 2022: codeformer, its second stage; codeformer-light, its third.
    X. Wang et al., "Real-ESRGAN: training real-world blind super-resolution with pure synthetic
    data", ICCVW 2021.
    Z. Wan et al., "Old photo restoration via deep latent space translation", TPAMI 2022: ranges of
    old photo.
"""

from __future__ import annotations

import math
from dataclasses import replace

from ..errors import DegradeSettingsError
from .age import AgeSettings
from .blur import BlurKind, BlurSettings, MotionSettings, SharpenSettings, SincSettings
from .color import ColorSettings
from .jpeg import JpegSettings
from .noise import NoiseKind, NoiseSettings
from .resize import Interpolation, ResizeBackSettings, ResizeSettings, SizeChange, TiltSettings
from .settings import DegradeSettings

_EITHER = {BlurKind.GAUSSIAN: 0.5, BlurKind.ANISOTROPIC: 0.5}
_ANY_INTERPOLATION: dict[Interpolation, float] = {
    Interpolation.AREA: 1,
    Interpolation.BILINEAR: 1,
    Interpolation.BICUBIC: 1,
}

_GPEN = DegradeSettings(
    color=ColorSettings(grey=0.2),
    blur=BlurSettings(kinds=_EITHER, sigma=(0.1, 10), size=(41, 41)),
    resize=ResizeSettings(factor=(0.8, 8)),
    noise=NoiseSettings(sigma=(0, 20)),
    jpeg=JpegSettings(quality=(60, 100)),
)
_GFPGAN = replace(
    _GPEN,
    color=ColorSettings(
        grey=0.01,
        probability=0.3,
        shift=(0, 20),
        brightness=(0.5, 1.5),
        contrast=(0.5, 1.5),
        saturation=(0, 1.5),
        hue=(0, 0.1),
    ),
)
_CODEFORMER = DegradeSettings(
    blur=BlurSettings(kinds=_EITHER, sigma=(1, 15), size=(41, 41)),
    resize=ResizeSettings(factor=(4, 30)),
    noise=NoiseSettings(sigma=(0, 20)),
    jpeg=JpegSettings(quality=(30, 80)),
)
_CODEFORMER_LIGHT = DegradeSettings(
    blur=BlurSettings(kinds=_EITHER, sigma=(0.1, 10), size=(41, 41)),
    resize=ResizeSettings(factor=(1, 12)),
    noise=NoiseSettings(sigma=(0, 15)),
    jpeg=JpegSettings(quality=(60, 100)),
)

_REAL_ESRGAN_BLUR = BlurSettings(
    kinds={
        BlurKind.GAUSSIAN: 0.9 * 0.45,
        BlurKind.ANISOTROPIC: 0.9 * 0.25,
        BlurKind.GENERALIZED: 0.9 * 0.12,
        BlurKind.GENERALIZED_ANISOTROPIC: 0.9 * 0.03,
        BlurKind.PLATEAU: 0.9 * 0.12,
        BlurKind.PLATEAU_ANISOTROPIC: 0.9 * 0.03,
        BlurKind.SINC: 0.1,
    },
    sigma=(0.2, 3),
    size=(7, 21),
    beta=(0.5, 4),
    plateau_beta=(1, 2),
    cutoff=(math.pi / 5, math.pi),
)
_REAL_ESRGAN_NOISE = NoiseSettings(
    kinds={NoiseKind.GAUSSIAN: 0.5, NoiseKind.POISSON: 0.5},
    sigma=(1, 30),
    poisson=(0.05, 3),
    grey=0.4,
)
_REAL_ESRGAN = DegradeSettings(
    blur=_REAL_ESRGAN_BLUR,
    resize=ResizeSettings(
        changes={SizeChange.UP: 0.2, SizeChange.DOWN: 0.7, SizeChange.KEEP: 0.1},
        down=(0.15, 1),
        up=(1, 1.5),
        interpolation=_ANY_INTERPOLATION,
    ),
    noise=_REAL_ESRGAN_NOISE,
    jpeg=JpegSettings(quality=(30, 95)),
    blur_2=replace(_REAL_ESRGAN_BLUR, probability=0.8, sigma=(0.2, 1.5)),
    resize_2=ResizeSettings(
        factor=(4, 4),
        changes={SizeChange.UP: 0.3, SizeChange.DOWN: 0.4, SizeChange.KEEP: 0.3},
        down=(0.3, 1),
        up=(1, 1.2),
        interpolation=_ANY_INTERPOLATION,
    ),
    noise_2=replace(_REAL_ESRGAN_NOISE, sigma=(1, 25), poisson=(0.05, 2.5)),
    jpeg_2=JpegSettings(quality=(30, 95)),
    sinc=SincSettings(probability=0.8, size=(7, 21), cutoff=(math.pi / 3, math.pi)),
    resize_back=ResizeBackSettings(interpolation=_ANY_INTERPOLATION),
)

_OLD_PHOTO = DegradeSettings(
    color=ColorSettings(grey=1.0),
    blur=BlurSettings(sigma=(1, 4)),
    resize=ResizeSettings(factor=(1, 3), interpolation={Interpolation.BICUBIC: 1}),
    noise=NoiseSettings(sigma=(4, 14), grey=1.0, grain=(1.5, 1.5)),
    jpeg=JpegSettings(quality=(70, 95)),
    age=AgeSettings(
        sepia=0.5, contrast=(0.6, 0.9), black=(0.02, 0.08), scratches=(0, 6), dust=(0, 60)
    ),
)
_WEBCAM = DegradeSettings(
    blur=BlurSettings(sigma=(0.8, 2.5)),
    motion=MotionSettings(probability=0.3, length=(3, 11)),
    resize=ResizeSettings(factor=(1.5, 4)),
    noise=NoiseSettings(sigma=(3, 12), chroma=(1.5, 1.5)),
    sharpen=SharpenSettings(amount=(0, 0.6)),
    jpeg=JpegSettings(quality=(25, 60)),
    jpeg_2=JpegSettings(quality=(25, 60), shift=(4, 4)),
)
# A face as FFHQ has it, 126 pixels between the eyes at 512, is 143 pixels high where the crop of
# 128 that face swappers work on has 35 pixels between them.
_SWAP_128 = DegradeSettings(
    color=ColorSettings(shift=(0, 3)),
    blur=BlurSettings(sigma=(1.1, 2.9)),
    resize=ResizeSettings(short_side=(143, 143), interpolation={Interpolation.AREA: 1}),
    tilt=TiltSettings(degrees=(0, 15)),
    resize_back=ResizeBackSettings(interpolation={Interpolation.BICUBIC: 1}),
)

DEGRADE_PRESETS = {
    "gpen": _GPEN,
    "gfpgan": _GFPGAN,
    "codeformer": _CODEFORMER,
    "codeformer-light": _CODEFORMER_LIGHT,
    "real-esrgan": _REAL_ESRGAN,
    "old photo": _OLD_PHOTO,
    "webcam": _WEBCAM,
    "swap-128": _SWAP_128,
}
"""By name."""


def find_preset(name: str) -> DegradeSettings:
    """A preset by its name.

    Raises:
        DegradeSettingsError: There is none of that name.
    """
    if name not in DEGRADE_PRESETS:
        raise DegradeSettingsError(
            f"preset: expected one of {', '.join(DEGRADE_PRESETS)}, got {name!r}. Choose one."
        )
    return DEGRADE_PRESETS[name]
