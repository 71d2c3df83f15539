"""Match the frames of a swap to the originals they were made from.

A swapper may leave frames out (ReActor's filter does), so the frames that came back are matched to
the originals by what they show, in order: the cheapest increasing assignment, found by dynamic
programming. A swap changes a minority of the picture, so the median of the differences tells
whether two frames are the same shot.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import FrameMatchError
from ..geometry.resizing import resize
from ..images.validation import check_images

_THUMBNAIL_PX = 24
_SAME_SHOT = 8 / 255  # median difference; JPEG at quality 20 reaches 2 / 255
_BLACK_SIZE = (512, 512)


def is_withheld(swapped: Tensor) -> bool:
    """Whether this is the one black 512x512 image that ReActor returns if it flagged all frames.

    Args:
        swapped: (B, C, H, W) floating.
    """
    return (
        len(swapped) == 1
        and tuple(swapped.shape[2:]) == _BLACK_SIZE
        and not bool((swapped[0, :3] != 0).any())
    )


def match_frames(originals: Tensor, swapped: Tensor) -> list[int]:
    """Find the original of each swapped frame.

    Args:
        originals: (B, C, H, W) floating RGB in [0, 1], in order. One alone may stand for all.
        swapped: (B', C', H', W') floating RGB in [0, 1], in the same order, some perhaps missing.
            Sizes and devices may differ.

    Returns:
        The number of the original of each swapped frame. As many frames as originals are taken to
        be these; nothing is compared.

    Raises:
        FrameMatchError: There are more swapped frames than originals, or one of them looks like
            none of the originals that it could be.
        TensorSpecError: These are not images.
    """
    check_images(originals)
    check_images(swapped)
    n_originals, n_swapped = len(originals), len(swapped)
    if n_swapped == n_originals:
        return list(range(n_swapped))
    if n_swapped > n_originals > 1:
        raise FrameMatchError(
            f"original: expected at least as many frames as were swapped, {n_swapped}, got "
            f"{n_originals}. Connect the frames that the swap was given."
        )
    thumbnails = _thumbnails(swapped)
    if n_originals == 1:
        assignment = [0] * n_swapped
        differences = _differences(thumbnails, _thumbnails(originals).expand_as(thumbnails))
    else:
        assignment, differences = _assign(thumbnails, _thumbnails(originals))
    strangers = (differences > _SAME_SHOT).nonzero().flatten().tolist()
    if strangers:
        raise FrameMatchError(
            f"original: expected the frames that were swapped, got {n_originals} frames for "
            f"{n_swapped} swapped ones, and {_listed(strangers)} of these look like none of them. "
            "ReActor leaves out the frames that its filter flags: connect its ORIGINAL_IMAGE, or "
            "exactly the frames it was given."
        )
    return assignment


def fill_in_dropped(
    images: Tensor, masks: Tensor, originals: Tensor, frames: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Put the originals of the frames that the swap dropped back to their places.

    Args:
        images: (B, C, H, W) floating, RGB first: the frames that came back.
        masks: (B, H, W): what was changed in them.
        originals: (B', C', H', W') floating, RGB first.
        frames: The number of the original of each image.

    Returns:
        (B', C, H, W) images and (B', H, W) masks; the masks of what was filled in are 0, and its
        alpha is the original's, or 1.
    """
    _, n_channels, height, width = images.shape
    filled = images.new_ones(len(originals), n_channels, height, width)
    filled_masks = masks.new_zeros(len(originals), height, width)
    filled[list(frames)] = images
    filled_masks[list(frames)] = masks
    for number in sorted(set(range(len(originals))) - set(frames)):
        original = originals[number, :n_channels].to(images)
        filled[number, : len(original)] = fit_image(original, height, width)
    return filled, filled_masks


def fit_image(image: Tensor, height: int, width: int) -> Tensor:
    """(C, H, W) floating in [0, 1] in another size; itself if it has that size."""
    if image.shape[1:] == (height, width):
        return image
    return resize(image[None].float(), (height, width))[0].to(image.dtype)


def _assign(swapped: Tensor, originals: Tensor) -> tuple[list[int], Tensor]:
    """The increasing assignment of minimum total difference, and the differences along it."""
    n_swapped, n_dropped = len(swapped), len(originals) - len(swapped)
    # Frame j comes from original j + d, where d of its predecessors were dropped: 0 <= d <= D.
    costs = torch.stack(
        [
            _differences(swapped, originals[dropped : dropped + n_swapped])
            for dropped in range(n_dropped + 1)
        ],
        dim=1,
    ).double()  # [B', D + 1]
    totals = torch.empty_like(costs)
    choices = torch.empty(costs.shape, dtype=torch.int64)
    best = torch.zeros(n_dropped + 1, dtype=torch.float64)
    for frame in range(n_swapped):
        minimum, choices[frame] = best.cummin(dim=0)
        best = totals[frame] = minimum + costs[frame]
    # The last frame may be followed by dropped ones, so any of its numbers may be the best.
    dropped = int(best.argmin())
    assignment = [0] * n_swapped
    for frame in reversed(range(n_swapped)):
        assignment[frame] = frame + dropped
        dropped = int(choices[frame, dropped])
    along = [costs[j, i - j] for j, i in enumerate(assignment)]
    return assignment, torch.stack(along)


def _thumbnails(images: Tensor) -> Tensor:
    """(B, 3, K, K) float32 on the CPU."""
    size = (_THUMBNAIL_PX, _THUMBNAIL_PX)
    return torch.cat(
        [F.adaptive_avg_pool2d(image[None, :3].float(), size).cpu() for image in images]
    )


def _differences(swapped: Tensor, originals: Tensor) -> Tensor:
    """(B,) medians over the cells of each pair's difference."""
    return (swapped - originals).abs().mean(dim=1).flatten(1).median(dim=1).values


def _listed(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:8]))
    return f"{len(numbers)} (frame {shown}{', ...' if len(numbers) > 8 else ''})"
