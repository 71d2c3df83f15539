"""One image of a swap, and the blended faces that are written into it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..blending.compositing import Compositor, FaceChange
from ..geometry.alignment import invert_affine
from ..geometry.warping import footprint, warp_mask
from .settings import SwapSettings


def resized_minimum(first: Tensor, second: Tensor) -> Tensor:
    """The minimum of two masks (..., K, K) of different resolutions, at that of the second."""
    size = second.shape[-2:]
    resized = F.interpolate(first.reshape(1, -1, *first.shape[-2:]), size, mode="bilinear")
    return torch.minimum(resized.reshape(second.shape), second)


@dataclass(frozen=True)
class SwapChange(FaceChange):
    """One swapped face before and after it was blended."""

    visible: Tensor | None = None
    """(L, L) in [0, 1] over the crop: where the swap may show. None: everywhere.

    ``crop_mask``, which is never None, says where the face may change at all.
    """


class SwapFrame:
    """Collects the blended faces of one image and writes them into it together."""

    def __init__(
        self,
        canvas: Tensor,
        mask: Tensor,
        original: Tensor,
        settings: SwapSettings,
        user_mask: Tensor | None,
        seed: int,
    ) -> None:
        """Begin an image.

        Args:
            canvas: (C, H, W) floating, C >= 3, RGB first, swapped; ``finish`` writes to it.
            mask: (H, W) float32 zeros; ``finish`` writes to it too.
            original: (3, H, W), as the image was before the swap.
            settings: For all faces of the image.
            user_mask: (H, W) in [0, 1]: the original shows outside.
            seed: Of the grain; another one for each frame of a clip.
        """
        self._canvas = canvas
        self._mask = mask
        self._original = original
        self._settings = settings
        self._user_mask = user_mask
        self._excluded = torch.zeros_like(mask)
        limit = None if user_mask is None else self._strength(user_mask)
        # The crops have their colours and likeness already.
        blending = replace(settings.blending(), color=0.0, detail=0.0)
        self._compositor = Compositor(
            canvas, mask, blending, limit, seed=seed, grain_source=original
        )

    def add_(self, change: SwapChange) -> None:
        """Keep one face; its ``before`` may be lost."""
        assert change.crop_mask is not None
        touched, visible, image_to_crop = change.crop_mask, change.visible, change.image_to_crop
        if self._settings.restore or self._settings.color or self._settings.grain:
            mask = touched
            if visible is not None:
                mask = resized_minimum(touched, self._strength(visible))
            self._compositor.add_(replace(change, crop_mask=mask))
        if not self._settings.keep or (visible is None and self._user_mask is None):
            return
        size = change.before.shape[-1]
        height, width = self._mask.shape
        region = footprint(invert_affine(image_to_crop), size, (height, width))
        if not region.height or not region.width:
            return
        shows = torch.ones(region.height, region.width, device=self._mask.device)
        if visible is not None:
            shows = warp_mask(visible, size, image_to_crop, region).to(shows)
        if self._user_mask is not None:
            shows = torch.minimum(shows, region.of(self._user_mask).to(shows))
        inside = warp_mask(touched, size, image_to_crop, region).to(shows)
        excluded = region.of(self._excluded)
        excluded.copy_(torch.maximum(excluded, inside * (1 - shows)))

    def _strength(self, mask: Tensor) -> Tensor:
        """How strongly the face is pasted where that much of the swap may show."""
        return 1 - self._settings.keep * (1 - mask)

    def finish(self) -> None:
        """Write the faces into the image, and the original over what is excluded."""
        self._compositor.finish()
        if not self._settings.keep:
            return
        rgb = self._canvas[:3]
        share = self._excluded * self._settings.keep
        mixed = torch.lerp(rgb.float(), self._original.float(), share).to(rgb.dtype)
        rgb.copy_(torch.where(share > 0, mixed, rgb))
        self._mask.copy_(torch.maximum(self._mask, self._excluded))
