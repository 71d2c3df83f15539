"""Restore what a swap changed, and blend it with the original: the order of the steps.

The likeness comes from the swap, fine detail from the network, light and grain from the original,
and whatever is excluded (a hand before the face, hair, glasses) from the original too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..blending.color_match import match_color, sample_stride
from ..blending.crops import CropPlan, CropStore
from ..blending.detail import blend_detail_
from ..blending.face_mask import crop_mask, region_mask
from ..blending.grain import measure_noise
from ..blending.masks import empty_masks, mask_of, soften
from ..faces.faces import Faces
from ..faces.parsing import FACE_REGIONS, FaceParser, parse_faces
from ..geometry.alignment import Template
from ..geometry.warping import crop_image
from ..images.validation import check_masks
from ..monitor import Monitor
from ..network.generator import GpenGenerator
from ..pipeline import RunOptions, composite_faces, restore_crops
from .changes import CHANGE_MAP_PX, find_changes
from .pairs import SwapPairs
from .settings import SwapSettings
from .swap_frame import SwapChange, SwapFrame, resized_minimum

_SOFT_EDGE = 0.08  # of the crop: of what the swap touched, and of what a parser tells apart


@dataclass(frozen=True)
class SwapResult:
    """What ``blend_swap`` made."""

    images: Tensor
    """(B, C, H, W): the swapped images, with their swapped faces blended."""
    masks: Tensor
    """(B, H, W) float32 in [0, 1]: where they may have been changed."""
    faces: Faces
    """The M faces that the swap changed, of those given and in their order."""
    crops: Tensor | None = None
    """(M, 3, S, S) float32 RGB in [0, 1]: these faces as the swap left them."""
    blended_crops: Tensor | None = None
    """(M, 3, S, S) float32 RGB: these crops restored, with the original's colours."""


def blend_swap(
    pairs: SwapPairs,
    faces: Faces,
    model: GpenGenerator,
    *,
    settings: SwapSettings | None = None,
    user_masks: Tensor | None = None,
    parser: FaceParser | None = None,
    run: RunOptions | None = None,
) -> SwapResult:
    """Restore the faces that a swap changed, and blend them with the original.

    Pixels that the swap did not touch, with a margin, are bit-identical to the swapped image; with
    all influences 0 all pixels are.

    Args:
        pairs: The images before and after the swap. Not modified. Alpha is passed on.
        faces: Faces of the swapped images; those that the swap did not change are left alone.
        model: The network, on its device.
        settings: What each picture contributes; the defaults of ``SwapSettings`` if None.
        user_masks: (B or 1, H, W) in [0, 1]: the swap shows inside, the original outside.
        parser: Finds, in the original, what is not face and therefore shows as in the original.
        run: How the work is carried out, as for ``restore_faces``.

    Raises:
        TensorSpecError: A tensor has another shape or dtype, pixels are not finite, or a face
            points to no image.
        NonFiniteOutputError: The network or parser returned NaN or infinity.
    """
    swapped = pairs.swapped
    faces.count_per_image(len(swapped))
    check_masks(user_masks, swapped)
    settings, run = settings or SwapSettings(), run or RunOptions()
    device = next(model.parameters()).device
    faces, maps = _swapped_faces(pairs, faces, settings.template, device, run.monitor)
    replaced = soften(maps, _SOFT_EDGE / 2)
    touched = soften(maps, _SOFT_EDGE / 2, settings.margin)
    plan = CropPlan(faces, model.config.size, settings.template)
    kept = CropStore(swapped, len(faces), plan.size) if run.keep_crops else None
    images, masks = swapped.clone(), empty_masks(swapped)

    def change(chunk: list[int]) -> Iterator[SwapChange]:
        before = plan.crop(swapped, chunk, device)
        reference = _crop_originals(pairs, plan, chunk, device)
        visible = _face_pixels(reference, parser) if settings.keep else None
        # The margin has the original's colours already, and would hide how far the face is off.
        weights = replaced[chunk] if visible is None else resized_minimum(replaced[chunk], visible)
        after = _blend_crops(before, reference, weights, model, settings)
        if kept is not None:
            kept.put(chunk, before, after)
        for n, i in enumerate(chunk):
            needs_grain = replaced[i]
            if settings.restore and settings.grain:
                margin = touched[i] - needs_grain
                needs_grain = needs_grain + margin * _removed_noise(before[n], after[n], margin)
            yield SwapChange(
                before[n],
                after[n],
                plan.image_to_crop[i],
                crop_mask=touched[i],
                needs_grain=needs_grain,
                visible=None if visible is None else visible[n],
            )

    def open_frame(image: int) -> SwapFrame:
        canvas, mask, original = images[image], masks[image], pairs.original(image)
        user_mask = mask_of(user_masks, image)
        return SwapFrame(canvas, mask, original, settings, user_mask, run.seed + image)

    composite_faces(plan, change, open_frame, run)
    crops = (None, None) if kept is None else (kept.before, kept.after)
    return SwapResult(images, masks, faces, *crops)


