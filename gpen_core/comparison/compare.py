"""Compare two batches of images: all measures in one pass, of all pixels and of a region."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import TensorSpecError
from ..faces.detection import detect_faces
from ..faces.faces import Faces
from ..faces.retinaface import FaceDetector
from ..images.srgb import luma
from ..images.validation import check_finite, check_images
from ..monitor import SILENT, Monitor
from .color_difference import ciede2000, rgb_to_lab
from .landmarks import landmark_error
from .structure import REACH_PX, halve, pool_scales, scale_count, structure_maps

_BAND_ROWS = 128
"""Computed together: the measures take dozens of times the memory of what they look at."""


@dataclass(frozen=True)
class Similarity:
    """How alike images in [0, 1] are, over all pixels that count."""

    psnr: float
    """Peak signal to noise ratio in dB, of the squared errors of all pixels together. Infinite if
    they are equal."""
    ssim: float
    """Mean structural similarity, up to 1, which is equal."""
    ms_ssim: float
    """Structural similarity at five scales, each half as large as the one before, or at as many as
    its window of 11 pixels fits into; 0 to 1. Of each image by itself, then the mean."""
    sharpness: float
    """Energy of the detail after over that before: mean squares of the Laplacian of luma over a
    pixel's four neighbours. Below 1: softer. Noise counts as detail. Infinite if there was none."""
    color_error: float
    """Mean CIEDE2000. 1 is about what can just be seen side by side."""


@dataclass(frozen=True)
class Comparison:
    """What ``compare_images`` found."""

    whole: Similarity
    """Over all pixels."""
    region: Similarity | None
    """Over those of the region. None: no region was given, or it is empty."""
    landmark_error: float | None = None
    """Mean distance of the landmarks of faces before and after, in percent of the distance between
    the eyes; of faces whose middle is in the region. None: no face is in both, or no detector was
    given."""


def compare_images(
    before: Tensor,
    after: Tensor,
    region: Tensor | None = None,
    *,
    detector: FaceDetector | None = None,
    device: torch.device | str | None = None,
    monitor: Monitor = SILENT,
) -> Comparison:
    """Measure how alike two batches of images are. Alpha does not count.

    Args:
        before: (B or 1, C, H, W) floating, C = 3 or 4, RGB or RGBA, in [0, 1]; a single one is
            compared with each of the others.
        after: (B, C, H, W), like ``before`` and of the same size.
        region: (B or 1, H, W) floating in [0, 1]: how far each pixel counts.
        detector: Finds the faces whose landmarks are compared.
        device: Where to compute; that of the images if None. It holds one band of rows at a time.
        monitor: Asked before each band; progress is not reported.

    Raises:
        TensorSpecError: The shapes do not match, a pixel is not finite, or a side is under 6
            pixels, half the window of SSIM.
    """
    _check(before, after, region)
    before = before.expand(len(after), -1, -1, -1)
    whole, inside = _Total(), _Total()
    for index in range(len(after)):
        pair = [images[index, :3] for images in (before, after)]
        weights = None if region is None else region[index % len(region)]
        sums = _measure(pair[0], pair[1], weights, device or after.device, monitor)
        for total, row in ((whole, 0), (inside, 1)):
            total.add([scale[row].tolist() for scale in sums])
    return Comparison(
        whole.result(),
        inside.result() if inside.weight > 0 else None,
        _landmark_error(before, after, region, detector, monitor),
    )


def _measure(
    old: Tensor,
    new: Tensor,
    weights: Tensor | None,
    device: torch.device | str,
    monitor: Monitor,
) -> list[Tensor]:
    """Sums over the pixels of two (3, H, W) images, as ``_maps`` has them, at each scale.

    Returns:
        (2, K) float64: of all pixels, and by their (H, W) weights.
    """
    sums = []
    for scale in range(scale_count(*old.shape[1:])):
        if scale:
            # In bands too: beside them a quarter of a picture is held.
            old, new = halve(old), halve(new)
            weights = None if weights is None else halve(weights[None])[0]
        height = old.shape[1]
        rows = torch.zeros(2, 7 if scale == 0 else 3, dtype=torch.float64)
        for top in range(0, height, _BAND_ROWS):
            monitor.check_interrupt()
            # With rows above and below for the window to reach into; they are cut off again.
            first, last = max(top - REACH_PX, 0), min(top + _BAND_ROWS + REACH_PX, height)
            bands = [x[:, first:last].to(device, torch.float32) for x in (old, new)]
            maps = _maps(bands[0], bands[1], is_full_size=scale == 0)
            maps = maps[:, top - first : top - first + _BAND_ROWS]
            # Of one band, so that float32 is exact enough; not every device has more.
            both = [maps.sum(dim=(1, 2))]
            if weights is not None:
                own = weights[top : top + _BAND_ROWS].to(maps)
                both.append((maps * own).sum(dim=(1, 2)))
            rows[: len(both)] += torch.stack(both).cpu()
        sums.append(rows)
    return sums


