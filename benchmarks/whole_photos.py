"""Whole photos and short clips, damaged by a preset, through search, restoration and paste."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

import gpen_core
from gpen_core import (
    DegradeSettings,
    box_masks,
    compare_images,
    degrade,
    flicker,
    seam,
    stabilize_faces,
)
from training.dataset import largest_face
from training.evaluation import Figures, mean_figures

N_FRAMES = 6
PAN_PX = 4
"""A frame."""
SMOOTHING = 0.5


@dataclass(frozen=True)
class PhotoFigures:
    """Means over photos: inside the boxes of the faces, against the undamaged photos."""

    figures: Figures
    n_found: int
    """Of the damaged photos, in how many a face was found. The others stay as they are."""
    seam: float
    """Along the edge of what was pasted. NaN: nothing was."""
    seam_before: float
    """Along the same edge in the damaged photos."""
    seconds: float
    """For each photo."""


@dataclass(frozen=True)
class Flicker:
    """Deviation in time inside the face, of 255: the root of the mean of its square over clips."""

    still: float
    pan: float


def measure_photos(
    photos: Sequence[Tensor],
    settings: DegradeSettings,
    network: gpen_core.GpenGenerator | None,
    detector: gpen_core.FaceDetector,
    *,
    seed: int = 0,
) -> PhotoFigures:
    """Damage photos, restore them as a user would, and compare them with the originals.

    Args:
        photos: (1, 3, H, W) float32 RGB in [0, 1] each, with a face each.
        settings: Of the damage; each photo gets draws of its own.
        network: What restores; None: nothing, to measure the damage.
        detector: Finds the faces to restore, and the landmarks.
        seed: Of the damage.
    """
    compared, seams, n_found, seconds = [], [], 0, 0.0
    for index, photo in enumerate(photos):
        damaged = degrade(photo, settings, seed=seed, first_index=index)
        started = time.perf_counter()
        faces = gpen_core.detect_faces(damaged, detector)
        restored, masks = damaged, torch.zeros_like(damaged[:, 0])
        if network is not None:
            result = gpen_core.restore_faces(damaged, faces, network)
            restored, masks = result.images, result.masks
        seconds += time.perf_counter() - started
        seams.append((seam(restored, masks), seam(damaged, masks)))
        n_found += len(faces) > 0
        region = face_region(photo, detector)
        compared.append(compare_images(photo, restored, region, detector=detector))
    after, before = ([s for s in column if s is not None] for column in zip(*seams, strict=True))
    return PhotoFigures(
        figures=mean_figures(compared),
        n_found=n_found,
        seam=sum(after) / len(after) if after else math.nan,
        seam_before=sum(before) / len(before) if before else math.nan,
        seconds=seconds / len(photos),
    )


def measure_flicker(
    photos: Iterable[Tensor],
    settings: DegradeSettings,
    network: gpen_core.GpenGenerator | None,
    detector: gpen_core.FaceDetector,
    *,
    seed: int = 0,
) -> Flicker:
    """Make clips of photos, damage and restore them, and measure how much still pixels change.

    All frames of a clip are damaged alike but for the noise, which is new in each. The arguments
    are those of ``measure_photos``.
    """
    squares: dict[int, list[float]] = {0: [], PAN_PX: []}
    for index, photo in enumerate(photos):
        region = face_region(photo, detector)[0]
        for step, seen in squares.items():
            clip = degrade(pan(photo, step), settings, seed=seed + index, same_for_all=True)
            if network is not None:
                faces = gpen_core.detect_faces(clip, detector)
                faces = stabilize_faces(faces, len(clip), SMOOTHING)
                clip = gpen_core.restore_faces(clip, faces, network).images
            shared = region[:, (N_FRAMES - 1) * step :]
            seen.append(flicker(hold_still(clip, step), shared) ** 2)
    still, moving = (255 * math.sqrt(sum(seen) / len(seen)) for seen in squares.values())
    return Flicker(still, moving)


def pan(photo: Tensor, step: int) -> Tensor:
    """(N_FRAMES, 3, H, W): the camera moves to the right by ``step`` pixels a frame."""
    padded = F.pad(photo, (0, (N_FRAMES - 1) * step, 0, 0), mode="replicate")
    width = photo.shape[3]
    starts = range(0, N_FRAMES * step, step) if step else [0] * N_FRAMES
    return torch.cat([padded[..., start : start + width] for start in starts])


def hold_still(clip: Tensor, step: int) -> Tensor:
    """What all frames of a pan show, each thing in one place."""
    width = clip.shape[3] - (N_FRAMES - 1) * step
    starts = [(N_FRAMES - 1 - i) * step for i in range(N_FRAMES)]
    frames = zip(clip, starts, strict=True)
    return torch.stack([frame[..., start : start + width] for frame, start in frames])


def face_region(photo: Tensor, detector: gpen_core.FaceDetector) -> Tensor:
    """(1, H, W) 0 or 1: the box of the largest face."""
    size = (photo.shape[2], photo.shape[3])
    return box_masks(largest_face(photo, detector), 1, size)