def _swapped_faces(
    pairs: SwapPairs, faces: Faces, template: Template, device: torch.device, monitor: Monitor
) -> tuple[Faces, Tensor]:
    """The faces that differ from the original, and the maps (M, K, K) of where."""
    is_swapped = torch.zeros(len(faces), dtype=torch.bool)
    maps: dict[int, Tensor] = {}
    for image in sorted(set(faces.image_index.tolist())):
        monitor.check_interrupt()
        rows = (faces.image_index == image).nonzero().flatten()
        of_image = faces.select(rows)
        original, swapped = pairs.original(image), pairs.swapped[image]
        changes = find_changes(original, swapped, of_image, template, device)
        is_swapped[rows.cpu()] = changes.is_swapped
        maps.update(zip(rows.tolist(), changes.maps, strict=True))
    chosen = is_swapped.nonzero().flatten()
    if not len(chosen):
        return faces.select(chosen), torch.empty(0, CHANGE_MAP_PX, CHANGE_MAP_PX, device=device)
    return faces.select(chosen), torch.stack([maps[i] for i in chosen.tolist()])


def _crop_originals(
    pairs: SwapPairs, plan: CropPlan, chunk: list[int], device: torch.device
) -> Tensor:
    """The crops of the originals at the places of some faces, (n, 3, S, S) float32."""
    crops = [
        crop_image(pairs.original(plan.image_index[i]), plan.image_to_crop[i], plan.size, device)
        for i in chunk
    ]
    return torch.stack(crops).clamp_(0, 1)


def _face_pixels(reference: Tensor, parser: FaceParser | None) -> Tensor | None:
    """(n, K, K) in [0, 1]: what is face, and not hair, a hat, glasses or a hand before it."""
    if parser is None:
        return None
    return region_mask(parse_faces(reference, parser), FACE_REGIONS, _SOFT_EDGE)


def _removed_noise(before: Tensor, after: Tensor, margin: Tensor) -> float:
    """How much of the noise the restoration took from the margin that the swap left alone."""
    size = before.shape[1:]
    weights = F.interpolate(margin[None, None], size, mode="bilinear")[0, 0]
    noise = measure_noise(before, weights).sigma
    return max(0.0, 1 - measure_noise(after, weights).sigma / noise) if noise else 0.0


def _blend_crops(
    before: Tensor, reference: Tensor, weights: Tensor, model: GpenGenerator, settings: SwapSettings
) -> Tensor:
    """Swapped crops with the network's detail and the original's colours.

    Args:
        before: (n, 3, S, S) float32 RGB in [0, 1], of the swapped image.
        reference: (n, 3, S, S) float32 RGB in [0, 1], of the original.
        weights: (n, K, K) in [0, 1]: pixels whose colours count.
        model: Not run where ``restore`` is 0.
        settings: How much of each.
    """
    after = before
    if settings.restore:
        restored = restore_crops(before, model)
        blend_detail_(restored, before, settings.detail_size, settings.detail)
        after = torch.lerp(before, restored, settings.restore)
    if settings.color:
        size = before.shape[-1]
        shape = crop_mask(size, settings.blending(), before.device, sample_stride(size))
        counted = resized_minimum(weights, shape.expand(len(before), -1, -1))
        after = match_color(after.clamp(0, 1), reference, counted, settings.color, same_face=False)
    return after
