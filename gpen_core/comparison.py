"""How alike two batches of images are: PSNR and SSIM, of all pixels and of a region."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .errors import TensorSpecError
from .faces.faces import Faces
from .validation import check_images

_REACH_PX = 5
"""Half the window of SSIM."""
_STRIP_ROWS = 128
"""Computed together: SSIM takes a dozen times the memory of what it looks at."""


@dataclass(frozen=True)
class Similarity:
    """Two measures of how alike images in [0, 1] are, over all pixels that count."""

    psnr: float
    """Peak signal to noise ratio in dB, of the squared errors of all pixels together. Infinite if
    they are equal."""
    ssim: float
    """Mean structural similarity, up to 1, which is equal."""


@dataclass(frozen=True)
class Comparison:
    """What ``compare_images`` found."""

    whole: Similarity
    """Over all pixels."""
    region: Similarity | None
    """Over those of the region. None: no region was given, or it is empty."""


def compare_images(
    before: Tensor,
    after: Tensor,
    region: Tensor | None = None,
    *,
    device: torch.device | str | None = None,
    check_interrupt: Callable[[], None] | None = None,
) -> Comparison:
    """Measure how alike two batches of images are. Alpha does not count.

    Args:
        before: (B, C, H, W) floating, C = 3 or 4, RGB or RGBA, in [0, 1].
        after: Likewise, of the same size and count.
        region: (B or 1, H, W) floating in [0, 1]: how far each pixel counts.
        device: Where to compute; that of the images if None. A strip at a time is there.
        check_interrupt: Called before each strip.

    Raises:
        TensorSpecError: The shapes do not match, or a side is under 6 pixels, half the window of
            SSIM.

    References:
        Z. Wang et al., "Image quality assessment: from error visibility to structural
        similarity", IEEE TIP 13(4), 2004. Gaussian window of 11 pixels, sigma 1.5.
    """
    _check(before, after, region)
    from kornia.metrics import ssim  # slow to import

    whole, inside = _Sums(), _Sums()
    height = after.shape[2]
    for index, top in itertools.product(range(len(after)), range(0, height, _STRIP_ROWS)):
        if check_interrupt is not None:
            check_interrupt()
        # With rows above and below for the window to reach into; they are cut off again.
        first, last = max(top - _REACH_PX, 0), min(top + _STRIP_ROWS + _REACH_PX, height)
        strips = (images[index : index + 1, :3, first:last] for images in (before, after))
        old, new = (strip.to(device or strip.device, torch.float32) for strip in strips)
        own = slice(top - first, top - first + _STRIP_ROWS)
        errors = (old - new).square().mean(dim=1)[0, own]  # [rows, W]
        similarity = ssim(old, new, 2 * _REACH_PX + 1, eps=0.0).mean(dim=1)[0, own]
        whole.add(errors, similarity, torch.ones_like(errors))
        if region is not None:
            weights = region[index % len(region), top : top + _STRIP_ROWS]
            inside.add(errors, similarity, weights.to(errors))
    return Comparison(whole.result(), inside.result() if inside.weight > 0 else None)


class _Sums:
    """Weighted sums over the pixels of several images."""

    def __init__(self) -> None:
        self.weight = self.errors = self.similarity = 0.0

    def add(self, errors: Tensor, similarity: Tensor, weights: Tensor) -> None:
        # Of one strip, so that float32 is exact enough; not every device has more.
        sums = torch.stack((weights, errors * weights, similarity * weights)).sum(dim=(1, 2))
        weight, error, alike = sums.tolist()
        self.weight += weight
        self.errors += error
        self.similarity += alike

    def result(self) -> Similarity:
        error = self.errors / self.weight
        psnr = math.inf if error == 0 else -10 * math.log10(error)
        return Similarity(psnr, self.similarity / self.weight)


def box_masks(
    faces: Faces, n_images: int, size: tuple[int, int], scale: tuple[float, float] = (1.0, 1.0)
) -> Tensor:
    """Masks that are 1 inside the boxes of the faces.

    Args:
        faces: Where the faces are.
        n_images: Number of masks.
        size: Height and width of the masks in pixels.
        scale: What to multiply x and y of the boxes with.

    Returns:
        (n_images, H, W) float32, 0 or 1, on the CPU.

    Raises:
        TensorSpecError: A face points to no image.
    """
    faces.count_per_image(n_images)
    masks = torch.zeros((n_images, *size))
    factors = torch.tensor([*scale, *scale])
    for index, box in zip(faces.image_index.tolist(), faces.boxes.cpu() * factors, strict=True):
        x0, y0, x1, y1 = (max(0, round(edge)) for edge in box.tolist())
        masks[index, y0:y1, x0:x1] = 1
    return masks


def _check(before: Tensor, after: Tensor, region: Tensor | None) -> None:
    check_images(before)
    check_images(after)
    shape = (len(after), *after.shape[2:])
    if (len(before), *before.shape[2:]) != shape:
        raise TensorSpecError(
            f"before: expected {shape[0]} images of {shape[1]} x {shape[2]} pixels as after, got "
            f"{len(before)} of {before.shape[2]} x {before.shape[3]}. Resize or repeat them."
        )
    if min(shape[1:]) <= _REACH_PX:
        raise TensorSpecError(
            f"after: expected sides of {_REACH_PX + 1} pixels at least, got "
            f"{shape[1]} x {shape[2]}. Compare larger images."
        )
    if region is not None and (region.shape[1:] != shape[1:] or len(region) not in (1, shape[0])):
        raise TensorSpecError(
            f"region: expected (1 or {shape[0]}, {shape[1]}, {shape[2]}), got "
            f"{tuple(region.shape)}. Resize the mask to the images."
        )
