"""Damage pictures on purpose: to train and measure restorers, and to show what they do."""

from .pipeline import degrade, draw_steps
from .presets import DEGRADE_PRESETS, find_preset
from .settings import DegradeSettings, setting_paths

__all__ = [
    "DEGRADE_PRESETS",
    "DegradeSettings",
    "degrade",
    "draw_steps",
    "find_preset",
    "setting_paths",
]
