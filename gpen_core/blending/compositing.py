"""Put restored crops back into their images.

What is added to an image is what the network changed: the restored crop less the crop as it was,
resampled to the image's pixels. So what the network leaves alone stays as it was, to the bit, and
a resampled copy never stands in for the original. Colour and coarse structure are brought closer
to the image in its own pixels too: a crop of a large network has many times as many, and a map of
single colours or a blur gives all but the same before resampling and after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..geometry.alignment import invert_affine, scale_of
from ..geometry.warping import Region, footprint, pixel_centres, shift_target, warp, warp_mask
from .color_match import ColorMap
from .detail import remove_coarse_
from .face_mask import shape_mask
from .grain import NoiseStatistics, add_grain, surrounding_noise
from .settings import BlendSettings, FineGrain

_SURROUNDINGS = 0.25  # how far around a face its noise is measured, as a fraction of the crop
_MAX_FACES_PER_SEED = 1000
_CENTRE_MARGIN = 1e-3  # keeps the weight positive up to the very edge of the crop


@dataclass(frozen=True)
class _Patch:
    region: Region
    change: Tensor  # [3, h, w]
    mask: Tensor  # [h, w]
    image_to_unit: Tensor  # [2, 3] float64 on the CPU, to fractions of the crop
    noiseless: Tensor | None  # [h, w], how much of the noise is gone; as pasted if None

    @cached_property
    def weight(self) -> Tensor:
        """The mask times the nearness to the middle of the face, (h, w)."""
        points = pixel_centres(self.region, self.image_to_unit, self.mask.device)
        off_centre = (2 * points - 1).abs().amax(dim=-1).clamp_max(1)
        return self.mask * (1 + _CENTRE_MARGIN - off_centre).square()


class Compositor:
    """Collects the changed faces of one image and writes them into it together.

    Where faces overlap, each counts by its mask and by how near its middle is, so the order in
    which they come makes no difference.
    """

    def __init__(
        self,
        image: Tensor,
        mask: Tensor,
        settings: BlendSettings,
        user_mask: Tensor | None = None,
        seed: int = 0,
        grain_source: Tensor | None = None,
    ) -> None:
        """Begin an image.

        Args:
            image: (C, H, W) floating, C >= 3, RGB first; ``finish`` writes to it.
            mask: (H, W) floating zeros, likewise.
            settings: For all faces of the image.
            user_mask: (H, W) in [0, 1]: no face is pasted stronger than this.
            seed: Of the grain; another one for each frame of a clip.
            grain_source: (C, H, W) like ``image``, whose grain the faces get; ``image`` if None.
        """
        self._image = image
        self._mask = mask
        self._settings = settings
        self._user_mask = user_mask
        self._seed = seed
        self._grain_source = image if grain_source is None else grain_source
        self._patches: list[_Patch] = []

    def add(
        self,
        before: Tensor,
        after: Tensor,
        image_to_crop: Tensor,
        crop_mask: Tensor | None = None,
        noiseless: Tensor | None = None,
        color_map: ColorMap | None = None,
    ) -> None:
        """Resample the change of one face to the image's pixels and keep it.

        Args:
            before: (3, S, S) float32 RGB, the crop as it was. Used up: its memory is written to.
            after: The same, restored.
            image_to_crop: (2, 3) float64 on the CPU.
            crop_mask: (K, K) floating in [0, 1] over the crop, of any resolution: the face is
                pasted no stronger than this.
            noiseless: (L, L) likewise: where of what is pasted grain is missing. None: all over.
            color_map: What the colours of the pasted face go through. None: they stay.
        """
        size = after.shape[-1]
        height, width = self._image.shape[-2:]
        region = footprint(invert_affine(image_to_crop), size, (height, width))
        if not region.height or not region.width:
            return
        image_to_unit = image_to_crop / size
        points = pixel_centres(region, image_to_unit, after.device)
        settings = self._settings
        mask = shape_mask(points, settings.shape, settings.padding, settings.feather)
        if self._user_mask is not None:
            mask = torch.minimum(mask, region.of(self._user_mask).to(mask))
        if crop_mask is not None:
            mask = torch.minimum(mask, warp_mask(crop_mask, size, image_to_crop, region).to(mask))

        change = self._change(before, after, image_to_crop, region, mask, color_map)
        device = self._image.device
        if noiseless is not None:
            noiseless = warp_mask(noiseless, size, image_to_crop, region).to(mask)
            noiseless = torch.minimum(noiseless, mask).to(device)
        self._patches.append(
            _Patch(region, change.to(device), mask.to(device), image_to_unit, noiseless)
        )

    def _change(
        self,
        before: Tensor,
        after: Tensor,
        image_to_crop: Tensor,
        region: Region,
        mask: Tensor,
        color_map: ColorMap | None,
    ) -> Tensor:
        """What is to be added to the region of the image where the mask is 1, (3, h, w)."""
        settings = self._settings
        is_kept = settings.fine_grain is FineGrain.KEEP
        source = torch.sub(after, before, out=before) if is_kept else after
        needed = None if settings.detail > 0 else mask  # the low-pass looks beyond the mask
        to_crop = shift_target(image_to_crop, region)
        change = warp(source, to_crop, region.height, region.width, needed)
        if not is_kept or color_map is not None:
            original = region.of(self._image[:3]).to(change)
            pasted = change.add_(original) if is_kept else change
            if color_map is not None:
                color_map.apply(pasted, out=pasted)
            change = pasted.sub_(original)
        if settings.detail > 0:
            crop_size = after.shape[-1] / float(scale_of(to_crop))  # in the image's pixels
            remove_coarse_(change[None], settings.detail_size * crop_size, settings.detail)
        return change

    def finish(self) -> None:
        """Write all collected faces into the image and its mask."""
        blended = [self._share(patch) for patch in self._patches]
        rgb = self._image[:3]
        bare = [
            share if patch.noiseless is None else patch.noiseless
            for patch, (share, _) in zip(self._patches, blended, strict=True)
        ]
        # Before faces are written over it.
        noises = list(map(self._noise_around, self._patches, bare)) if self._settings.grain else []
        for patch, (share, _) in zip(self._patches, blended, strict=True):
            pixels = patch.region.of(rgb)
            pixels.copy_(pixels.float().addcmul_(patch.change, share))
        for patch, (share, mask) in zip(self._patches, blended, strict=True):
            pixels = patch.region.of(rgb)
            # Only what was changed is brought into range: the rest is not ours to touch.
            pixels.copy_(torch.where(share > 0, pixels.clamp(0, 1), pixels))
            patch.region.of(self._mask).copy_(mask)
        for i, noise in enumerate(noises):
            pixels = self._patches[i].region.of(rgb)
            seed = self._seed * _MAX_FACES_PER_SEED + i
            pixels.copy_(add_grain(pixels.float(), bare[i], noise, self._settings.grain, seed))
        self._patches.clear()

    def _noise_around(self, patch: _Patch, bare: Tensor) -> NoiseStatistics:
        """The noise of the picture around a patch, of which ``bare`` (h, w) has lost its own."""
        margin = round(_SURROUNDINGS * max(patch.region.height, patch.region.width))
        height, width = self._image.shape[-2:]
        region = patch.region.grown(margin, (height, width))
        mask = torch.zeros(region.height, region.width, device=bare.device)
        patch.region.relative_to(region).of(mask).copy_(bare)
        return surrounding_noise(region.of(self._grain_source[:3]).float(), mask)

    def _share(self, patch: _Patch) -> tuple[Tensor, Tensor]:
        """The factor on a patch's change, and the mask of all faces over its region."""
        others = [
            (other, shared)
            for other in self._patches
            if other is not patch
            and (shared := patch.region.intersection(other.region)).height
            and shared.width
        ]
        if not others:
            return patch.mask * self._settings.blend, patch.mask
        mask, total = patch.mask.clone(), patch.weight.clone()
        for other, shared in others:
            here, there = shared.relative_to(patch.region), shared.relative_to(other.region)
            here.of(total).add_(there.of(other.weight))
            here.of(mask).copy_(torch.maximum(here.of(mask), there.of(other.mask)))
        tiny = torch.finfo(total.dtype).tiny
        return patch.weight / total.clamp_min(tiny) * mask * self._settings.blend, mask
