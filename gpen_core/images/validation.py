"""Checks of arguments that several modules take."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import TensorSpecError


def check_images(images: Tensor) -> None:
    """Check that images are (B, C, H, W) floating with C = 3 or 4.

    Raises:
        TensorSpecError: They are not; the message says how to convert them.
    """
    shape = tuple(images.shape)
    if images.ndim != 4 or 0 in shape[2:] or shape[1] not in (3, 4):
        hint = "Give RGB or RGBA, channels first, with at least one pixel."
        if images.ndim == 3:
            hint = "Add the batch axis: images[None]."
        elif images.ndim == 4 and shape[1] == 1:
            hint = "Repeat the grey channel: images.expand(-1, 3, -1, -1)."
        elif images.ndim == 4 and shape[3] in (3, 4):
            hint = "Put the channels first: images.movedim(-1, 1)."
        raise TensorSpecError(f"images: expected (B, 3 or 4, H, W), got {shape}. {hint}")
    if not images.is_floating_point():
        raise TensorSpecError(
            f"images: expected floating point in [0, 1], got {images.dtype}. "
            "Convert 8-bit images with images / 255."
        )


def check_masks(user_masks: Tensor | None, images: Tensor) -> None:
    """Check that there is one mask (H, W), or one for each image, or none at all.

    Raises:
        TensorSpecError: There is not.
    """
    if user_masks is None:
        return
    n_images, _, height, width = images.shape
    if user_masks.shape not in ((1, height, width), (n_images, height, width)):
        raise TensorSpecError(
            f"user_masks: expected (1 or {n_images}, {height}, {width}), got "
            f"{tuple(user_masks.shape)}. Resize the mask to the image."
        )


def check_finite(images: Tensor, first_index: int = 0, *, subject: str = "image") -> None:
    """Check that there is no NaN or infinity in (N, C, H, W) images.

    Args:
        images: Floating.
        first_index: The number of the first, for messages.
        subject: What they are, for messages.

    Raises:
        TensorSpecError: There is; the message names the first image that is not finite.
    """
    if is_finite(images):
        return
    number = first_index + images.isfinite().flatten(1).all(dim=1).tolist().index(False)
    raise TensorSpecError(
        f"{subject}s: expected finite values, got NaN or infinity in {subject} {number} (from 0). "
        "Look for the step that made them; a VAE in fp16 often does."
    )


def is_finite(values: Tensor) -> bool:
    """Whether there is no NaN or infinity in a floating tensor."""
    # The sum shows either in one quick pass. It may overflow though all is well: then look closely.
    return bool(values.sum(dtype=torch.float32).isfinite()) or bool(values.isfinite().all())
