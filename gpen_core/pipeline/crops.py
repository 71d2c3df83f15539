"""Cutting aligned crops out of images, and the network on them."""

from __future__ import annotations

import torch
from torch import Tensor

from ..blending.crops import CropPlan
from ..errors import NonFiniteOutputError
from ..faces.faces import Faces
from ..geometry.alignment import Template
from ..geometry.resizing import resize
from ..images.batches import run_in_parts
from ..images.validation import check_images, is_finite
from ..monitor import SILENT, Monitor
from ..network.generator import GpenGenerator

# A single number on the CPU goes to any device with the call.
_ONE = torch.tensor(1.0, device="cpu")
_MAX_FACES_AT_ONCE = 16
_SHARE_OF_FREE_MEMORY = 0.7


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
    too_little = (
        f"network: expected memory for one face of {size} pixels, got less than the "
        f"{model.activation_bytes() / 2**30:.1f} GB it takes. Use fp16, a smaller model, or close "
        "what else uses the device."
    )
    restored = crops.new_empty((0 if step >= len(crops) else len(crops), 3, size, size))
    for start in range(0, len(crops), step):
        monitor.check_interrupt()
        chunk = resize(crops[start : start + step].to(device), (size, size))
        parts = run_in_parts(lambda part: _run_network(part, model), chunk, too_little)
        chunk = parts[0] if len(parts) == 1 else torch.cat(parts)
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
    """Restore crops of the network's size on its device."""
    # To [-1, 1] and to the network's memory order in one allocation: it may be large.
    normalised = torch.empty_like(crops, memory_format=torch.channels_last)
    restored: Tensor = model(torch.add(-_ONE, crops, alpha=2, out=normalised))
    if not is_finite(restored):
        raise NonFiniteOutputError(
            f"network: expected finite pixels, got NaN or infinity in {model.dtype}. "
            "Load the model with dtype fp32; if that fails too, the checkpoint is damaged."
        )
    return torch.add(_ONE / 2, restored, alpha=0.5, out=restored).clamp_(0, 1)
