"""Put restored crops back into their images.

What is added to an image is what the network changed: the restored crop less the crop as it was,
resampled to the image's pixels. So what the network leaves alone is unchanged, bit for bit, and a
resampled copy never stands in for the original. Colour and coarse structure are brought closer
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
    needs_grain: Tensor | None  # [h, w], how much of the noise is gone; as pasted if None

    @cached_property
    def weight(self) -> Tensor:
        """The mask times the nearness to the middle of the face, (h, w)."""
        points = pixel_centres(self.region, self.image_to_unit, self.mask.device)
        off_centre = (2 * points - 1).abs().amax(dim=-1).clamp_max(1)
        return self.mask * (1 + _CENTRE_MARGIN - off_centre).square()


@dataclass(frozen=True)
class FaceChange:
    """One face before and after it was changed. ``Compositor.add_`` writes into ``before``."""

    before: Tensor
    """(3, S, S) float32 RGB, the crop as it was."""
    after: Tensor
    """The same, restored."""
    image_to_crop: Tensor
    """(2, 3) float64 on the CPU."""
    crop_mask: Tensor | None = None
    """(K, K) floating in [0, 1] over the crop, of any resolution: the face is pasted no stronger
    than this. None: as the settings say alone."""
    needs_grain: Tensor | None = None
    """(L, L) floating in [0, 1] over the crop: where what is pasted lacks grain. None: all over."""
    color_map: ColorMap | None = None
    """What the colours of the pasted face go through. None: they stay."""


class Compositor:
    """Collects the changed faces of one image and writes them into it together.

    Where faces overlap, each counts by its mask and by how near its middle is, so the order in
    which they come makes no difference.
    """

    def __init__(
        self,
        canvas: Tensor,
        mask: Tensor,
        settings: BlendSettings,
        user_mask: Tensor | None = None,
        seed: int = 0,
        grain_source: Tensor | None = None,
    ) -> None:
        """Begin an image.

        Args:
            canvas: (C, H, W) floating, C >= 3, RGB first; ``finish`` writes to it.
            mask: (H, W) floating zeros; ``finish`` writes to it too.
            settings: For all faces of the image.
            user_mask: (H, W) in [0, 1]: no face is pasted stronger than this.
            seed: Of the grain; another one for each frame of a clip.
            grain_source: (C, H, W) like ``canvas``, whose grain the faces get; ``canvas`` if None.
        """
        self._canvas = canvas
        self._mask = mask
        self._settings = settings
        self._user_mask = user_mask
        self._seed = seed
        self._grain_source = canvas if grain_source is None else grain_source
        self._patches: list[_Patch] = []

    def add_(self, change: FaceChange) -> None:
        """Resample the change of one face to the image's pixels and keep it; ``before`` is lost."""
        size, image_to_crop = change.after.shape[-1], change.image_to_crop
        height, width = self._canvas.shape[-2:]
        region = footprint(invert_affine(image_to_crop), size, (height, width))
        if not region.height or not region.width:
            return
        image_to_unit = image_to_crop / size
        points = pixel_centres(region, image_to_unit, change.after.device)
        settings = self._settings
        mask = shape_mask(points, settings.shape, settings.padding, settings.feather)
        if self._user_mask is not None:
            mask = torch.minimum(mask, region.of(self._user_mask).to(mask))
        if change.crop_mask is not None:
            crop_mask = warp_mask(change.crop_mask, size, image_to_crop, region)
            mask = torch.minimum(mask, crop_mask.to(mask))

        pixels = self._resample_(change, region, mask)
        device = self._canvas.device
        needs_grain = None
        if change.needs_grain is not None:
            needs_grain = warp_mask(change.needs_grain, size, image_to_crop, region).to(mask)
            needs_grain = torch.minimum(needs_grain, mask).to(device)
        self._patches.append(
            _Patch(region, pixels.to(device), mask.to(device), image_to_unit, needs_grain)
        )

    def _resample_(self, change: FaceChange, region: Region, mask: Tensor) -> Tensor:
        """What is to be added to the region of the image where the mask is 1, (3, h, w)."""
        settings, after = self._settings, change.after
        is_kept = settings.fine_grain is FineGrain.KEEP
        source = torch.sub(after, change.before, out=change.before) if is_kept else after
        needed = None if settings.detail > 0 else mask  # the low-pass looks beyond the mask
        to_crop = shift_target(change.image_to_crop, region)
        pixels = warp(source, to_crop, region.height, region.width, needed)
        if not is_kept or change.color_map is not None:
            original = region.of(self._canvas[:3]).to(pixels)
            pasted = pixels.add_(original) if is_kept else pixels
            if change.color_map is not None:
                change.color_map.apply(pasted, out=pasted)
            pixels = pasted.sub_(original)
        if settings.detail > 0:
            crop_size = after.shape[-1] / float(scale_of(to_crop))  # in the image's pixels
            remove_coarse_(pixels[None], settings.detail_size * crop_size, settings.detail)
        return pixels

    def finish(self) -> None:
        """Write all collected faces into the image and its mask."""
        blended = [self._share(patch) for patch in self._patches]
        rgb = self._canvas[:3]
        needed = [
            share if patch.needs_grain is None else patch.needs_grain
            for patch, (share, _) in zip(self._patches, blended, strict=True)
        ]
        # Before faces are written over it.
        noises = (
            list(map(self._noise_around, self._patches, needed)) if self._settings.grain else []
        )
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
            pixels.copy_(add_grain(pixels.float(), needed[i], noise, self._settings.grain, seed))
        self._patches.clear()

    def _noise_around(self, patch: _Patch, needs_grain: Tensor) -> NoiseStatistics:
        """The noise of the image around a patch, not counting (h, w) where it has lost its own."""
        margin = round(_SURROUNDINGS * max(patch.region.height, patch.region.width))
        height, width = self._canvas.shape[-2:]
        region = patch.region.grown(margin, (height, width))
        mask = torch.zeros(region.height, region.width, device=needs_grain.device)
        patch.region.relative_to(region).of(mask).copy_(needs_grain)
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
            own, its = shared.relative_to(patch.region), shared.relative_to(other.region)
            own.of(total).add_(its.of(other.weight))
            own.of(mask).copy_(torch.maximum(own.of(mask), its.of(other.mask)))
        tiny = torch.finfo(total.dtype).tiny
        return patch.weight / total.clamp_min(tiny) * mask * self._settings.blend, mask
