"""Which face is cropped where, and where the crops are kept."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..errors import TensorSpecError
from ..faces.faces import Faces
from ..geometry.alignment import Template, align_faces
from ..geometry.warping import crop_image
from ..images.validation import is_finite


class CropPlan:
    """The order in which faces are processed, and how each is cropped."""

    def __init__(self, faces: Faces, size: int, template: Template | str) -> None:
        """Plan crops of ``size`` x ``size`` pixels."""
        self.size = size
        self.image_index: list[int] = faces.image_index.tolist()
        self.image_to_crop = align_faces(faces.landmarks, Template(template), size)
        # Faces of one image follow each other, so at most one image is open at a time.
        self._order: list[int] = torch.argsort(faces.image_index, stable=True).tolist()

    def chunks(self, max_batch: int) -> Iterator[list[int]]:
        """The numbers of the faces, some at a time."""
        for start in range(0, len(self._order), max_batch):
            yield self._order[start : start + max_batch]

    def crop(self, images: Tensor, chunk: list[int], device: torch.device | str) -> Tensor:
        """The aligned crops of some faces, (n, 3, S, S) float32 in [0, 1] on ``device``.

        Raises:
            TensorSpecError: Pixels of a face are not finite.
        """
        crops = [
            crop_image(images[self.image_index[i], :3], self.image_to_crop[i], self.size, device)
            for i in chunk
        ]
        stacked = (crops[0][None] if len(crops) == 1 else torch.stack(crops)).clamp_(0, 1)
        if not is_finite(stacked):
            finite = stacked.isfinite().flatten(1).all(dim=1).tolist()
            face = chunk[finite.index(False)]
            raise TensorSpecError(
                f"images: expected finite pixels, got NaN or infinity in face {face} of image "
                f"{self.image_index[face]}. Look for the step that made them; a VAE in fp16 "
                "often does."
            )
        return stacked


class CropStore:
    """The crops before and after, collected in the order of the faces."""

    def __init__(self, images: Tensor, n_faces: int, size: int) -> None:
        """Room for all of them, on the device of ``images``."""
        self.before = images.new_empty((n_faces, 3, size, size), dtype=torch.float32)
        self.after = torch.empty_like(self.before)

    def put(self, chunk: list[int], before: Tensor, after: Tensor) -> None:
        """Keep the crops of some faces."""
        self.before[chunk] = before.to(self.before.device)
        self.after[chunk] = after.to(self.after.device)
