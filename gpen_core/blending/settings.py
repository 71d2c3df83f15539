"""How a restored face is blended into its image."""

from __future__ import annotations

from dataclasses import dataclass

from ..geometry.alignment import Template
from ..settings import Choice, check_limits


class MaskShape(Choice):
    """Outline of the part of the crop that is pasted."""

    BOX = "box"
    ELLIPSE = "ellipse"


class FineGrain(Choice):
    """How detail too fine for the crop is handled, where a face is larger than the crop."""

    KEEP = "keep"
    """The original's stays on top: what the network leaves alone stays as it was."""
    REPLACE = "replace"
    """It goes, as the restored crop covers the face. For noise and scratches on large faces."""


@dataclass(frozen=True)
class BlendSettings:
    """Everything around the network: how a face is cropped and how its restoration is blended."""

    template: Template = Template.FFHQ
    """How the face sits in the network's crop."""
    blend: float = 1.0
    """Share of the restoration, 0 (the image as it was) to 1."""
    shape: MaskShape = MaskShape.BOX
    """Outline of the mask."""
    padding: float = 0.02
    """Strip along the crop's edge that is left alone, as a fraction of the crop."""
    feather: float = 0.12
    """Width of the soft edge inside that, as a fraction of the crop."""
    fine_grain: FineGrain = FineGrain.KEEP
    """Detail of the original that is too fine for the crop, not only grain. The name is that of a
    widget, which saved workflows hold, and so it is permanent."""
    color: float = 0.0
    """How far the restoration takes over the input face's colours, 0 to 1."""
    detail: float = 0.0
    """How far low frequencies come from the input and only high ones from the restoration."""
    detail_size: float = 0.1
    """Structures wider than this, as a fraction of the crop, are low frequencies."""
    grain: float = 0.0
    """How much of the noise around the face is put back onto it, 0 to 1."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            SettingError: A share is outside [0, 1], or a fraction outside [0, 0.5]; or there is
                no such choice.
        """
        object.__setattr__(self, "template", Template(self.template))
        object.__setattr__(self, "shape", MaskShape(self.shape))
        object.__setattr__(self, "fine_grain", FineGrain(self.fine_grain))
        shares = dict.fromkeys(("blend", "color", "detail", "grain"), (0.0, 1.0))
        fractions = dict.fromkeys(("padding", "feather", "detail_size"), (0.0, 0.5))
        check_limits(self, shares | fractions)
