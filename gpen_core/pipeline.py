"""The way of the data, align -> network -> blend -> composite: the order and no arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .blending.color_match import ColorMap, fit_color_maps, sample_stride
from .blending.compositing import Compositor
from .blending.crops import CropPlan, CropStore
from .blending.face_mask import crop_mask
from .blending.settings import BlendSettings
from .errors import (
    DeviceMemoryError,
    NonFiniteOutputError,
    TensorSpecError,
    is_out_of_memory,
)
from .faces.faces import Faces
from .geometry.alignment import Template
from .geometry.warping import crop_image
from .images.validation import check_images, check_masks, is_finite
from .monitor import SILENT, Monitor
from .network.generator import GpenGenerator

# A single number on the CPU goes to any device with the call.
_ONE = torch.tensor(1.0, device="cpu")


@dataclass(frozen=True)
class RestoreResult:
    """What ``restore_faces`` and ``paste_faces`` made."""

    images: Tensor
    """(B, C, H, W), as the input or the canvas: the restored images."""
    masks: Tensor
    """(B, H, W) float32 in [0, 1]: where faces were pasted, before ``blend``."""
    crops: Tensor | None = None
    """(N, 3, S, S) float32 RGB in [0, 1]: the aligned faces, in the order of the faces given."""
    restored_crops: Tensor | None = None
    """The same after the network."""


def restore_faces(
    images: Tensor,
    model: GpenGenerator,
    faces: Faces,
    *,
    settings: BlendSettings | None = None,
    user_masks: Tensor | None = None,
    canvas: Tensor | None = None,
    max_batch: int = 1,
    keep_crops: bool = False,
    seed: int = 0,
    monitor: Monitor = SILENT,
) -> RestoreResult:
    """Restore faces and blend them back into their images.

    Only the pixels around each face travel to the model's device. Pixels outside the mask, and
    with a blend of 0 all pixels, are bit-identical to the input.

    Args:
        images: (B, C, H, W) floating, C = 3 or 4, RGB or RGBA, in [0, 1]. Alpha is passed on.
            Not modified.
        model: The network, on its device.
        faces: Where the faces are. Without any the images come back as they were.
        settings: How the faces are cropped and blended; the defaults of ``BlendSettings`` if None.
        user_masks: (B or 1, H, W) of the canvas, in [0, 1]: faces are pasted inside only.
        canvas: (B, C, H', W') enlarged images to paste into, in place, instead of ``images``.
        max_batch: Faces that go through the network together; bounds the memory.
        keep_crops: Return the crops before and after the network too.
        seed: Of the grain of the first image; each further one counts on. For a clip in parts.
        monitor: Told of progress in faces, and shown each restored crop.

    Returns:
        As many images as were given, in the same order, on the same device.

    Raises:
        TensorSpecError: A tensor has another shape or dtype, pixels are not finite, or a face
            points to no image.
        NonFiniteOutputError: The network returned NaN or infinity.
    """
    size = model.config.size
    device = next(model.parameters()).device
    kept = CropStore(images, len(faces), size) if keep_crops else None

    def restore(chunk: list[int], crops: Tensor) -> Tensor:
        restored = restore_crops(model, crops)
        if kept is not None:
            kept.put(chunk, crops, restored)
        return restored

    result = _process(
        images,
        faces,
        restore,
        size=size,
        device=device,
        settings=settings,
        user_masks=user_masks,
        canvas=canvas,
        max_batch=max_batch,
        seed=seed,
        monitor=monitor,
    )
    if kept is None:
        return result
    return RestoreResult(result.images, result.masks, kept.before, kept.after)


def crop_faces(
    images: Tensor,
    faces: Faces,
    size: int,
    *,
    template: Template | str = Template.FFHQ,
    device: torch.device | str | None = None,
    monitor: Monitor = SILENT,
) -> Tensor:
    """Take the aligned crops out of the images, as ``restore_faces`` gives them to the network.

    Args:
        images: (B, C, H, W) floating, C = 3 or 4, RGB first, in [0, 1].
        faces: Where the faces are.
        size: Height and width of the crops in pixels.
        template: How the face sits in the crop.
        device: Where to resample; that of the images if None.
        monitor: Told of progress in faces.

    Returns:
        (N, 3, size, size) float32 RGB in [0, 1], in the order of the faces, on the images' device.

    Raises:
        TensorSpecError: As for ``restore_faces``.
    """
    check_images(images)
    faces.count_per_image(len(images))
    crops = images.new_empty((len(faces), 3, size, size), dtype=torch.float32)
    plan = CropPlan(faces, size, template)
    for done, (i,) in enumerate(plan.chunks(1), 1):
        monitor.check_interrupt()
        crops[i] = plan.crop(images, [i], device or images.device)[0]
        monitor.on_progress(done, len(faces))
    return crops


def paste_faces(
    images: Tensor,
    faces: Faces,
    restored_crops: Tensor,
    *,
    settings: BlendSettings | None = None,
    user_masks: Tensor | None = None,
    canvas: Tensor | None = None,
    device: torch.device | str | None = None,
    monitor: Monitor = SILENT,
) -> RestoreResult:
    """Blend crops that were restored elsewhere into the images they were taken from.

    Args:
        images: The images that ``crop_faces`` was given.
        faces: The faces that it was given.
        restored_crops: (N, 3, S, S) floating RGB in [0, 1], in the order of the faces. S may
            differ from the size of the crops taken.
        settings: As for ``restore_faces``, with the template that the crops were taken with.
        user_masks: As for ``restore_faces``.
        canvas: As for ``restore_faces``.
        device: Where to resample; that of the images if None.
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
    return _process(
        images,
        faces,
        lambda chunk, crops: restored_crops[chunk].to(crops),
        size=size,
        device=device or images.device,
        settings=settings,
        user_masks=user_masks,
        canvas=canvas,
        max_batch=1,
        seed=0,
        monitor=monitor,
    )


