"""Damage pictures on purpose: to train and measure restorers, and to show what they do."""

from .age import AgeSettings
from .blur import BlurKind, BlurSettings, MotionSettings, SharpenSettings, SincSettings
from .color import ColorSettings
from .jpeg import JpegSettings
from .noise import NoiseKind, NoiseSettings
from .pipeline import degrade, draw_steps
from .presets import DEGRADE_PRESETS, find_preset
from .resize import (
    Interpolation,
    ResizeBackSettings,
    ResizeSettings,
    SizeChange,
    TiltSettings,
)
from .settings import DegradeSettings, setting_paths

__all__ = [
    "DEGRADE_PRESETS",
    "AgeSettings",
    "BlurKind",
    "BlurSettings",
    "ColorSettings",
    "DegradeSettings",
    "Interpolation",
    "JpegSettings",
    "MotionSettings",
    "NoiseKind",
    "NoiseSettings",
    "ResizeBackSettings",
    "ResizeSettings",
    "SharpenSettings",
    "SincSettings",
    "SizeChange",
    "TiltSettings",
    "degrade",
    "draw_steps",
    "find_preset",
    "setting_paths",
]
