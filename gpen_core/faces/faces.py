"""The faces found in a batch of images: one struct of tensors, one row per face.

Coordinates are pixels of the full-resolution image, x then y, with pixel centres at integer + 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ..errors import TensorSpecError

LANDMARK_COUNT = 5

_SPECS: dict[str, tuple[tuple[int, ...], torch.dtype]] = {
    "image_index": ((), torch.int64),
    "boxes": ((4,), torch.float32),
    "landmarks": ((LANDMARK_COUNT, 2), torch.float32),
    "scores": ((), torch.float32),
    "track_ids": ((), torch.int64),
}


@dataclass(frozen=True, eq=False)
class Faces:
    """N faces. Selecting, sorting and moving return a new struct; the tensors are not copied.

    Raises:
        TensorSpecError: A tensor has the wrong shape, dtype or device, is not finite, an image
            index is negative, or a box has its corners swapped.
    """

    image_index: Tensor
    """(N,) int64. Which image of the batch the face is in, >= 0."""
    boxes: Tensor
    """(N, 4) float32. x0, y0, x1, y1 in pixels; may reach outside the image."""
    landmarks: Tensor
    """(N, 5, 2) float32. The eye on the left of an upright face, the eye on the right, the tip of
    the nose, the left and the right corner of the mouth; x, y in pixels."""
    scores: Tensor
    """(N,) float32. Confidence of the detector in [0, 1]."""
    track_ids: Tensor | None = None
    """(N,) int64. The same number for the same person throughout a video. None: not tracked."""

    def __post_init__(self) -> None:
        tensors = self._tensors()
        for name, value in tensors.items():
            _check(name, value, len(self.image_index) if self.image_index.ndim else 0, tensors)
        self._check_values()

    def __repr__(self) -> str:
        """Counts, not tensors: ``<3 faces in images 0 to 1, not tracked, cpu>``."""
        count = len(self)
        if count == 0:
            return f"<no faces, {self.device}>"
        first, last = (int(end) for end in self.image_index.aminmax())
        images = f"image {first}" if first == last else f"images {first} to {last}"
        tracks = "not tracked"
        if self.track_ids is not None:
            n_tracks = len(set(self.track_ids.tolist()))
            tracks = f"{n_tracks} track{'s' * (n_tracks > 1)}"
        return f"<{count} face{'s' * (count > 1)} in {images}, {tracks}, {self.device}>"

    def __len__(self) -> int:
        return self.image_index.shape[0]

    @property
    def device(self) -> torch.device:
        """Where all the tensors lie."""
        return self.image_index.device

    @classmethod
    def empty(cls, device: torch.device | str = "cpu") -> Faces:
        """No faces, not tracked."""
        return cls(
            **{
                name: torch.empty((0, *shape), dtype=dtype, device=device)
                for name, (shape, dtype) in _SPECS.items()
                if name != "track_ids"
            }
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Faces]) -> Faces:
        """All faces of several structs, in the order given, image indices unchanged.

        Args:
            parts: At least one struct, all on one device. Either all that hold faces are tracked
                or none.

        Raises:
            TensorSpecError: There is no part, the devices differ, or only some parts are tracked.
        """
        if not parts:
            raise TensorSpecError(
                "parts: expected at least one Faces, got none. Use Faces.empty()."
            )
        devices = {part.device for part in parts}
        if len(devices) > 1:
            raise TensorSpecError(
                f"parts: expected all on one device, got {', '.join(sorted(map(str, devices)))}. "
                "Move them with .to(device) first."
            )
        filled = [part for part in parts if len(part)] or [parts[0]]
        tracked = [part.track_ids for part in filled if part.track_ids is not None]
        if tracked and len(tracked) < len(filled):
            raise TensorSpecError(
                f"parts: expected track_ids in all or in none, got them in {len(tracked)} of "
                f"{len(filled)}. Track all the images, or drop the track_ids."
            )
        return cls(
            image_index=torch.cat([part.image_index for part in filled]),
            boxes=torch.cat([part.boxes for part in filled]),
            landmarks=torch.cat([part.landmarks for part in filled]),
            scores=torch.cat([part.scores for part in filled]),
            track_ids=torch.cat(tracked) if tracked else None,
        )

    def select(self, which: Tensor | Sequence[int] | Sequence[bool]) -> Faces:
        """Some of the faces.

        Args:
            which: A bool mask (N,), or int64 indices (M,) in [-N, N) in the order wanted. Lists
                of bools or ints do as well.

        Raises:
            TensorSpecError: ``which`` is neither, or an index is out of range.
        """
        if not isinstance(which, Tensor):
            which = torch.tensor(which, dtype=None if len(which) else torch.int64)
        which = which.to(self.device)
        count = len(self)
        if which.dtype == torch.bool:
            if which.shape != (count,):
                raise TensorSpecError(
                    f"which: expected a bool mask of shape ({count},), got {tuple(which.shape)}. "
                    "Give one value per face, or indices."
                )
            which = which.nonzero().flatten()
        elif which.dtype != torch.int64 or which.ndim != 1:
            raise TensorSpecError(
                f"which: expected a bool mask (N,) or int64 indices (M,), got {which.dtype} "
                f"{tuple(which.shape)}. Convert it."
            )
        elif bool(((which < -count) | (which >= count)).any()):
            raise TensorSpecError(
                f"which: expected indices of {count} faces, got {which.tolist()}. "
                "Count from 0, or from -1 for the last."
            )
        return Faces(**{name: value[which] for name, value in self._tensors().items()})

    def of_image(self, index: int) -> Faces:
        """The faces of one image of the batch; ``image_index`` stays what it is."""
        return self.select(self.image_index == index)

    def sorted_by_image(self) -> Faces:
        """All faces by ascending image, those of one image in the order they had."""
        return self.select(torch.argsort(self.image_index, stable=True))

    def count_per_image(self, image_count: int) -> Tensor:
        """How many faces each image has.

        Args:
            image_count: Number of images in the batch.

        Returns:
            (image_count,) int64 on the faces' device.

        Raises:
            TensorSpecError: A face is in an image beyond ``image_count``.
        """
        highest = int(self.image_index.max()) if len(self) else -1
        if highest >= image_count:
            raise TensorSpecError(
                f"faces: expected image indices below {image_count}, got {highest}. "
                "Detect the faces in the same batch of images."
            )
        return torch.bincount(self.image_index, minlength=image_count)

    def to(self, device: torch.device | str) -> Faces:
        """The same faces on another device."""
        return Faces(**{name: value.to(device) for name, value in self._tensors().items()})

    def _tensors(self) -> dict[str, Tensor]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def _check_values(self) -> None:
        # One number for all the checks: on a GPU each would wait for the device.
        finite = [getattr(self, name).isfinite().all() for name in ("boxes", "landmarks", "scores")]
        ordered = (self.boxes[:, :2] <= self.boxes[:, 2:]).all()
        positive = (self.image_index >= 0).all()
        *are_finite, is_ordered, is_positive = torch.stack([*finite, ordered, positive]).tolist()
        for name, is_finite in zip(("boxes", "landmarks", "scores"), are_finite, strict=True):
            if not is_finite:
                raise TensorSpecError(
                    f"{name}: expected finite values, got NaN or infinity. "
                    "Look for the step that made them."
                )
        if not is_ordered:
            raise TensorSpecError(
                "boxes: expected x0, y0, x1, y1 with x0 <= x1 and y0 <= y1, got swapped corners. "
                "Convert boxes of another layout first."
            )
        if not is_positive:
            raise TensorSpecError(
                "image_index: expected indices >= 0, got a negative one. Count images from 0."
            )


def _check(name: str, value: Tensor, count: int, tensors: dict[str, Tensor]) -> None:
    """Shape, dtype and device of one tensor of the struct."""
    shape, dtype = _SPECS[name]
    expected = (count, *shape)
    if value.shape != expected or value.dtype != dtype:
        raise TensorSpecError(
            f"{name}: expected {dtype} {expected}, got {value.dtype} {tuple(value.shape)}. "
            "Give one row per face, as many as image_index has."
        )
    device = tensors["image_index"].device
    if value.device != device:
        raise TensorSpecError(
            f"{name}: expected a tensor on {device}, where image_index is, got {value.device}. "
            "Move them to one device."
        )


def long_sides(boxes: Tensor) -> Tensor:
    """The longer of width and height of (N, 4) boxes, which is the size of a face: (N,)."""
    return (boxes[:, 2:] - boxes[:, :2]).amax(dim=1)