def _maps(old: Tensor, new: Tensor, *, is_full_size: bool) -> Tensor:
    """The measures around each pixel of (3, H, W) bands.

    Returns:
        (K, H, W): ones, SSIM, its contrast and structure; and at full size the squared error, the
        squared Laplacians before and after, and CIEDE2000.
    """
    similarity, structure = structure_maps(old, new)
    maps = [torch.ones_like(similarity), similarity, structure]
    if is_full_size:
        error = (old - new).square().mean(dim=0)
        details = [_laplacian(luma(colors)).square() for colors in (old, new)]
        maps += [error, *details, ciede2000(rgb_to_lab(old), rgb_to_lab(new))]
    return torch.stack(maps)


def _laplacian(plane: Tensor) -> Tensor:
    """Four times each pixel of (H, W) less its neighbours; outside is as the border."""
    padded = F.pad(plane[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    vertical = padded[:-2, 1:-1] + padded[2:, 1:-1]
    return 4 * plane - vertical - padded[1:-1, :-2] - padded[1:-1, 2:]


class _Total:
    """The sums of several images."""

    def __init__(self) -> None:
        self.weight = self.ms_ssim = 0.0
        self.sums = [0.0] * 5

    def add(self, scales: list[list[float]]) -> None:
        """Add one image: its weight, SSIM, contrast and structure, at full size the others too."""
        weight, similarity, _, *others = scales[0]
        if not weight:
            return
        factors = [structure / weight for weight, _, structure in (s[:3] for s in scales[:-1])]
        factors.append(scales[-1][1] / scales[-1][0])
        self.weight += weight
        self.ms_ssim += weight * pool_scales(factors)
        self.sums = [a + b for a, b in zip(self.sums, (similarity, *others), strict=True)]

    def result(self) -> Similarity:
        ssim, error, detail_before, detail_after, color_error = (s / self.weight for s in self.sums)
        if detail_before:
            sharpness = detail_after / detail_before
        else:
            sharpness = math.inf if detail_after else 1.0
        return Similarity(
            psnr=-10 * math.log10(error) if error else math.inf,
            ssim=ssim,
            ms_ssim=self.ms_ssim / self.weight,
            sharpness=sharpness,
            color_error=color_error,
        )


def _landmark_error(
    before: Tensor,
    after: Tensor,
    region: Tensor | None,
    detector: FaceDetector | None,
    monitor: Monitor,
) -> float | None:
    if detector is None:
        return None
    old, new = (
        detect_faces(images, detector, monitor=monitor.without_progress())
        for images in (before, after)
    )
    if region is not None:
        old = old.select(_are_inside(old, region))
    return landmark_error(old, new)


def _are_inside(faces: Faces, region: Tensor) -> Tensor:
    """(N,) bool: whose middle lies where the region is not 0."""
    height, width = region.shape[1:]
    x, y = faces.landmarks.mean(dim=1).long().unbind(dim=1)
    rows = faces.image_index % len(region)
    region = region.to(faces.device)
    return region[rows, y.clamp(0, height - 1), x.clamp(0, width - 1)] > 0


def _check(before: Tensor, after: Tensor, region: Tensor | None) -> None:
    check_images(before)
    check_images(after)
    shape = (len(after), *after.shape[2:])
    if len(before) not in (1, shape[0]) or before.shape[2:] != shape[1:]:
        raise TensorSpecError(
            f"before: expected 1 or {shape[0]} images of {shape[1]} x {shape[2]} pixels as after, "
            f"got {len(before)} of {before.shape[2]} x {before.shape[3]}. Resize or repeat them."
        )
    if not shape[0]:
        raise TensorSpecError("after: expected at least one image, got none. Give one.")
    if min(shape[1:]) <= REACH_PX:
        raise TensorSpecError(
            f"after: expected sides of {REACH_PX + 1} pixels at least, got "
            f"{shape[1]} x {shape[2]}. Compare larger images."
        )
    if region is not None and (region.shape[1:] != shape[1:] or len(region) not in (1, shape[0])):
        raise TensorSpecError(
            f"region: expected (1 or {shape[0]}, {shape[1]}, {shape[2]}), got "
            f"{tuple(region.shape)}. Resize the mask to the images."
        )
    for images in (before, after):
        check_finite(images[:, :3])
    if region is not None:
        check_finite(region[:, None], subject="mask")
