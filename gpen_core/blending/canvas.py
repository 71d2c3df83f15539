"""How large the output is, and the enlarged background that faces are pasted into.

A face of 100 pixels pasted back into 100 pixels keeps little of what a 2048 network made of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..faces.faces import Faces
from ..geometry.alignment import Template, align_faces, scale_of
from ..geometry.resizing import resize
from ..settings import Choice, check_limits

MAX_SCALE = 8.0
_LANCZOS_LOBES = 3


class CanvasSize(Choice):
    """How the size of the output is chosen."""

    INPUT = "as input"
    SCALE = "scale"
    FIT_FACES = "fit faces"
    """Large enough that the largest face keeps the network's resolution."""


@dataclass(frozen=True)
class CanvasSettings:
    """How large the output is."""

    output_size: CanvasSize = CanvasSize.INPUT
    scale: float = 2.0
    """The factor for ``CanvasSize.SCALE``, 1 to 8."""
    max_megapixels: float = 64.0
    """No image becomes larger than this, unless it is already."""

    def __post_init__(self) -> None:
        """Check the range.

        Raises:
            SettingError: ``scale`` is outside 1 to 8.
        """
        object.__setattr__(self, "output_size", CanvasSize(self.output_size))
        check_limits(self, {"scale": (1.0, MAX_SCALE)})


def canvas_scale(
    faces: Faces,
    image_size: tuple[int, int],
    crop_size: int,
    settings: CanvasSettings,
    *,
    template: Template | str = Template.FFHQ,
) -> float:
    """By how much to enlarge the images of a batch, one factor for all.

    Args:
        faces: All faces of the batch.
        image_size: Height and width of the images in pixels.
        crop_size: Height and width of the network's crops in pixels.
        settings: How to choose.
        template: How faces sit in the crops.

    Returns:
        A factor from 1 to 8.
    """
    scale = settings.scale
    if settings.output_size is CanvasSize.INPUT:
        return 1.0
    if settings.output_size is CanvasSize.FIT_FACES:
        if not len(faces):
            return 1.0
        image_to_crop = align_faces(faces.landmarks, Template(template), crop_size)
        # Crop pixels an image pixel; the largest face needs the least.
        scale = float(scale_of(image_to_crop).min())
    height, width = image_size
    limit = math.sqrt(settings.max_megapixels * 1e6 / max(height * width, 1))
    return max(1.0, min(scale, limit, MAX_SCALE))


def enlarged_size(image_size: tuple[int, int], scale: float) -> tuple[int, int]:
    """Height and width of an image enlarged by a factor, in whole pixels."""
    return max(1, round(image_size[0] * scale)), max(1, round(image_size[1] * scale))


def enlarge(images: Tensor, height: int, width: int, *, colors: Tensor | None = None) -> Tensor:
    """Enlarge images with Lanczos interpolation of three lobes.

    Args:
        images: (B, C, H, W) floating, any channels and range.
        height: Of the result in pixels, at least H.
        width: Of the result in pixels, at least W.
        colors: (B, 3, h, w) like ``images``: their first three channels as another method has
            enlarged them, to any size. They are resized to the result's; without other channels
            and of this size already, they are the result itself.

    Returns:
        (B, C, height, width), dtype and device of ``images``, within the range of the input.
    """
    if colors is not None:
        if colors.shape[2] < height or colors.shape[3] < width:
            colors = enlarge(colors, max(height, colors.shape[2]), max(width, colors.shape[3]))
        colors = resize(colors, (height, width))
        if images.shape[1] == 3:
            return colors
        return torch.cat((colors, enlarge(images[:, 3:], height, width)), dim=1)
    if images.shape[2:] == (height, width):
        return images.clone()
    enlarged = torch.empty(
        (*images.shape[:2], height, width),
        dtype=images.dtype,
        device=images.device,
        memory_format=torch.channels_last,  # ComfyUI's layout
    )
    for image, result in zip(images, enlarged, strict=True):
        pixels = _lanczos(_lanczos(image.float(), height, 1), width, 2)
        low, high = image.amin(dim=(1, 2), keepdim=True), image.amax(dim=(1, 2), keepdim=True)
        result.copy_(torch.minimum(torch.maximum(pixels, low), high))
    return enlarged


def _lanczos(image: Tensor, length: int, dim: int) -> Tensor:
    """Interpolate (C, H, W) along one axis."""
    old = image.shape[dim]
    centres = (torch.arange(length, dtype=torch.float64) + 0.5) * (old / length) - 0.5
    first = centres.floor().long() - _LANCZOS_LOBES + 1
    taps = first[:, None] + torch.arange(2 * _LANCZOS_LOBES)
    distance = centres[:, None] - taps
    weights = torch.sinc(distance) * torch.sinc(distance / _LANCZOS_LOBES)
    weights = (weights / weights.sum(dim=1, keepdim=True)).float().to(image.device)
    taps = taps.clamp(0, old - 1).to(image.device)
    shape = [1, 1, 1]
    shape[dim] = length
    result = torch.zeros_like(image.index_select(dim, taps[:, 0]))
    for k in range(taps.shape[1]):
        result.addcmul_(image.index_select(dim, taps[:, k]), weights[:, k].view(shape))
    return result