def restore_crops(model: GpenGenerator, crops: Tensor) -> Tensor:
    """Run the network on aligned crops.

    Args:
        model: The network.
        crops: (N, 3, S, S) floating, RGB, in [0, 1], on the model's device. Where they do not fit
            into its memory together, they are halved until they do.

    Returns:
        Same shape and dtype, RGB, in [0, 1].

    Raises:
        NonFiniteOutputError: The network returned NaN or infinity.
        DeviceMemoryError: Not even one crop fits.
    """
    restored: Tensor | None = None
    try:
        # To [-1, 1] and to the network's memory order in one allocation: it may be large.
        normalised = torch.empty_like(crops, memory_format=torch.channels_last)
        restored = model(torch.add(-_ONE, crops, alpha=2, out=normalised))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        if len(crops) < 2:
            raise DeviceMemoryError(
                f"network: expected memory for one face of {model.config.size} pixels, got less "
                f"than the {model.activation_bytes() / 2**30:.1f} GB it takes. Use fp16, a "
                "smaller model, or close what else uses the device."
            ) from error
    if restored is None:  # here, where the error no longer holds on to the memory
        half = len(crops) // 2
        return torch.cat([restore_crops(model, crops[:half]), restore_crops(model, crops[half:])])
    if not is_finite(restored):
        raise NonFiniteOutputError(
            f"network: expected finite pixels, got NaN or infinity in {model.dtype}. "
            "Load the model with dtype fp32; if that fails too, the checkpoint is damaged."
        )
    return torch.add(_ONE / 2, restored, alpha=0.5, out=restored).clamp_(0, 1)


def _process(
    images: Tensor,
    faces: Faces,
    restore: Callable[[list[int], Tensor], Tensor],
    *,
    size: int,
    device: torch.device | str,
    settings: BlendSettings | None,
    user_masks: Tensor | None,
    canvas: Tensor | None,
    max_batch: int,
    seed: int,
    monitor: Monitor,
) -> RestoreResult:
    """Crop, restore and composite, chunk by chunk.

    ``restore`` gets face numbers and crops, and returns tensors that nobody else needs.
    """
    check_images(images)
    faces.count_per_image(len(images))
    settings = settings or BlendSettings()
    base = images if canvas is None else canvas
    enlargement = _canvas_scale(images, base)
    # A canvas is painted on itself: a copy would cost as much as the whole output.
    painted = images.clone() if canvas is None else canvas
    masks = base.new_zeros((base.shape[0], *base.shape[2:]), dtype=torch.float32)
    check_masks(user_masks, base)

    plan = CropPlan(faces, size, settings.template)
    compositor: Compositor | None = None
    open_image = -1
    done = 0
    for chunk in plan.chunks(max_batch):
        monitor.check_interrupt()
        crops = plan.crop(images, chunk, device)
        restored = restore(chunk, crops)
        color_maps = _fit_colors(crops, restored, settings)
        for i, before, after, color_map in zip(chunk, crops, restored, color_maps, strict=True):
            monitor.on_crop(after)
            if plan.image_index[i] != open_image:
                if compositor is not None:
                    compositor.finish()
                open_image = plan.image_index[i]
                user_mask = None if user_masks is None else user_masks[open_image % len(user_masks)]
                compositor = Compositor(
                    painted[open_image], masks[open_image], settings, user_mask, seed + open_image
                )
            assert compositor is not None
            canvas_to_crop = plan.image_to_crop[i] @ enlargement
            if canvas is not None:
                # On an enlarged canvas the face is sharper or softer than the crop was.
                before = crop_image(base[open_image, :3], canvas_to_crop, size, device)
            compositor.add(before, after, canvas_to_crop, color_map=color_map)
            done += 1
            monitor.on_progress(done, len(faces))
    if compositor is not None:
        compositor.finish()
    return RestoreResult(painted, masks)


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
            f"canvas: expected {tuple(images.shape[:2])} images and channels, got "
            f"{tuple(canvas.shape[:2])}. Enlarge the images that the faces are in."
        )
    x, y = (images.shape[i] / canvas.shape[i] if canvas.shape[i] else 1.0 for i in (3, 2))
    return torch.diag(torch.tensor([x, y, 1.0], dtype=torch.float64))
