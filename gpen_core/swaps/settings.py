"""How a swapped face is blended."""

from __future__ import annotations

from dataclasses import dataclass

from ..blending.settings import BlendSettings, MaskShape
from ..geometry.alignment import Template
from ..settings import check_limits


@dataclass(frozen=True)
class SwapSettings:
    """What each picture gives to a swapped face. With all influences 0 the swap stays as it is.

    ``restore``, ``color``, ``grain`` and ``keep`` are the influences, each from 0 to 1; ``detail``
    is one on the restoration.
    """

    template: Template = Template.FFHQ
    """How the face sits in the network's crop."""
    restore: float = 1.0
    """Share of the restoration in the swapped face."""
    detail: float = 0.5
    """How far low frequencies, the likeness, come from the swap and not from the restoration."""
    detail_size: float = 0.1
    """Structures wider than this, as a fraction of the crop, are low frequencies."""
    color: float = 1.0
    """How far the face takes over the light and colours of the original's face."""
    grain: float = 1.0
    """How much of the noise around the original's face is put onto it."""
    keep: float = 1.0
    """How much of the original comes back where a mask or parser excludes the swap."""
    margin: float = 0.05
    """How far beyond what the swap touched a face is changed, as a fraction of the crop."""
    shape: MaskShape = MaskShape.BOX
    """Outline beyond which nothing is changed; ``padding`` and ``feather`` as in BlendSettings."""
    padding: float = BlendSettings.padding
    feather: float = BlendSettings.feather

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            SettingError: A share is outside [0, 1], or a fraction outside [0, 0.5]; or there is
                no such choice.
        """
        check_limits(self, {"restore": (0.0, 1.0), "keep": (0.0, 1.0), "margin": (0.0, 0.5)})
        object.__setattr__(self, "template", Template(self.template))
        object.__setattr__(self, "shape", MaskShape(self.shape))
        self.blending()

    def blending(self) -> BlendSettings:
        """What the steps of restoring need to know; checks their ranges."""
        return BlendSettings(
            template=self.template,
            shape=self.shape,
            padding=self.padding,
            feather=self.feather,
            color=self.color,
            detail=self.detail,
            detail_size=self.detail_size,
            grain=self.grain,
        )
