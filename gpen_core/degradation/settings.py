"""What is done to a picture, stage by stage, in the order of the fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ..errors import DegradeSettingsError
from .age import AgeSettings
from .blur import BlurSettings, MotionSettings, SharpenSettings, SincSettings
from .color import ColorSettings
from .jpeg import JpegSettings
from .noise import NoiseSettings
from .resize import ResizeBackSettings, ResizeSettings, TiltSettings
from .stage import Stage

_NUMBER = r"\s*(\d+\.?\d*|\.\d+)\s*"
_RANGE = re.compile(f"{_NUMBER}(?:(?:-|to|,|\\.\\.){_NUMBER})?")


@dataclass(frozen=True)
class DegradeSettings:
    """Every stage. By default none does anything."""

    color: ColorSettings = field(default_factory=ColorSettings)
    blur: BlurSettings = field(default_factory=BlurSettings)
    motion: MotionSettings = field(default_factory=MotionSettings)
    resize: ResizeSettings = field(default_factory=ResizeSettings)
    tilt: TiltSettings = field(default_factory=TiltSettings)
    noise: NoiseSettings = field(default_factory=NoiseSettings)
    sharpen: SharpenSettings = field(default_factory=SharpenSettings)
    jpeg: JpegSettings = field(default_factory=JpegSettings)
    blur_2: BlurSettings = field(default_factory=BlurSettings)
    resize_2: ResizeSettings = field(default_factory=ResizeSettings)
    noise_2: NoiseSettings = field(default_factory=NoiseSettings)
    jpeg_2: JpegSettings = field(default_factory=JpegSettings)
    sinc: SincSettings = field(default_factory=SincSettings)
    age: AgeSettings = field(default_factory=AgeSettings)
    resize_back: ResizeBackSettings = field(default_factory=ResizeBackSettings)

    def changed(self, texts: Mapping[str, str]) -> DegradeSettings:
        """The same with some of it replaced.

        Args:
            texts: Of each field, by its path as in ``jpeg.quality``, what to set it to: a number
                or a range as in "40" and "30-60", a probability, or kinds with their weights as in
                "gaussian 0.7, motion 0.3".

        Raises:
            DegradeSettingsError: There is no such field, or it cannot be set to that.
        """
        settings = self
        for path, text in texts.items():
            stage_name, _, name = path.partition(".")
            stage = getattr(settings, stage_name, None)
            if not isinstance(stage, Stage) or name not in {f.name for f in fields(stage)}:
                raise DegradeSettingsError(
                    f"{path}: expected the name of a setting, as in jpeg.quality, got none of "
                    f"these. Choose from {', '.join(setting_paths())}."
                )
            value = _parse(path, text, getattr(stage, name))
            try:
                stage = replace(stage, **{name: value})
            except DegradeSettingsError as error:
                raise DegradeSettingsError(f"{path}: {str(error).partition(': ')[2]}") from error
            changed: Any = {stage_name: stage}
            settings = replace(settings, **changed)
        return settings


def setting_paths() -> list[str]:
    """The path of every field of every stage, as in ``jpeg.quality``."""
    settings = DegradeSettings()
    return [
        f"{stage.name}.{setting.name}"
        for stage in fields(settings)
        for setting in fields(getattr(settings, stage.name))
    ]


def _parse(path: str, text: str, value: Any) -> Any:
    """The value that a text stands for, of the same type as another."""
    if isinstance(value, Mapping):
        parts = [part.rpartition(" ") for part in text.split(",")]
        return {name.strip(): weight for name, _, weight in parts}
    found = _RANGE.fullmatch(text)
    if found is None or (found[2] is not None and not isinstance(value, tuple)):
        expected = "a number or a range as in 30-60" if isinstance(value, tuple) else "a number"
        raise DegradeSettingsError(f"{path}: expected {expected}, got {text!r}. Correct it.")
    low = float(found[1])
    if not isinstance(value, tuple):
        return low
    return (low, low if found[2] is None else float(found[2]))
