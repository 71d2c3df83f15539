"""Which face is which throughout a clip. The images of a batch are its frames, in order.

Each frame's faces are assigned to the tracks at the least total cost, after every track was moved
on at its own speed; the cost is the distance of the landmarks in face sizes and the lack of overlap
of the boxes. Like SORT (Bewley et al., "Simple online and realtime tracking", ICIP 2016), with
landmarks in the cost and a fixed-gain filter in the place of the Kalman filter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import TensorSpecError
from .faces import LANDMARK_COUNT, Faces

MAX_GAP = 8
"""Frames a face may be missing and be the same again: a third of a second at 24 frames a second."""

# How far, in face sizes, a face may be from where its track expects it. A face that crosses the
# picture within a second moves 0.3 face sizes a frame, and of a new track the speed is unknown.
_MAX_DISTANCE = 0.75
_DISTANCE_PER_GAP_FRAME = 0.1
_MAX_SIZE_RATIO = 1.5  # of the same face between two frames
# Gains of the filter: how much of a surprise goes into position and speed.
_POSITION_GAIN = 0.7
_SPEED_GAIN = 0.4

_Array = npt.NDArray[np.float64]


def track_faces(faces: Faces, n_images: int) -> Faces:
    """Give each person one number throughout the clip.

    Faces are followed by motion and overlap, not by looks: somebody who leaves for longer than
    ``MAX_GAP`` frames or jumps by more than three quarters of the face is somebody new, and so is
    everybody after a cut that moves or resizes the faces. A cut that puts another face into the
    same place is invisible in the faces.

    Args:
        faces: Any number in any order; track_ids they have are replaced.
        n_images: Number of frames, which were all searched.

    Returns:
        The same faces in the same order with ``track_ids``: 0, 1, 2 ... by first appearance.

    Raises:
        TensorSpecError: A face is in an image beyond ``n_images``.
    """
    counts = faces.count_per_image(n_images).tolist()
    rows = torch.argsort(faces.image_index, stable=True).cpu()
    # Box corners and landmarks move alike: [N, 2 + 5, 2]
    corners = faces.boxes.reshape(-1, 2, 2)
    points = torch.cat((corners, faces.landmarks), dim=1).cpu().double()[rows].numpy()
    ids = np.empty(len(faces), dtype=np.int64)
    tracks = _Tracks.none()
    n_tracks = start = 0
    for image, count in enumerate(counts):
        if count == 0:
            continue
        found = points[start : start + count]
        tracks = tracks.alive(image)
        matched, given = tracks.match(found, image)
        found_ids = np.full(count, -1, dtype=np.int64)
        found_ids[given] = tracks.ids[matched]
        new = np.flatnonzero(found_ids < 0)
        found_ids[new] = np.arange(n_tracks, n_tracks + len(new))
        n_tracks += len(new)
        ids[start : start + count] = found_ids
        tracks.update(matched, found[given], image)
        tracks = tracks.with_new(found_ids[new], found[new], image)
        start += count
    track_ids = torch.empty(len(faces), dtype=torch.int64)
    track_ids[rows] = torch.from_numpy(ids)
    return replace(faces, track_ids=track_ids.to(faces.device))


@dataclass
class _Tracks:
    """The tracks that a face may still belong to, one row each."""

    ids: npt.NDArray[np.int64]
    last_image: npt.NDArray[np.int64]
    points: _Array
    """(T, 7, 2) two box corners and five landmarks at ``last_image``."""
    speed: _Array
    """(T, 2) pixels a frame."""
    has_speed: npt.NDArray[np.bool_]

    @classmethod
    def none(cls) -> _Tracks:
        empty = np.empty(0, dtype=np.int64)
        return cls(
            empty,
            empty,
            np.empty((0, 2 + LANDMARK_COUNT, 2)),
            np.empty((0, 2)),
            np.empty(0, dtype=np.bool_),
        )

    def alive(self, image: int) -> _Tracks:
        """Those seen at most ``MAX_GAP`` missing frames ago."""
        kept = image - self.last_image <= MAX_GAP + 1
        if kept.all():
            return self
        return _Tracks(
            self.ids[kept],
            self.last_image[kept],
            self.points[kept],
            self.speed[kept],
            self.has_speed[kept],
        )

    def match(
        self, found: _Array, image: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Which tracks go on in which of a frame's faces: rows of the tracks and of the faces."""
        from scipy.optimize import linear_sum_assignment  # slow to import

        missing = image - self.last_image - 1
        predicted = self._predict(image)
        distance, overlap, ratio = _compare(predicted, found)
        reach = _MAX_DISTANCE + _DISTANCE_PER_GAP_FRAME * missing[:, None]
        allowed = (distance <= reach) & (ratio <= _MAX_SIZE_RATIO)
        # A pair that is not allowed costs a little more than any that is, so that leaving a track
        # alone is better than drawing two faces away from where they belong.
        cost = np.where(allowed, distance + 1 - overlap, reach.max(initial=0) + 1)
        rows, columns = linear_sum_assignment(cost)
        good = allowed[rows, columns]
        return rows[good], columns[good]

    def update(self, rows: npt.NDArray[np.int64], found: _Array, image: int) -> None:
        """Move tracks on to the faces found for them."""
        frames = (image - self.last_image[rows])[:, None]
        predicted = self._predict(image)[rows]
        surprise = (found - predicted)[:, 2:].mean(axis=1)
        first = ~self.has_speed[rows][:, None]
        self.speed[rows] += np.where(first, 1.0, _SPEED_GAIN) * surprise / frames
        # Sizes and shapes are taken as found; only the place is filtered.
        lag = np.where(first, 0.0, 1 - _POSITION_GAIN) * surprise
        self.points[rows] = found - lag[:, None]
        self.last_image[rows] = image
        self.has_speed[rows] = True

    def with_new(self, ids: npt.NDArray[np.int64], found: _Array, image: int) -> _Tracks:
        """These tracks and one for each face given."""
        n_new = len(ids)
        return _Tracks(
            np.concatenate((self.ids, ids)),
            np.concatenate((self.last_image, np.full(n_new, image))),
            np.concatenate((self.points, found)),
            np.concatenate((self.speed, np.zeros((n_new, 2)))),
            np.concatenate((self.has_speed, np.zeros(n_new, dtype=np.bool_))),
        )

    def _predict(self, image: int) -> _Array:
        """(T, 7, 2) where the points will be if the speed stays as it is."""
        frames = image - self.last_image
        moved: _Array = self.points + (self.speed * frames[:, None])[:, None]
        return moved


