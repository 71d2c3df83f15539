"""Blend Swap on swaps whose truth is known: the same face mirrored, put on under another light."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

import gpen_core
from gpen_core import (
    GpenConfig,
    SwapPairs,
    SwapResult,
    SwapSettings,
    blend_swap,
    compare_images,
    identity_state_dict,
)
from support.geometric_swap import swap_face

CASTS = {"warm": (1.1, 1.0, 0.8), "cold": (0.85, 1.0, 1.15), "dark": (0.7, 0.7, 0.7)}


def swap_tables(
    photos: dict[str, tuple[Tensor, gpen_core.Faces]], detector: gpen_core.FaceDetector
) -> None:
    """Print what the influences do; photos are (1, 3, H, W) in [0, 1] with their faces."""
    network = gpen_core.build_model(identity_state_dict(GpenConfig(512, 2, 0.0625)))

    def blend(original: Tensor, swapped: Tensor, faces: gpen_core.Faces, **on: float) -> SwapResult:
        off = {"restore": 1.0, "detail": 0.0, "color": 0.0, "grain": 0.0}
        return blend_swap(
            SwapPairs(original, swapped), faces, network, settings=SwapSettings(**off | on)
        )

    print("\nA swap by the mirrored face in another light: mean CIEDE2000 to the original's light")
    print(f"{'picture':<12}{'cast':<8}{'color 0':>9}{'color 1':>9}{'identity':>10}")
    for name, (image, faces) in photos.items():
        face = faces.select([0])
        for cast, gains in CASTS.items():
            swapped, truth = (
                _mirrored_swap(image, face, detector, gain) for gain in (gains, (1.0, 1.0, 1.0))
            )
            replaced = (truth - image)[0].abs().amax(dim=0) > 0.02
            differences = []
            for color in (0.0, 1.0):
                result = blend(image, swapped, face, color=color)
                inside = replaced & (result.masks > 0.5)
                compared = compare_images(truth, result.images, inside.float())
                differences.append(compared.region.color_error)
                if color == 0:
                    psnr = compare_images(swapped, result.images).whole.psnr
            plain, matched = differences
            print(f"{name:<12}{cast:<8}{plain:>9.2f}{matched:>9.2f}{psnr:>9.1f}dB")

    print("\nNoise inside a smooth swapped face, as a share of the noise around it")
    print(f"{'picture':<12}{'sigma':<8}{'grain 0':>9}{'grain 1':>9}")
    image, faces = photos["astronaut"]
    face = faces.select([0])
    for sigma in (0.01, 0.02, 0.05, 0.08):
        noise = sigma * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
        # Kept from black and white, where noise is cut off.
        noisy = image * 0.6 + 0.2 + noise
        clean = image * 0.6 + 0.2
        truth = _mirrored_swap(clean, face, detector)
        share = _swapped_share(clean, face)
        swapped = truth + (1 - share) * noise
        smooth = blend(noisy, swapped, face, grain=0)
        grainy = blend(noisy, swapped, face, grain=1)
        inside = (share[0, 0] > 0.99) & (grainy.masks[0] > 0.99)
        shares = [
            float((result.images - truth)[0][:, inside].std() / sigma)
            for result in (smooth, grainy)
        ]
        print(f"{'astronaut':<12}{sigma:<8}{shares[0]:>9.3f}{shares[1]:>9.3f}")


def _mirrored_swap(
    image: Tensor,
    face: gpen_core.Faces,
    detector: gpen_core.FaceDetector,
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Tensor:
    """(1, 3, H, W) in unrounded values, the face covered by its own mirror image."""
    mirrored = image.flip(3)
    found = gpen_core.detect_faces(mirrored, detector)
    x = image.shape[3] - face.boxes[0, ::2].mean()
    nearest = (found.boxes[:, ::2].mean(dim=1) - x).abs() + (
        found.boxes[:, 1::2].mean(dim=1) - face.boxes[0, 1::2].mean()
    ).abs()
    source = (mirrored * torch.tensor(gains).view(3, 1, 1)).clamp(0, 1)
    return _swap(image, face, source, found.landmarks[int(nearest.argmin())])


def _swapped_share(image: Tensor, face: gpen_core.Faces) -> Tensor:
    """(1, 3, H, W): how much of each pixel a swap replaces."""
    return _swap(torch.zeros_like(image), face, torch.ones_like(image), face.landmarks[0])


def _swap(image: Tensor, face: gpen_core.Faces, source: Tensor, landmarks: Tensor) -> Tensor:
    # OpenCV counts pixel centres as whole numbers.
    swapped = swap_face(
        _pixels(image),
        face.landmarks[0].numpy() - 0.5,
        _pixels(source),
        landmarks.numpy() - 0.5,
    )
    return torch.from_numpy(np.ascontiguousarray(swapped)).permute(2, 0, 1)[None].float()


def _pixels(image: Tensor) -> np.ndarray:
    return image[0].permute(1, 2, 0).numpy()
