"""The way of the data, align -> network -> mask -> composite: the order and no arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .alignment import Template, align_faces
from .compositing import Compositor, PasteSettings
from .errors import NonFiniteOutputError, TensorSpecError
from .faces import Faces
from .generator import GpenGenerator
from .resampling import crop_image

ProgressCallback = Callable[[int, int], None]
"""Called with the number of faces done and their total."""
InterruptCheck = Callable[[], None]
"""Called before each chunk of work; raises to stop it."""


@dataclass(frozen=True)
class RestoreResult:
    """What ``restore_faces`` made."""

    images: Tensor
    """(B, C, H, W), as the input: the restored images."""
    masks: Tensor
    """(B, H, W) float32 in [0, 1]: where faces were pasted, before ``blend``."""
    crops: Tensor | None
    """(N, 3, S, S) float32 RGB in [0, 1]: the aligned faces, in the order of the faces given."""
    restored_crops: Tensor | None
    """The same after the network."""


def restore_faces(
    images: Tensor,
    model: GpenGenerator,
    faces: Faces,
    *,
    template: Template | str = Template.FFHQ,
    blend: float = 1.0,
    padding: float = 0.02,
    feather: float = 0.12,
    max_batch: int = 1,
    keep_crops: bool = False,
    on_progress: ProgressCallback | None = None,
    check_interrupt: InterruptCheck | None = None,
) -> RestoreResult:
    """Restore faces and blend them back into their images.

    Only the pixels around each face travel to the model's device. Pixels outside the mask, and
    with ``blend=0`` all pixels, are bit-identical to the input.

    Args:
        images: (B, C, H, W) floating, C = 3 or 4, RGB or RGBA, in [0, 1]. Alpha is passed on.
            Not modified.
        model: The network, on its device.
        faces: Where the faces are. Without any the images come back as they were.
        template: How the face sits in the network's crop.
        blend: Share of the restoration, 0 to 1.
        padding: Strip along the crop's edge that is left alone, as a fraction of the crop.
        feather: Width of the mask's soft edge, as a fraction of the crop.
        max_batch: Faces that go through the network together; bounds the memory.
        keep_crops: Return the crops before and after the network too.
        on_progress: Called after each chunk of faces.
        check_interrupt: Called before each chunk of faces.

    Returns:
        As many images as were given, in the same order, on the same device.

    Raises:
        TensorSpecError: The images have another shape or dtype, or a face points to no image.
        NonFiniteOutputError: The network returned NaN or infinity.
    """
    _check_images(images)
    _check_faces(faces, len(images))
    template = Template(template)
    size = model.config.size
    settings = PasteSettings(blend, padding, feather)
    restored_images = images.clone()
    masks = images.new_zeros((images.shape[0], *images.shape[2:]), dtype=torch.float32)
    kept = (
        images.new_empty((2, len(faces), 3, size, size), dtype=torch.float32)
        if keep_crops
        else None
    )

    # Faces of one image follow each other, so at most one image is open at a time.
    order = torch.argsort(faces.image_index, stable=True).tolist()
    image_index = faces.image_index.tolist()
    image_to_crop = align_faces(faces.landmarks, template, size)
    device = next(model.parameters()).device
    compositor: Compositor | None = None
    open_image = -1

    for start in range(0, len(order), max_batch):
        if check_interrupt is not None:
            check_interrupt()
        chunk = order[start : start + max_batch]
        crops = torch.stack(
            [crop_image(images[image_index[i], :3], image_to_crop[i], size, device) for i in chunk]
        ).clamp_(0, 1)
        _check_crops(crops, chunk, image_index)
        restored = restore_crops(model, crops)
        changes = restored - crops
        for position, i in enumerate(chunk):
            if image_index[i] != open_image:
                if compositor is not None:
                    compositor.finish()
                open_image = image_index[i]
                compositor = Compositor(restored_images[open_image], masks[open_image], settings)
            assert compositor is not None
            compositor.add(changes[position], image_to_crop[i])
            if kept is not None:
                kept[0, i], kept[1, i] = crops[position], restored[position]
        if on_progress is not None:
            on_progress(start + len(chunk), len(order))
    if compositor is not None:
        compositor.finish()
    return RestoreResult(
        restored_images,
        masks,
        kept[0] if kept is not None else None,
        kept[1] if kept is not None else None,
    )


def restore_crops(model: GpenGenerator, crops: Tensor) -> Tensor:
    """Run the network on aligned crops.

    Args:
        model: The network.
        crops: (N, 3, S, S) floating, RGB, in [0, 1], on the model's device.

    Returns:
        Same shape and dtype, RGB, in [0, 1].

    Raises:
        NonFiniteOutputError: The network returned NaN or infinity.
    """
    restored: Tensor = model(crops * 2 - 1)
    if not bool(restored.isfinite().all()):
        raise NonFiniteOutputError(
            f"network: expected finite pixels, got NaN or infinity in {model.dtype}. "
            "Load the model with dtype fp32; if that fails too, the checkpoint is damaged."
        )
    return restored.add_(1).mul_(0.5).clamp_(0, 1)


def _check_images(images: Tensor) -> None:
    if images.ndim != 4 or not images.is_floating_point():
        raise TensorSpecError(
            f"images: expected (B, C, H, W) floating, got {tuple(images.shape)} {images.dtype}. "
            "Add the batch axis, channels first, and scale to [0, 1]."
        )
    if images.shape[1] not in (3, 4):
        raise TensorSpecError(
            f"images: expected 3 (RGB) or 4 (RGBA) channels, got {images.shape[1]}. "
            "Repeat a grey channel three times to make it RGB."
        )


def _check_crops(crops: Tensor, chunk: list[int], image_index: list[int]) -> None:
    finite = crops.isfinite().flatten(1).all(dim=1).tolist()
    if not all(finite):
        face = chunk[finite.index(False)]
        raise TensorSpecError(
            f"images: expected finite pixels, got NaN or infinity in face {face} of image "
            f"{image_index[face]}. Look for the step that made them; a VAE in fp16 often does."
        )


def _check_faces(faces: Faces, n_images: int) -> None:
    if len(faces) and int(faces.image_index.max()) >= n_images:
        raise TensorSpecError(
            f"faces: expected image indices below {n_images}, got {int(faces.image_index.max())}. "
            "Detect the faces in the same batch of images that is to be restored."
        )
