"""Restore faces in their images, or paste what was restored elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..blending.color_match import ColorMap, fit_color_maps, sample_stride
from ..blending.compositing import Compositor, FaceChange
from ..blending.crops import CropPlan, CropStore
from ..blending.face_mask import crop_mask
from ..blending.masks import empty_masks, mask_of
from ..blending.settings import BlendSettings
from ..errors import TensorSpecError
from ..faces.faces import Faces
from ..geometry.warping import crop_image
from ..images.validation import check_images, check_masks
from ..monitor import SILENT, Monitor
from ..network.generator import GpenGenerator
from .crops import restore_crops
from .loop import RunOptions, composite_faces


@dataclass(frozen=True)
class RestoreResult:
    """What ``restore_faces`` and ``paste_faces`` made."""

    images: Tensor
    """(B, C, H, W), as the input or ``into``: the restored images."""
    masks: Tensor
    """(B, H, W) float32 in [0, 1]: where faces were pasted, before ``blend``."""
    crops: Tensor | None = None
    """(N, 3, S, S) float32 RGB in [0, 1]: the aligned faces, in the order of the faces given."""
    restored_crops: Tensor | None = None
    """The same after the network."""


def restore_faces(
    images: Tensor,
    faces: Faces,
    model: GpenGenerator,
    *,
    settings: BlendSettings | None = None,
    user_masks: Tensor | None = None,
    into: Tensor | None = None,
    run: RunOptions | None = None,
) -> RestoreResult:
    """Restore faces and blend them back into their images.

    Only the pixels around each face travel to the model's device. Pixels outside the mask, and
    with a blend of 0 all pixels, are bit-identical to the input.

    Args:
        images: (B, C, H, W) floating, C = 3 or 4, RGB or RGBA, in [0, 1]. Alpha is passed on.
            Not modified.
        faces: Where the faces are. Without any the images come back as they were.
        model: The network, on its device.
        settings: How the faces are cropped and blended; the defaults of ``BlendSettings`` if None.
        user_masks: (B or 1, H, W) of what is pasted into, in [0, 1]: faces are pasted inside only.
        into: (B, C, H', W') enlarged images that are pasted into, in place. None: a copy of
            ``images``.
        run: How the work is carried out; the defaults of ``RunOptions`` if None.

    Returns:
        As many images as were given, in the same order, on the same device.

    Raises:
        TensorSpecError: A tensor has another shape or dtype, pixels are not finite, or a face
            points to no image.
        NonFiniteOutputError: The network returned NaN or infinity.
    """
    settings, run = settings or BlendSettings(), run or RunOptions()
    plan = CropPlan(faces, model.config.size, settings.template)
    device = next(model.parameters()).device
    paste = _Paste(images, faces, into, user_masks, settings)
    kept = CropStore(images, len(faces), plan.size) if run.keep_crops else None

    def change(chunk: list[int]) -> Iterator[FaceChange]:
        crops = plan.crop(images, chunk, device)
        restored = restore_crops(crops, model)
        if kept is not None:
            kept.put(chunk, crops, restored)
        return paste.changes(plan, chunk, crops, restored)

    composite_faces(plan, change, lambda image: paste.open(image, run.seed + image), run)
    crops = (None, None) if kept is None else (kept.before, kept.after)
    return RestoreResult(paste.images, paste.masks, *crops)


def paste_faces(
    images: Tensor,
    faces: Faces,
    restored_crops: Tensor,
    *,
    settings: BlendSettings | None = None,
    user_masks: Tensor | None = None,
    into: Tensor | None = None,
    monitor: Monitor = SILENT,
) -> RestoreResult:
    """Blend crops that were restored elsewhere into the images they were taken from.

    Args:
        images: The images that ``crop_faces`` was given.
        faces: The faces that it was given.
        restored_crops: (N, 3, S, S) floating RGB in [0, 1], in the order of the faces. S may
            differ from the size of the crops taken. They are resampled on their device.
        settings: How to blend, with the template that the crops were taken with.
        user_masks: (B or 1, H, W) of what is pasted into, in [0, 1]: faces are pasted inside only.
        into: (B, C, H', W') enlarged images that are pasted into, in place. None: a copy of
            ``images``.
        monitor: Told of progress in faces, and shown each crop.

    Returns:
        As many images as were given, in the same order, on the same device.

    Raises:
        TensorSpecError: As for ``restore_faces``, or there are not as many crops as faces.
    """
    size = restored_crops.shape[-1]
    if restored_crops.shape != (len(faces), 3, size, size):
        raise TensorSpecError(
            f"restored_crops: expected ({len(faces)}, 3, S, S), one RGB crop a face, got "
            f"{tuple(restored_crops.shape)}. Give the crops of these very faces, all of them."
        )
    settings = settings or BlendSettings()
    plan = CropPlan(faces, size, settings.template)
    paste = _Paste(images, faces, into, user_masks, settings)

    def change(chunk: list[int]) -> Iterator[FaceChange]:
        crops = plan.crop(images, chunk, restored_crops.device)
        return paste.changes(plan, chunk, crops, restored_crops[chunk].to(crops))

    composite_faces(
        plan, change, lambda image: paste.open(image, image), RunOptions(monitor=monitor)
    )
    return RestoreResult(paste.images, paste.masks)


class _Paste:
    """The images that faces are pasted into, and where they were pasted."""

    def __init__(
        self,
        images: Tensor,
        faces: Faces,
        into: Tensor | None,
        user_masks: Tensor | None,
        settings: BlendSettings,
    ) -> None:
        check_images(images)
        faces.count_per_image(len(images))
        # In place: a copy would cost as much as the whole output.
        self.images = images.clone() if into is None else into
        self.masks = empty_masks(self.images)
        self._canvas_to_image = _canvas_scale(images, self.images)
        self._is_enlarged = into is not None
        self._settings = settings
        check_masks(user_masks, self.images)
        self._user_masks = user_masks

    def changes(
        self, plan: CropPlan, chunk: list[int], crops: Tensor, restored: Tensor
    ) -> Iterator[FaceChange]:
        """What is pasted for the faces of a chunk; (n, 3, S, S) crops before and after."""
        color_maps = _fit_colors(crops, restored, self._settings)
        for i, before, after, color_map in zip(chunk, crops, restored, color_maps, strict=True):
            canvas_to_crop = plan.image_to_crop[i] @ self._canvas_to_image
            if self._is_enlarged:
                # On an enlarged canvas the face is sharper or softer than the crop was.
                image = self.images[plan.image_index[i], :3]
                before = crop_image(image, canvas_to_crop, plan.size, crops.device)
            yield FaceChange(before, after, canvas_to_crop, color_map=color_map)

    def open(self, image: int, seed: int) -> Compositor:
        """What writes the faces of an image."""
        user_mask = mask_of(self._user_masks, image)
        canvas, mask = self.images[image], self.masks[image]
        return Compositor(canvas, mask, self._settings, user_mask, seed)


def _fit_colors(
    before: Tensor, after: Tensor, settings: BlendSettings
) -> Sequence[ColorMap | None]:
    """What gives restored crops the colours of the crops they were made from, for each of them."""
    if settings.color == 0:
        return [None] * len(after)
    size = after.shape[-1]
    weights = crop_mask(size, settings, after.device, sample_stride(size))  # what will be pasted
    return fit_color_maps(after, before, weights.expand(len(after), -1, -1), settings.color)


def _canvas_scale(images: Tensor, canvas: Tensor) -> Tensor:
    """(3, 3) float64 from canvas to image pixels."""
    if canvas.shape[:2] != images.shape[:2]:
        raise TensorSpecError(
            f"into: expected {tuple(images.shape[:2])} images and channels, got "
            f"{tuple(canvas.shape[:2])}. Enlarge the images that the faces are in."
        )
    x, y = (images.shape[i] / canvas.shape[i] if canvas.shape[i] else 1.0 for i in (3, 2))
    return torch.diag(torch.tensor([x, y, 1.0], dtype=torch.float64))