def _compare(first: _Array, second: _Array) -> tuple[_Array, _Array, _Array]:
    """Each of T faces with each of N: landmark distance in face sizes, IoU, ratio of sizes."""
    a, b = first[:, None], second[None]
    area_a, area_b = (np.maximum((p[..., 1, :] - p[..., 0, :]).prod(axis=-1), 1e-6) for p in (a, b))
    shared = np.minimum(a[..., 1, :], b[..., 1, :]) - np.maximum(a[..., 0, :], b[..., 0, :])
    intersection = np.maximum(shared, 0).prod(axis=-1)
    size = (area_a * area_b) ** 0.25
    squared = np.square(a[..., 2:, :] - b[..., 2:, :]).sum(axis=-1).mean(axis=-1)
    ratio = np.sqrt(np.maximum(area_a, area_b) / np.minimum(area_a, area_b))
    return np.sqrt(squared) / size, intersection / (area_a + area_b - intersection), ratio


@dataclass(frozen=True)
class TrackOrder:
    """The rows of tracked faces, track after track, each by ascending frame."""

    rows: Tensor
    """(N,) int64 on the CPU."""
    frames: Tensor
    """(N,) int64 image index of each."""
    starts: Tensor
    """(T,) int64 where each track begins."""
    lengths: Tensor
    """(T,) int64 number of its faces."""

    @cached_property
    def owner(self) -> Tensor:
        """(N,) int64 which of the T tracks each belongs to."""
        return torch.repeat_interleave(torch.arange(len(self.lengths)), self.lengths)

    def spans(self) -> list[tuple[int, int]]:
        """The first row of each track and the one after its last."""
        return list(zip(self.starts.tolist(), (self.starts + self.lengths).tolist(), strict=True))


def order_by_track(faces: Faces, n_images: int) -> TrackOrder:
    """Bring tracked faces into the order of their tracks.

    Raises:
        TensorSpecError: The faces are not tracked, a track has two faces in one image, or a face is
            in an image beyond ``n_images``.
    """
    faces.count_per_image(n_images)
    if faces.track_ids is None:
        if len(faces):
            raise TensorSpecError(
                "track_ids: expected one for each face, got none. Call track_faces first."
            )
        faces = replace(faces, track_ids=faces.image_index)
    assert faces.track_ids is not None
    ids, frames = faces.track_ids.cpu(), faces.image_index.cpu()
    rows = torch.argsort(frames, stable=True)
    rows = rows[torch.argsort(ids[rows], stable=True)]
    ids, frames = ids[rows], frames[rows]
    twice = (ids[1:] == ids[:-1]) & (frames[1:] == frames[:-1])
    if bool(twice.any()):
        first = int(twice.nonzero()[0])
        raise TensorSpecError(
            f"track_ids: expected a track to have one face in an image, got two of track "
            f"{int(ids[first])} in image {int(frames[first])}. Call track_faces again."
        )
    _, lengths = torch.unique_consecutive(ids, return_counts=True)
    return TrackOrder(rows, frames, lengths.cumsum(0) - lengths, lengths)


def bridge_gaps(faces: Faces, max_gap: int, n_images: int) -> Faces:
    """Put faces where a track misses a few frames, in a straight line between its neighbours.

    Args:
        faces: Tracked; best smoothed already, so that the neighbours are free of noise.
        max_gap: Longest run of missing frames to fill. Longer ones stay as they are: the face may
            really be hidden. 0 fills none.
        n_images: Number of frames.

    Returns:
        The faces by ascending image, those of one image in the order they had and the new ones
        after them. A new face's score is the lower of its neighbours' scores.

    Raises:
        TensorSpecError: The faces are not tracked, a track has two faces in one image, or a face is
            in an image beyond ``n_images``.
    """
    order = order_by_track(faces, n_images)
    missing = order.frames[1:] - order.frames[:-1] - 1
    same = order.owner[1:] == order.owner[:-1]
    gaps = (same & (missing > 0) & (missing <= max_gap)).nonzero().flatten()
    counts = missing[gaps]
    left = torch.repeat_interleave(gaps, counts)
    step = torch.arange(len(left)) - torch.repeat_interleave(counts.cumsum(0) - counts, counts) + 1
    share = (step / (missing[left] + 1)).float().to(faces.device)
    before, after = faces.select(order.rows[left]), faces.select(order.rows[left + 1])
    new = replace(
        before,
        image_index=before.image_index + step.to(faces.device),
        boxes=torch.lerp(before.boxes, after.boxes, share[:, None]),
        landmarks=torch.lerp(before.landmarks, after.landmarks, share[:, None, None]),
        scores=torch.minimum(before.scores, after.scores),
    )
    return Faces.concatenate([faces, new]).sorted_by_image()
