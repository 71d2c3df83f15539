"""Antialiased similarity warps: out of an image into a crop, and back.

Plain bilinear or bicubic sampling skips pixels wherever the mapping shrinks. Here each target pixel
is the average of the source over its own area whenever it covers more than one source pixel, and a
bicubic interpolation where it covers less. Pixel centres are at integer + 0.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .alignment import invert_affine, transform_points

_BICUBIC_REACH = 2  # source pixels on each side of a sample
# Whole blocks are averaged first, then samples: fewer than four blocks a target pixel would show
# the blocks' own grid, and one sample more than there are blocks brings the average within 40 dB
# of the exact one on a chirp.
_MIN_BLOCKS = 4
_ROUNDING = 1e-6  # of a scale that was meant to be a whole number
_MAX_SAMPLES = 16  # reached only by a target pixel larger than the whole source
# Bounds the memory of a warp: 84 bytes a sample of three channels; on a CPU what its caches take.
_MAX_SAMPLES_AT_ONCE = 2**22
_CPU_SAMPLES_AT_ONCE = 2**17
_DEALT_TO = 16  # images at most, on a CPU


@dataclass(frozen=True)
class Region:
    """A rectangle of whole pixels, ends exclusive."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        """Rows; 0 where the region is empty."""
        return max(0, self.bottom - self.top)

    @property
    def width(self) -> int:
        """Columns; 0 where the region is empty."""
        return max(0, self.right - self.left)

    def of(self, image: Tensor) -> Tensor:
        """The view of (..., H, W) pixels inside the region."""
        return image[..., self.top : self.bottom, self.left : self.right]

    def intersection(self, other: Region) -> Region:
        """The pixels in both; may be empty."""
        return Region(
            max(self.top, other.top),
            min(self.bottom, other.bottom),
            max(self.left, other.left),
            min(self.right, other.right),
        )

    def grown(self, margin: int, image_size: tuple[int, int]) -> Region:
        """The region with a margin on all sides, inside an image of (height, width)."""
        return Region(
            max(self.top - margin, 0),
            min(self.bottom + margin, image_size[0]),
            max(self.left - margin, 0),
            min(self.right + margin, image_size[1]),
        )

    def relative_to(self, other: Region) -> Region:
        """The same pixels counted from the corner of ``other``."""
        return Region(
            self.top - other.top,
            self.bottom - other.top,
            self.left - other.left,
            self.right - other.left,
        )


def footprint(
    crop_to_image: Tensor, crop_size: int, image_size: tuple[int, int], margin: int = 0
) -> Region:
    """The image pixels that a crop covers, with a margin, inside an image of (height, width)."""
    square = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    corners = transform_points(square * crop_size, crop_to_image.double())
    left, top = (math.floor(v) - margin for v in corners.amin(dim=0).tolist())
    right, bottom = (math.ceil(v) + margin for v in corners.amax(dim=0).tolist())
    height, width = image_size
    return Region(max(top, 0), min(bottom, height), max(left, 0), min(right, width))


def _readable(region: Region, height: int, width: int) -> Region:
    """The region, or the nearest border pixels of the image in each axis in which it is empty."""
    top, left = min(region.top, height - 1), min(region.left, width - 1)
    return Region(top, max(region.bottom, top + 1), left, max(region.right, left + 1))


def shift_target(target_to_source: Tensor, region: Region) -> Tensor:
    """The same mapping with target coordinates counted from the corner of ``region``."""
    corner = torch.tensor([region.left, region.top], dtype=target_to_source.dtype)
    shifted = target_to_source.clone()
    shifted[:, 2] += target_to_source[:, :2] @ corner
    return shifted


def pixel_centres(region: Region, matrix: Tensor, device: torch.device) -> Tensor:
    """Where the pixel centres of a region go under a (2, 3) matrix: (height, width, 2) float32."""
    return _sample_points(shift_target(matrix, region), region.height, region.width, 1, device)


def warp(source: Tensor, target_to_source: Tensor, height: int, width: int) -> Tensor:
    """Resample an image under a similarity transform, without aliasing.

    Args:
        source: (C, H, W) float32, any channels and range. Beyond its border it goes on as the
            border pixel.
        target_to_source: (2, 3) float64 on the CPU, from target to source pixels.
        height: Of the target, in pixels.
        width: Of the target, in pixels.

    Returns:
        (C, height, width), dtype and device of ``source``. Bicubic interpolation may overshoot the
        range of the source.
    """
    matrix = target_to_source.clone()
    scale = math.sqrt(abs(float(torch.linalg.det(matrix[:, :2]))))  # source pixels a target pixel
    largest = max(source.shape[-2:])
    reduction = min(max(1, math.floor(scale / _MIN_BLOCKS + _ROUNDING)), largest)
    if reduction > 1:
        source = _area_reduce(source, reduction)
        matrix /= reduction
    n_samples = 1 if scale <= 1 else min(math.ceil(scale / reduction - _ROUNDING) + 1, _MAX_SAMPLES)
    n_at_once = _CPU_SAMPLES_AT_ONCE if source.device.type == "cpu" else _MAX_SAMPLES_AT_ONCE
    band = max(1, n_at_once // (width * n_samples**2))
    target = source.new_empty(source.shape[0], height, width)
    for top in range(0, height, band):
        region = Region(top, min(top + band, height), 0, width)
        points = _sample_points(
            shift_target(matrix, region), region.height, width, n_samples, source.device
        )
        sampled = _sample_bicubic(source, points)
        averaged = F.avg_pool2d(sampled, n_samples) if n_samples > 1 else sampled
        target[:, region.top : region.bottom] = averaged
    return target


def warp_mask(crop_mask: Tensor, crop_size: int, image_to_crop: Tensor, region: Region) -> Tensor:
    """Bring a mask over a crop to the image's pixels.

    Args:
        crop_mask: (K, K) floating in [0, 1] over the whole crop; K may differ from its size.
        crop_size: Of the crop that the matrix leads to, in pixels.
        image_to_crop: (2, 3) float64 on the CPU.
        region: Of the image.

    Returns:
        (region.height, region.width) float32 in [0, 1] on the mask's device.
    """
    to_mask = shift_target(image_to_crop, region) * (crop_mask.shape[-1] / crop_size)
    return warp(crop_mask[None].float(), to_mask, region.height, region.width)[0].clamp_(0, 1)


def crop_image(
    image: Tensor, image_to_crop: Tensor, size: int, device: torch.device | str
) -> Tensor:
    """Take one aligned crop out of an image; only the pixels under it travel to ``device``.

    Args:
        image: (C, H, W) floating.
        image_to_crop: (2, 3) float64 on the CPU.
        size: Height and width of the crop in pixels.
        device: Where to resample and return.

    Returns:
        (C, size, size) float32 on ``device``.
    """
    crop_to_image = invert_affine(image_to_crop)
    height, width = image.shape[-2:]
    scale = math.sqrt(abs(float(torch.linalg.det(crop_to_image[:, :2]))))
    margin = _BICUBIC_REACH * max(1, math.ceil(scale))
    region = _readable(footprint(crop_to_image, size, (height, width), margin), height, width)
    source = region.of(image).to(device, torch.float32)
    crop_to_image[:, 2] -= torch.tensor([region.left, region.top], dtype=torch.float64)
    return warp(source, crop_to_image, size, size)


def _area_reduce(source: Tensor, factor: int) -> Tensor:
    """Average blocks of ``factor`` x ``factor`` pixels; the border pixel fills the last blocks."""
    height, width = source.shape[-2:]
    padding = (0, -width % factor, 0, -height % factor)
    return F.avg_pool2d(F.pad(source[None], padding, mode="replicate"), factor)[0]


def _sample_points(
    target_to_source: Tensor, height: int, width: int, n_samples: int, device: torch.device
) -> Tensor:
    """Source positions of ``n_samples`` x ``n_samples`` points in each target pixel.

    Returns:
        (height * n_samples, width * n_samples, 2) float32, x then y.
    """
    matrix = target_to_source.double()
    y = (torch.arange(height * n_samples, dtype=torch.float64) + 0.5) / n_samples
    x = (torch.arange(width * n_samples, dtype=torch.float64) + 0.5) / n_samples
    # The rows and columns are computed in double precision and only their sum in single.
    rows = (y[:, None] * matrix[:, 1] + matrix[:, 2]).float().to(device)
    columns = (x[:, None] * matrix[:, 0]).float().to(device)
    return rows[:, None] + columns[None]


def _sample_bicubic(source: Tensor, points: Tensor) -> Tensor:
    """Bicubic samples of (C, H, W) at (h, w, 2) points -> (C, h, w)."""
    height, width = source.shape[-2:]
    extent = torch.tensor([width, height], device=points.device)
    grid = points * (2 / extent) - 1
    # On a CPU, threads share the work by images, so the rows are dealt out to several.
    n_images = math.gcd(len(grid), _DEALT_TO) if grid.device.type == "cpu" else 1
    sampled = F.grid_sample(
        source.expand(n_images, -1, -1, -1),
        grid.view(n_images, -1, *grid.shape[1:]),
        mode="bicubic",
        padding_mode="border",
        align_corners=False,
    )
    return sampled.transpose(0, 1).flatten(1, 2)
