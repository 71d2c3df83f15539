"""How well a network restores aligned portraits that are damaged alike every time.

The protocol, with a generator for each crop, seeded by the seed and the crop's number:

1. A crop of 256 pixels, cut as for the network, is the original.
2. Gaussian blur, sigma uniform in 0.2 to 2 pixels, borders reflected.
3. Reduced to a side uniform in 64 to 128 whole pixels, by area.
4. White Gaussian noise on each channel, sigma uniform in 2 to 12 of 255; then 8 bits.
5. JPEG with 4:2:0 chroma, quality uniform in 40 to 85, both ends included.
6. Enlarged to 256 by bicubic interpolation: that is the input.

The draws are made in this order: side, blur, noise, quality. Figures are means over the crops of
what ``compare_images`` gives for each against its original; the landmark error is the mean over
the crops in which the detector finds the face in the original, the input and the output. The
network gets the originals too, and should leave them alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import cv2
import numpy as np
import torch
from torch import Tensor

import gpen_core
from gpen_core import Comparison, Similarity, compare_images, resize

SIZE_PX = 256
SIDE_PX = (64, 128)
BLUR_PX = (0.2, 2.0)
NOISE_OF_255 = (2.0, 12.0)
JPEG_QUALITY = (40, 85)

Restore = Callable[[Tensor], Tensor]
"""(N, 3, 256, 256) float32 RGB in [0, 1] on the CPU to the same."""


@dataclass(frozen=True)
class Figures(Similarity):
    """Means over pictures."""

    landmark_error: float
    """NaN: no picture had a face in all its versions."""


@dataclass(frozen=True)
class Restoration:
    """What a network made of damaged crops, and of undamaged ones."""

    damaged: Figures
    restored: Figures
    clean: Figures
    """Of the undamaged crops after the network."""
    seconds: float
    """For each crop."""

    def limits(self) -> dict[str, bool]:
        """What a small restorer is expected to reach, in words, and whether it does."""
        gain_db = self.restored.psnr - self.damaged.psnr
        gain = self.restored.ssim - self.damaged.ssim
        landmarks = self.restored.landmark_error, self.damaged.landmark_error
        return {
            f"PSNR at least 1.5 dB above the input: {gain_db:+.2f}": gain_db >= 1.5,
            f"SSIM at least 0.05 above the input: {gain:+.4f}": gain >= 0.05,
            "landmark error below the input's: {:.2f} and {:.2f}".format(*landmarks): (
                landmarks[0] < landmarks[1]
            ),
            f"sharpness 0.6 to 1.1: {self.restored.sharpness:.2f}": (
                0.6 <= self.restored.sharpness <= 1.1
            ),
            f"clean portraits at least 36 dB: {self.clean.psnr:.2f}": self.clean.psnr >= 36,
        }


def measure_restoration(
    restore: Restore,
    crops: Tensor,
    detector: gpen_core.FaceDetector | None,
    *,
    seed: int = 0,
    at_once: int = 8,
) -> Restoration:
    """Damage crops, restore them, and compare all with the originals.

    Args:
        restore: The network.
        crops: (N, 3, 256, 256) float32 RGB in [0, 1], N >= 1: aligned, undamaged.
        detector: For the landmark error, which takes most of the time; None: leave it out.
        seed: Of the damage.
        at_once: How many crops the network gets in one call.
    """
    damaged = damage_crops(crops, seed)
    started = time.perf_counter()
    restored = _in_chunks(restore, damaged, at_once)
    seconds = (time.perf_counter() - started) / len(crops)
    clean = _in_chunks(restore, crops, at_once)
    inputs, outputs = (_compare(crops, versions, detector) for versions in (damaged, restored))
    # The landmarks of faces that only the restoration made findable would count against it.
    has_both = [
        None not in (a.landmark_error, b.landmark_error)
        for a, b in zip(inputs, outputs, strict=True)
    ]
    return Restoration(
        damaged=mean_figures(inputs, has_both),
        restored=mean_figures(outputs, has_both),
        clean=mean_figures(_compare(crops, clean, None)),
        seconds=seconds,
    )


def damage_crops(crops: Tensor, seed: int = 0) -> Tensor:
    """The input of the protocol: (N, 3, 256, 256) float32 RGB in [0, 1], N >= 1."""
    return torch.cat([_damage(crop, seed, index) for index, crop in enumerate(crops)])


def mean_figures(
    compared: Sequence[Comparison], has_landmarks: Sequence[bool] | None = None
) -> Figures:
    """Means over pictures: of the region where there is one, else of all pixels.

    Args:
        compared: One comparison for each picture.
        has_landmarks: Which pictures' landmarks count; all that have any if None.
    """
    similarities = [comparison.region or comparison.whole for comparison in compared]
    means = {
        field.name: sum(getattr(s, field.name) for s in similarities) / len(similarities)
        for field in fields(Similarity)
    }
    errors = [
        comparison.landmark_error
        for i, comparison in enumerate(compared)
        if comparison.landmark_error is not None and (has_landmarks is None or has_landmarks[i])
    ]
    return Figures(**means, landmark_error=sum(errors) / len(errors) if errors else math.nan)


def with_network(network: gpen_core.GpenGenerator) -> Restore:
    """A network of any size on any device as what restores crops of 256 pixels."""

    def restore(crops: Tensor) -> Tensor:
        return resize(gpen_core.restore_crops(crops, network), (SIZE_PX, SIZE_PX))

    return restore


def _damage(crop: Tensor, seed: int, index: int) -> Tensor:
    generator = np.random.default_rng((seed, index))
    side = int(generator.integers(*SIDE_PX, endpoint=True))
    blur_px = generator.uniform(*BLUR_PX)
    noise = generator.uniform(*NOISE_OF_255) / 255
    quality = int(generator.integers(*JPEG_QUALITY, endpoint=True))
    pixels = crop.permute(1, 2, 0).numpy()
    blurred = cv2.GaussianBlur(pixels, (0, 0), blur_px, borderType=cv2.BORDER_REFLECT_101)
    small = cv2.resize(blurred, (side, side), interpolation=cv2.INTER_AREA)
    noisy = small + noise * generator.standard_normal(small.shape)
    samples = np.rint(noisy.clip(0, 1) * 255).astype(np.uint8)
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, encoded = cv2.imencode(".jpg", samples[..., ::-1], options)
    decoded = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))[..., ::-1].copy()
    damaged = torch.from_numpy(decoded).permute(2, 0, 1)[None] / 255
    return resize(damaged, (SIZE_PX, SIZE_PX))


def _in_chunks(restore: Restore, crops: Tensor, at_once: int) -> Tensor:
    return torch.cat([restore(chunk) for chunk in crops.split(at_once)])


def _compare(
    crops: Tensor, versions: Tensor, detector: gpen_core.FaceDetector | None
) -> list[Comparison]:
    return [
        compare_images(crops[i : i + 1], versions[i : i + 1], detector=detector)
        for i in range(len(crops))
    ]
