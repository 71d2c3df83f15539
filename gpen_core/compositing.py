"""Put restored crops back into their images.

What is added to an image is what the network changed, the restored crop less the crop it was
given, resampled to the image's pixels. So what the network leaves alone stays as it was, to the
bit, and a resampled copy never stands in for the original.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .alignment import invert_affine
from .masks import box_mask
from .resampling import Region, footprint, pixel_centres, shift_target, warp


@dataclass(frozen=True)
class PasteSettings:
    """How a restored crop is blended into its image."""

    blend: float = 1.0
    """Share of the restoration, 0 (the image as it was) to 1."""
    padding: float = 0.02
    """Strip along the crop's edge that is left alone, as a fraction of the crop."""
    feather: float = 0.12
    """Width of the soft edge inside that, as a fraction of the crop."""


@dataclass(frozen=True)
class _Patch:
    region: Region
    change: Tensor  # [3, h, w], already times the mask
    mask: Tensor  # [h, w]


class Compositor:
    """Collects the changed faces of one image and writes them into it together.

    Where faces overlap, each counts by its mask, so the nearer face weighs more and the order in
    which they come makes no difference.
    """

    def __init__(self, image: Tensor, mask: Tensor, settings: PasteSettings) -> None:
        """Begin an image.

        Args:
            image: (C, H, W) floating, C >= 3, RGB first; ``finish`` writes to it.
            mask: (H, W) floating zeros, likewise.
            settings: For all faces of the image.
        """
        self._image = image
        self._mask = mask
        self._settings = settings
        self._patches: list[_Patch] = []

    def add(self, change: Tensor, image_to_crop: Tensor) -> None:
        """Resample the change of one face to the image's pixels and keep it.

        Args:
            change: (3, S, S) float32, restored less original crop, in the image's units.
            image_to_crop: (2, 3) float64 on the CPU.
        """
        size = change.shape[-1]
        height, width = self._image.shape[-2:]
        region = footprint(invert_affine(image_to_crop), size, (height, width))
        if not region.height or not region.width:
            return
        points = pixel_centres(region, image_to_crop, change.device) / size
        mask = box_mask(points, self._settings.padding, self._settings.feather)
        to_crop = shift_target(image_to_crop, region)
        warped = warp(change, to_crop, region.height, region.width).mul_(mask)
        device = self._image.device
        self._patches.append(_Patch(region, warped.to(device), mask.to(device)))

    def finish(self) -> None:
        """Write all collected faces into the image and its mask."""
        totals = [self._total_mask(patch) for patch in self._patches]
        rgb = self._image[:3]
        for patch, total in zip(self._patches, totals, strict=True):
            share = self._settings.blend / total.clamp_min(1)
            pixels = patch.region.of(rgb)
            pixels.copy_(pixels.float().add_(patch.change * share))
        for patch, total in zip(self._patches, totals, strict=True):
            pixels = patch.region.of(rgb)
            # Only what was changed is brought into range: the rest is not ours to touch.
            changed = (patch.mask > 0) & (self._settings.blend > 0)
            pixels.copy_(torch.where(changed, pixels.clamp(0, 1), pixels))
            patch.region.of(self._mask).copy_(total.clamp_max(1))
        self._patches.clear()

    def _total_mask(self, patch: _Patch) -> Tensor:
        """The sum of all faces' masks over the region of one."""
        total = patch.mask.clone()
        for other in self._patches:
            shared = patch.region.intersection(other.region)
            if other is not patch and shared.height and shared.width:
                here = shared.relative_to(patch.region).of(total)
                here.add_(shared.relative_to(other.region).of(other.mask))
        return total
