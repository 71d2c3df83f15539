"""One image of a swap: its original beside it, and what is written into it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..blending.compositing import Compositor
from ..errors import TensorSpecError
from ..geometry.alignment import invert_affine
from ..geometry.warping import footprint, warp_mask
from .frames import fit_image
from .settings import SwapSettings


def within(first: Tensor, second: Tensor) -> Tensor:
    """The smaller of two masks (..., K, K) of different resolutions, at that of the second."""
    size = second.shape[-2:]
    resized = F.interpolate(first.reshape(1, -1, *first.shape[-2:]), size, mode="bilinear")
    return torch.minimum(resized.reshape(second.shape), second)


class Originals:
    """The originals of swapped images, each brought to their size and device when it is needed."""

    def __init__(self, originals: Tensor, swapped: Tensor, frames: Sequence[int] | None) -> None:
        """Pair them.

        Args:
            originals: (B', C', H', W') floating, RGB first.
            swapped: (B, C, H, W) floating.
            frames: B numbers of originals; None: as many originals as swapped images.

        Raises:
            TensorSpecError: There is not one original for each swapped image.
        """
        frames = range(len(originals)) if frames is None else frames
        if len(frames) != len(swapped) or (frames and max(frames) >= len(originals)):
            raise TensorSpecError(
                f"originals: expected one for each of {len(swapped)} swapped images, got "
                f"{len(originals)}. Match them with match_frames first."
            )
        self._originals = originals
        self._like = swapped
        self._frames = frames
        self._open: tuple[int, Tensor] | None = None

    def of(self, index: int) -> Tensor:
        """(3, H, W) RGB like the swapped image ``index``."""
        number = self._frames[index]
        if self._open is None or self._open[0] != number:
            original = self._originals[number, :3].to(self._like)
            self._open = (number, fit_image(original, *self._like.shape[2:]))
        return self._open[1]


class SwapFrame:
    """Collects the blended faces of one image and writes them into it together."""

    def __init__(
        self,
        image: Tensor,
        mask: Tensor,
        original: Tensor,
        settings: SwapSettings,
        user_mask: Tensor | None,
        seed: int,
    ) -> None:
        """Begin an image.

        Args:
            image: (C, H, W) floating, C >= 3, RGB first, swapped; ``finish`` writes to it.
            mask: (H, W) float32 zeros, likewise.
            original: (3, H, W), as the image was before the swap.
            settings: For all faces of the image.
            user_mask: (H, W) in [0, 1]: the original shows outside.
            seed: Of the grain; another one for each frame of a clip.
        """
        self._image = image
        self._mask = mask
        self._original = original
        self._settings = settings
        self._user_mask = user_mask
        self._excluded = torch.zeros_like(mask)
        shown = None if user_mask is None else self._shown(user_mask)
        # The crops have their colours and likeness already.
        blending = replace(settings.blending(), color=0.0, detail=0.0)
        self._compositor = Compositor(
            image, mask, blending, shown, seed=seed, grain_source=original
        )

    def add(
        self,
        before: Tensor,
        after: Tensor,
        image_to_crop: Tensor,
        touched: Tensor,
        noiseless: Tensor,
        included: Tensor | None,
    ) -> None:
        """Keep one face.

        Args:
            before: (3, S, S) float32 RGB, the crop of the swapped image.
            after: The same, blended.
            image_to_crop: (2, 3) float64 on the CPU.
            touched: (K, K) in [0, 1] over the crop: where the face may change at all.
            noiseless: (K, K) likewise: where the original's grain is gone.
            included: (L, L) in [0, 1] over the crop: where the swap may show. None: everywhere.
        """
        if self._settings.restore or self._settings.color or self._settings.grain:
            shown = touched if included is None else within(touched, self._shown(included))
            self._compositor.add(before, after, image_to_crop, shown, noiseless)
        if not self._settings.keep or (included is None and self._user_mask is None):
            return
        size = before.shape[-1]
        height, width = self._mask.shape
        region = footprint(invert_affine(image_to_crop), size, (height, width))
        if not region.height or not region.width:
            return
        shown = torch.ones(region.height, region.width, device=self._mask.device)
        if included is not None:
            shown = warp_mask(included, size, image_to_crop, region).to(shown)
        if self._user_mask is not None:
            shown = torch.minimum(shown, region.of(self._user_mask).to(shown))
        inside = warp_mask(touched, size, image_to_crop, region).to(shown)
        here = region.of(self._excluded)
        here.copy_(torch.maximum(here, inside * (1 - shown)))

    def _shown(self, mask: Tensor) -> Tensor:
        """How much of the blended face shows where that much of it is wanted."""
        return 1 - self._settings.keep * (1 - mask)

    def finish(self) -> None:
        """Write the faces into the image, and the original over what is excluded."""
        self._compositor.finish()
        if not self._settings.keep:
            return
        rgb = self._image[:3]
        share = self._excluded * self._settings.keep
        mixed = torch.lerp(rgb.float(), self._original.float(), share).to(rgb.dtype)
        rgb.copy_(torch.where(share > 0, mixed, rgb))
        self._mask.copy_(torch.maximum(self._mask, self._excluded))
