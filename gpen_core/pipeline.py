"""The way of the data, align -> network -> blend -> composite: the order and no arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from .blending.color_match import ColorMap, fit_color_maps, sample_stride
from .blending.compositing import Compositor, FaceChange
from .blending.crops import CropPlan, CropStore
from .blending.face_mask import crop_mask
from .blending.masks import empty_masks, mask_of
from .blending.settings import BlendSettings
from .errors import (
    DeviceMemoryError,
    NonFiniteOutputError,
    TensorSpecError,
    is_out_of_memory,
)
from .faces.faces import Faces
from .geometry.alignment import Template
from .geometry.resizing import resize
from .geometry.warping import crop_image
from .images.validation import check_images, check_masks, is_finite
from .monitor import SILENT, Monitor
from .network.generator import GpenGenerator

# A single number on the CPU goes to any device with the call.
_ONE = torch.tensor(1.0, device="cpu")

_MAX_FACES_AT_ONCE = 16
_SHARE_OF_FREE_MEMORY = 0.7

Change = TypeVar("Change", bound=FaceChange, contravariant=True)


@dataclass(frozen=True)
class RunOptions:
    """How one call is carried out. Of what it returns, only the grain depends on any of it."""

    max_batch: int = 1
    """Faces that go through the network together; bounds the memory."""
    keep_crops: bool = False
    """Return the crops before and after the network too."""
    seed: int = 0
    """Of the grain of the first image; each further one counts on. For a clip in parts."""
    monitor: Monitor = SILENT
    """Told of progress in faces, and shown each restored crop."""


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
    faces: Faces,
    model: GpenGenerator,
    *,
    settings: BlendSettings | None = None,
    user_masks: Tensor | None = None,
    canvas: Tensor | None = None,
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
        user_masks: (B or 1, H, W) of the canvas, in [0, 1]: faces are pasted inside only.
        canvas: (B, C, H', W') enlarged images to paste into, in place, instead of into a copy of
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
    paste = _Paste(images, faces, canvas, user_masks, settings)
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
    monitor: Monitor = SILENT,
) -> RestoreResult:
    """Blend crops that were restored elsewhere into the images they were taken from.

    Args:
        images: The images that ``crop_faces`` was given.
        faces: The faces that it was given.
        restored_crops: (N, 3, S, S) floating RGB in [0, 1], in the order of the faces. S may
            differ from the size of the crops taken. They are resampled on their device.
        settings: As for ``restore_faces``, with the template that the crops were taken with.
        user_masks: As for ``restore_faces``.
        canvas: As for ``restore_faces``.
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
    paste = _Paste(images, faces, canvas, user_masks, settings)

    def change(chunk: list[int]) -> Iterator[FaceChange]:
        crops = plan.crop(images, chunk, restored_crops.device)
        return paste.changes(plan, chunk, crops, restored_crops[chunk].to(crops))

    composite_faces(
        plan, change, lambda image: paste.open(image, image), RunOptions(monitor=monitor)
    )
    return RestoreResult(paste.images, paste.masks)


def restore_crops(
    crops: Tensor,
    model: GpenGenerator,
    *,
    max_batch: int | None = None,
    monitor: Monitor = SILENT,
) -> Tensor:
    """Run the network on aligned crops.

    Args:
        crops: (N, 3, S, S) floating, RGB, in [0, 1], on any device. Of another size than the
            network's they are resized to it.
        model: The network.
        max_batch: Crops that go through the network together; None: all of them. Where they do
            not fit into the device's memory together, they are halved until they do.
        monitor: Told of progress in crops, and shown each restored crop.

    Returns:
        (N, 3, S', S') RGB in [0, 1] at the network's size, of the dtype and on the device of
        ``crops``.

    Raises:
        NonFiniteOutputError: The network returned NaN or infinity.
        DeviceMemoryError: Not even one crop fits.
    """
    size, device = model.config.size, next(model.parameters()).device
    step = max_batch or max(len(crops), 1)
    restored = crops.new_empty((0 if step >= len(crops) else len(crops), 3, size, size))
    for start in range(0, len(crops), step):
        monitor.check_interrupt()
        chunk = resize(crops[start : start + step].to(device), (size, size))
        chunk = _run_network(chunk, model)
        for n_done, crop in enumerate(chunk, start + 1):
            monitor.on_crop(crop)
            monitor.on_progress(n_done, len(crops))
        if step >= len(crops):  # no copy: a crop may be large
            return chunk.to(crops.device)
        restored[start : start + step] = chunk
    return restored


