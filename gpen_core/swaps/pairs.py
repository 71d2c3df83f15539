"""Swapped images and their originals."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..errors import TensorSpecError
from ..images.validation import check_images
from .frames import fit_image


class SwapPairs:
    """Swapped images, each with its original: of their size and device once it is needed."""

    def __init__(
        self, originals: Tensor, swapped: Tensor, frames: Sequence[int] | None = None
    ) -> None:
        """Pair them.

        Args:
            originals: (B', C', H', W') floating, C' = 3 or 4, RGB first, in [0, 1]: before the
                swap. Of any size and device.
            swapped: (B, C, H, W) floating, C = 3 or 4, RGB first, in [0, 1]: after it.
            frames: The number of the original of each swapped image, from ``match_frames``; None:
                as many originals as swapped images, in the same order.

        Raises:
            TensorSpecError: These are not images, or there is not one original for each swapped
                one.
        """
        check_images(originals)
        check_images(swapped)
        frames = range(len(originals)) if frames is None else frames
        if len(frames) != len(swapped) or (frames and max(frames) >= len(originals)):
            raise TensorSpecError(
                f"originals: expected one for each of {len(swapped)} swapped images, got "
                f"{len(originals)}. Match them with match_frames first."
            )
        self._originals = originals
        self.swapped = swapped
        self._frames = frames
        self._open: tuple[int, Tensor] | None = None

    def original(self, index: int) -> Tensor:
        """(3, H, W) RGB, the original of a swapped image, and of its size, dtype and device."""
        number = self._frames[index]
        if self._open is None or self._open[0] != number:
            original = self._originals[number, :3].to(self.swapped)
            self._open = (number, fit_image(original, *self.swapped.shape[2:]))
        return self._open[1]
