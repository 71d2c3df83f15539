"""Degrades pictures one by one: draws what is done to each, and does it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..errors import DegradeSettingsError
from ..images.validation import check_finite, check_images
from ..monitor import SILENT, Monitor
from .resize import Resize
from .settings import DegradeSettings
from .stage import REFERENCE_PX, Draws, Step

_PARAMETERS, _PATTERNS = 0, 1  # streams of random numbers


@torch.no_grad()
def degrade(
    images: Tensor,
    settings: DegradeSettings,
    *,
    seed: int,
    strength: float = 1.0,
    first_index: int = 0,
    same_for_all: bool = False,
    monitor: Monitor = SILENT,
) -> Tensor:
    """Damage pictures as cameras, networks and time do.

    The result depends on nothing but each image, its index, the settings, the strength and the
    seed: a batch is the same as its images one by one, and random numbers are on every device those
    of the CPU.

    Args:
        images: (B, C, H, W) floating, C = 3 or 4, RGB or RGBA, in [0, 1]. Computed in float32, on
            their device; JPEG on the CPU.
        settings: What to do; for presets see ``DEGRADE_PRESETS``.
        seed: 0 or more.
        strength: 0 to 1, brings every parameter from the one that does nothing to the one drawn.
        first_index: Of the first image; where a clip is given in parts, how many came before.
        same_for_all: Draw the parameters once for all images, as for the frames of a clip. Noise
            and dust still change from image to image.
        monitor: Told of progress in images.

    Returns:
        Images of the same shape, dtype and device, in [0, 1], alpha unchanged. With strength 0 or
        nothing to do they are the images, bit for bit.

    Raises:
        TensorSpecError: The images are of the wrong shape or dtype, hold NaN or infinity, or are
            too large for JPEG.
        DegradeSettingsError: The seed, index or strength is out of range.
    """
    check_images(images)
    _check_draws(seed, first_index, strength)
    check_finite(images)
    degraded = images.clone()
    size = (images.shape[2], images.shape[3])
    for i, image in enumerate(degraded):
        monitor.check_interrupt()
        index = first_index + i
        steps = draw_steps(
            settings, size, seed=seed, strength=strength, index=0 if same_for_all else index
        )
        if steps:
            image[:3] = _apply(steps, image[:3], _patterns(seed, index))
        monitor.on_progress(i + 1, len(images))
    return degraded


def draw_steps(
    settings: DegradeSettings,
    size: tuple[int, int],
    *,
    seed: int,
    strength: float = 1.0,
    index: int = 0,
) -> list[Step]:
    """What ``degrade`` does to an image, step by step; the string of each step describes it.

    Args:
        settings: What to do.
        size: Height and width of the image in pixels.
        seed: 0 or more, the one that ``degrade`` is given.
        strength: 0 to 1, the one that ``degrade`` is given.
        index: Of the image; 0 with ``same_for_all``.

    Raises:
        DegradeSettingsError: The seed, index or strength is out of range.
    """
    _check_draws(seed, index, strength)
    if strength == 0:
        return []
    random = np.random.default_rng(_stream(seed, index, _PARAMETERS))
    draws = Draws(random, strength, min(size) / REFERENCE_PX)
    steps = [
        *settings.color.draw(draws),
        *settings.blur.draw(draws),
        *settings.motion.draw(draws),
        *settings.resize.draw(draws, size),
        *settings.tilt.draw(draws),
        *settings.noise.draw(draws),
        *settings.sharpen.draw(draws),
        *settings.jpeg.draw(draws),
        *settings.blur_2.draw(draws),
        *settings.resize_2.draw(draws, size),
        *settings.noise_2.draw(draws),
        *settings.jpeg_2.draw(draws),
        *settings.sinc.draw(draws),
        *settings.age.draw(draws),
    ]
    back = settings.resize_back.draw(draws, size)
    return [*steps, *back] if any(isinstance(step, Resize) for step in steps) else steps


def _apply(steps: list[Step], pixels: Tensor, patterns: torch.Generator) -> Tensor:
    pixels = pixels.float().clamp(0, 1)
    for step in steps:
        pixels = step.apply(pixels, patterns)
    return pixels.clamp(0, 1)


def _patterns(seed: int, index: int) -> torch.Generator:
    """Random numbers for the pixels of an image, on the CPU."""
    state = _stream(seed, index, _PATTERNS).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))


def _stream(seed: int, index: int, purpose: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(index, purpose))


def _check_draws(seed: int, index: int, strength: float) -> None:
    for name, value in (("seed", seed), ("index", index)):
        if value < 0:
            raise DegradeSettingsError(f"{name}: expected 0 or more, got {value}. Raise it to 0.")
    if not 0 <= strength <= 1:
        raise DegradeSettingsError(
            f"strength: expected 0 to 1, got {strength}. Bring it into that range."
        )
