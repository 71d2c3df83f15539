"""Antialiased similarity warps: out of an image into a crop, and back.

Plain bilinear or bicubic sampling skips pixels wherever the mapping shrinks. Here each target pixel
is the average of the source over its own area whenever it covers more than one source pixel, and a
bicubic interpolation where it covers less. Pixel centres are at integer + 0.5.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import is_out_of_memory
from .alignment import invert_affine, scale_of, transform_points

_BICUBIC_REACH = 2  # source pixels on each side of a sample
# Whole blocks are averaged first, then samples: fewer than four blocks a target pixel would show
# the blocks' own grid. More samples than blocks along each axis, and at least three, bring the
# average of white noise, which has the most to alias, to about 40 dB of the exact one.
_MIN_BLOCKS = 4
_MIN_SAMPLES = 3
_MAX_SAMPLES = 16  # reached only by a target pixel larger than the whole source
_ROUNDING = 1e-6  # of a scale that was meant to be a whole number
# Bounds the memory of a warp: 40 bytes a sample of three channels; on a CPU what its caches take.
_MAX_SAMPLES_AT_ONCE = 2**22
_CPU_SAMPLES_AT_ONCE = 2**17
_CPU_CHUNKS = 16  # images, on a CPU

_logger = logging.getLogger(__name__)


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
    to_target = shift_target(matrix, region)
    return _sample_points(to_target, region.height, region.width, device)[0, 0]


def warp(
    source: Tensor,
    target_to_source: Tensor,
    height: int,
    width: int,
    needed: Tensor | None = None,
) -> Tensor:
    """Resample an image under a similarity transform, without aliasing.

    Args:
        source: (C, H, W) float32, any channels and range. Padding replicates the border.
        target_to_source: (2, 3) float64 on the CPU, from target to source pixels.
        height: Of the target, in pixels.
        width: Of the target, in pixels.
        needed: (height, width), not 0 where the result will be looked at; the rest may be left at
            0. None: everywhere.

    Returns:
        (C, height, width); dtype, device and memory order of ``source``, in which channels may come
        last. Bicubic interpolation may overshoot the range of the source.
    """
    if not _has_sampling(source.device):
        needed = None if needed is None else needed.cpu()
        return warp(source.cpu(), target_to_source, height, width, needed).to(source.device)
    target = _empty_like(source, height, width)
    if needed is not None:
        target.zero_()
    matrix = target_to_source.clone()
    scale = float(scale_of(matrix))  # source pixels a target pixel
    largest = max(source.shape[-2:])
    reduction = min(max(1, math.floor(scale / _MIN_BLOCKS + _ROUNDING)), largest)
    if reduction > 1:
        source = _area_reduce(source, reduction)
        matrix /= reduction
    n_samples = 1
    if scale > 1:
        n_blocks = math.floor(scale / reduction + _ROUNDING)
        n_samples = min(max(n_blocks + 1, _MIN_SAMPLES), _MAX_SAMPLES)
    # What grid_sample calls -1 and 1 are the borders of the image.
    matrix *= 2 / torch.tensor([[source.shape[2]], [source.shape[1]]], dtype=matrix.dtype)
    matrix[:, 2] -= 1
    n_at_once = _CPU_SAMPLES_AT_ONCE if source.device.type == "cpu" else _MAX_SAMPLES_AT_ONCE
    band = max(1, n_at_once // (width * n_samples**2))
    if band > _CPU_CHUNKS:
        band -= band % _CPU_CHUNKS
    for top in range(0, height, band):
        region = Region(top, min(top + band, height), 0, width)
        if needed is not None and source.device.type == "cpu":  # elsewhere asking takes longer
            region = _needed_columns(region, needed)
        if not region.width:
            continue
        # On a CPU, threads share the work by images, so the rows are split into chunks.
        n_chunks = math.gcd(region.height, _CPU_CHUNKS) if source.device.type == "cpu" else 1
        to_source = shift_target(matrix, region)
        grid = _sample_points(
            to_source, region.height, region.width, source.device, n_samples, n_chunks
        )
        _average_samples(source, grid, out=region.of(target))
    return target


def _empty_like(source: Tensor, height: int, width: int) -> Tensor:
    """Room for an image of the channels, dtype, device and memory order of ``source``."""
    size = (1, source.shape[0], height, width)
    order = torch.channels_last if source.stride(0) == 1 else torch.contiguous_format
    return torch.empty(size, dtype=source.dtype, device=source.device, memory_format=order)[0]


def _needed_columns(region: Region, needed: Tensor) -> Region:
    """The region without the columns on either side in which nothing is needed."""
    columns = region.of(needed).any(dim=0).nonzero().flatten()
    if not len(columns):
        return Region(region.top, region.bottom, region.left, region.left)
    return Region(region.top, region.bottom, int(columns[0]), int(columns[-1]) + 1)


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
    scale = float(scale_of(crop_to_image))
    margin = _BICUBIC_REACH * max(1, math.ceil(scale))
    region = _readable(footprint(crop_to_image, size, (height, width), margin), height, width)
    source = region.of(image).to(device, torch.float32)
    crop_to_image[:, 2] -= torch.tensor([region.left, region.top], dtype=torch.float64)
    return warp(source, crop_to_image, size, size)


def _area_reduce(source: Tensor, factor: int) -> Tensor:
    """Average blocks of ``factor`` x ``factor`` pixels; the border pixel fills the last blocks.

    The factor is at least 2.
    """
    height, width = source.shape[-2:]
    right, bottom = -width % factor, -height % factor
    if right or bottom:
        source = F.pad(source[None], (0, right, 0, bottom), mode="replicate")[0]
    # Sums of rows and of columns a factor apart: faster than pooling where channels come last.
    rows = _sum_slices([source[:, i::factor] for i in range(factor)])
    return _sum_slices([rows[:, :, i::factor] for i in range(factor)]).mul_(1 / factor**2)


def _sum_slices(slices: list[Tensor]) -> Tensor:
    total = slices[0] + slices[1]
    for piece in slices[2:]:
        total += piece
    return total


def _sample_points(
    target_to_source: Tensor,
    height: int,
    width: int,
    device: torch.device,
    n_samples: int = 1,
    n_chunks: int = 1,
) -> Tensor:
    """Positions of ``n_samples`` x ``n_samples`` points in each target pixel under a matrix.

    Returns:
        (n_chunks, n_samples**2, height / n_chunks, width, 2) float32, x then y: the rows split into
        ``n_chunks`` chunks.
    """
    matrix = target_to_source.double()
    inside = (torch.arange(n_samples, dtype=torch.float64) + 0.5) / n_samples
    y = torch.arange(height, dtype=torch.float64).view(n_chunks, 1, -1) + inside[:, None]
    x = torch.arange(width, dtype=torch.float64) + inside[:, None]
    # The rows and columns are computed in double precision and only their sum in single.
    rows = (y[..., None] * matrix[:, 1] + matrix[:, 2]).float().to(device)
    columns = (x[..., None] * matrix[:, 0]).float().to(device)
    return (rows[:, :, None, :, None] + columns[None, None, :, None]).flatten(1, 2)


def _average_samples(source: Tensor, grid: Tensor, out: Tensor) -> None:
    """Fill pixels with the mean of their samples.

    Args:
        source: (C, H, W).
        grid: (n_chunks, n, h / n_chunks, w, 2) in -1 to 1.
        out: (C, h, w).
    """
    sampled = _sample(source.expand(grid.shape[0] * grid.shape[1], -1, -1, -1), grid.flatten(0, 1))
    sampled = torch.unflatten(sampled, 0, grid.shape[:2])  # [n_chunks, n, C, h / n_chunks, w]
    averaged = sampled.mean(dim=1) if grid.shape[1] > 1 else sampled[:, 0]
    torch.unflatten(out, 1, (grid.shape[0], grid.shape[2])).copy_(averaged.transpose(0, 1))


def _sample(images: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(images, grid, mode="bicubic", padding_mode="border", align_corners=False)


@cache
def _has_sampling(device: torch.device) -> bool:
    """Whether the device can ``_sample``: Apple's could not before PyTorch 2.13."""
    if device.type == "cpu":
        return True
    try:
        _sample(torch.zeros(1, 1, 2, 2, device=device), torch.zeros(1, 1, 1, 2, device=device))
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        _logger.info("GPEN: faces are cut out and put back on the CPU: %s", error)
        return False
    return True