def faces_that_fit(model: GpenGenerator, free_bytes: float | None = None) -> int:
    """How many faces may go through the network together.

    Args:
        model: The network, on its device.
        free_bytes: Memory that is free there. None: looked up on CUDA; elsewhere one face, because
            more would only take more memory.

    Returns:
        1 to 16.
    """
    if free_bytes is None:
        device = next(model.parameters()).device
        if device.type != "cuda":
            return 1
        free_bytes, _ = torch.cuda.mem_get_info(device)
    fitting = int(free_bytes * _SHARE_OF_FREE_MEMORY / model.activation_bytes())
    return max(1, min(_MAX_FACES_AT_ONCE, fitting))


def _run_network(crops: Tensor, model: GpenGenerator) -> Tensor:
    """Restore crops of the network's size on its device, all together if they fit there."""
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
        return torch.cat([_run_network(crops[:half], model), _run_network(crops[half:], model)])
    if not is_finite(restored):
        raise NonFiniteOutputError(
            f"network: expected finite pixels, got NaN or infinity in {model.dtype}. "
            "Load the model with dtype fp32; if that fails too, the checkpoint is damaged."
        )
    return torch.add(_ONE / 2, restored, alpha=0.5, out=restored).clamp_(0, 1)


class FaceCompositor(Protocol[Change]):
    """Collects the changed faces of one image and writes them into it together."""

    def add(self, change: Change) -> None:
        """Keep one face."""

    def finish(self) -> None:
        """Write all of them."""


def composite_faces(
    plan: CropPlan,
    change_faces: Callable[[list[int]], Iterable[Change]],
    open_image: Callable[[int], FaceCompositor[Change]],
    run: RunOptions,
) -> None:
    """Change faces chunk by chunk, and write each image once the last of its faces is changed.

    Args:
        plan: The faces, in the order of their images.
        change_faces: Changes the faces of these numbers, and gives them in this order.
        open_image: What writes the faces of the image of this number.
        run: How the work is carried out.
    """

    def changes() -> Iterator[tuple[int, Change]]:
        for chunk in plan.chunks(run.max_batch):
            run.monitor.check_interrupt()
            yield from zip((plan.image_index[i] for i in chunk), change_faces(chunk), strict=True)

    n_done = 0
    for image, of_image in groupby(changes(), key=itemgetter(0)):
        compositor = open_image(image)
        for _, change in of_image:
            run.monitor.on_crop(change.after)
            compositor.add(change)
            n_done += 1
            run.monitor.on_progress(n_done, len(plan.image_index))
        compositor.finish()


class _Paste:
    """The images that faces are pasted into, and where they were pasted."""

    def __init__(
        self,
        images: Tensor,
        faces: Faces,
        canvas: Tensor | None,
        user_masks: Tensor | None,
        settings: BlendSettings,
    ) -> None:
        check_images(images)
        faces.count_per_image(len(images))
        # A canvas is painted on itself: a copy would cost as much as the whole output.
        self.images = images.clone() if canvas is None else canvas
        self.masks = empty_masks(self.images)
        self._canvas_to_image = _canvas_scale(images, self.images)
        self._is_canvas = canvas is not None
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
            if self._is_canvas:
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
            f"canvas: expected {tuple(images.shape[:2])} images and channels, got "
            f"{tuple(canvas.shape[:2])}. Enlarge the images that the faces are in."
        )
    x, y = (images.shape[i] / canvas.shape[i] if canvas.shape[i] else 1.0 for i in (3, 2))
    return torch.diag(torch.tensor([x, y, 1.0], dtype=torch.float64))
