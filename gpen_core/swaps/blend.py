"""Restore what a swap changed, and blend it with the original: the order of the steps.

The likeness comes from the swap, fine detail from the network, light and grain from the original,
and whatever is excluded (a hand before the face, hair, glasses) from the original too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..blending.color_match import match_color, sample_stride
from ..blending.crops import CropPlan, CropStore
from ..blending.detail import blend_detail_
from ..blending.face_mask import crop_mask, region_mask
from ..blending.grain import measure_noise
from ..blending.masks import soften
from ..faces.faces import Faces
from ..faces.parsing import FACE_REGIONS, FaceParser, parse_faces
from ..geometry.alignment import Template
from ..geometry.warping import crop_image
from ..images.validation import check_images, check_masks
from ..monitor import SILENT, Monitor
from ..network.generator import GpenGenerator
from ..pipeline import restore_crops
from .changes import CHANGE_MAP_PX, find_changes
from .settings import SwapSettings
from .swap_frame import Originals, SwapFrame, within

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
    """The same restored, with the original's colours."""


def blend_swap(
    originals: Tensor,
    swapped: Tensor,
    model: GpenGenerator,
    faces: Faces,
    *,
    frames: Sequence[int] | None = None,
    settings: SwapSettings | None = None,
    user_masks: Tensor | None = None,
    parser: FaceParser | None = None,
    max_batch: int = 1,
    keep_crops: bool = False,
    monitor: Monitor = SILENT,
) -> SwapResult:
    """Restore the faces that a swap changed, and blend them with the original.

    Pixels that the swap did not touch, with a margin, are bit-identical to the swapped image; with
    all influences 0 all pixels are.

    Args:
        originals: (B', C', H', W') floating, C' = 3 or 4, RGB first, in [0, 1]: before the swap.
            Brought to the size and device of ``swapped`` one by one.
        swapped: (B, C, H, W) floating, likewise: after it. Not modified. Alpha is passed on.
        model: The network, on its device.
        faces: Faces of the swapped images; those that the swap did not change are left alone.
        frames: The number of the original of each swapped image, from ``match_frames``; None: as
            many originals as swapped images, in the same order.
        settings: What each picture contributes; the defaults of ``SwapSettings`` if None.
        user_masks: (B or 1, H, W) in [0, 1]: the swap shows inside, the original outside.
        parser: Finds, in the original, what is not face and therefore shows as in the original.
        max_batch: Faces that go through the network together; bounds the memory.
        keep_crops: Return the crops before and after too.
        monitor: Told of progress in faces, and shown each blended crop.

    Raises:
        TensorSpecError: A tensor has another shape or dtype, pixels are not finite, or a face
            points to no image.
        NonFiniteOutputError: The network or parser returned NaN or infinity.
    """
    check_images(originals)
    check_images(swapped)
    faces.count_per_image(len(swapped))
    check_masks(user_masks, swapped)
    settings = settings or SwapSettings()
    paired = Originals(originals, swapped, frames)
    device = next(model.parameters()).device
    faces, maps = _swapped_faces(paired, swapped, faces, settings.template, device, monitor)
    replaced = soften(maps, _SOFT_EDGE / 2)
    touched = soften(maps, _SOFT_EDGE / 2, settings.margin)
    plan = CropPlan(faces, model.config.size, settings.template)
    kept = CropStore(swapped, len(faces), plan.size) if keep_crops else None
    images = swapped.clone()
    masks = swapped.new_zeros((len(swapped), *swapped.shape[2:]), dtype=torch.float32)

    frame: SwapFrame | None = None
    open_image = -1
    done = 0
    for chunk in plan.chunks(max_batch):
        monitor.check_interrupt()
        before = plan.crop(swapped, chunk, device)
        reference = _crop_originals(paired, plan, chunk, device)
        included = _face_pixels(reference, parser) if settings.keep else None
        # The margin has the original's colours already, and would hide how far the face is off.
        weights = replaced[chunk] if included is None else within(replaced[chunk], included)
        after = _blend_crops(before, reference, weights, model, settings)
        if kept is not None:
            kept.put(chunk, before, after)
        for n, i in enumerate(chunk):
            monitor.on_crop(after[n])
            if frame is None or plan.image_index[i] != open_image:
                if frame is not None:
                    frame.finish()
                open_image = plan.image_index[i]
                user_mask = None if user_masks is None else user_masks[open_image % len(user_masks)]
                frame = SwapFrame(
                    images[open_image],
                    masks[open_image],
                    paired.of(open_image),
                    settings,
                    user_mask,
                    seed=open_image,
                )
            shown = None if included is None else included[n]
            bare = replaced[i]
            if settings.restore and settings.grain:
                margin = touched[i] - bare
                bare = bare + margin * _removed_noise(before[n], after[n], margin)
            frame.add(before[n], after[n], plan.image_to_crop[i], touched[i], bare, shown)
            done += 1
            monitor.on_progress(done, len(faces))
    if frame is not None:
        frame.finish()
    crops = (kept.before, kept.after) if kept is not None else (None, None)
    return SwapResult(images, masks, faces, *crops)


def _swapped_faces(
    originals: Originals,
    swapped: Tensor,
    faces: Faces,
    template: Template,
    device: torch.device,
    monitor: Monitor,
) -> tuple[Faces, Tensor]:
    """The faces that differ from the original, and the maps (M, K, K) of where."""
    is_swapped = torch.zeros(len(faces), dtype=torch.bool)
    maps: dict[int, Tensor] = {}
    for image in sorted(set(faces.image_index.tolist())):
        monitor.check_interrupt()
        of_image = (faces.image_index == image).nonzero().flatten()
        changes = find_changes(
            originals.of(image), swapped[image], faces.select(of_image), template, device
        )
        is_swapped[of_image.cpu()] = changes.is_swapped
        maps.update(zip(of_image.tolist(), changes.maps, strict=True))
    chosen = is_swapped.nonzero().flatten()
    if not len(chosen):
        return faces.select(chosen), torch.empty(0, CHANGE_MAP_PX, CHANGE_MAP_PX, device=device)
    return faces.select(chosen), torch.stack([maps[i] for i in chosen.tolist()])


def _crop_originals(
    originals: Originals, plan: CropPlan, chunk: list[int], device: torch.device
) -> Tensor:
    """The crops of the originals at the places of some faces, (n, 3, S, S) float32."""
    crops = [
        crop_image(originals.of(plan.image_index[i]), plan.image_to_crop[i], plan.size, device)
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
        reference: The same of the original.
        weights: (n, K, K) in [0, 1]: pixels whose colours count.
        model: Not run where ``restore`` is 0.
        settings: How much of each.
    """
    after = before
    if settings.restore:
        restored = restore_crops(model, before)
        blend_detail_(restored, before, settings.detail_size, settings.detail)
        after = torch.lerp(before, restored, settings.restore)
    if settings.color:
        size = before.shape[-1]
        shape = crop_mask(size, settings.blending(), before.device, sample_stride(size))
        counted = within(weights, shape.expand(len(before), -1, -1))
        after = match_color(after.clamp(0, 1), reference, counted, settings.color, same_face=False)
    return after
