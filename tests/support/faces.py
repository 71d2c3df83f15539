"""Faces at known places."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gpen_core import Faces, Template
from gpen_core.geometry.alignment import template_landmarks
from support.geometry import noise

PLACES = [
    (1, 40.0, 10.0, 80.0),
    (0, -20.0, 5.0, 60.0),
    (1, 10.0, 30.0, 300.0),
    (0, 70.0, 60.0, 30.0),
]
"""Image, x and y of the crop's corner, size of the crop: overlapping, cut off, larger than it."""

SAME_PX = 0.02
"""How far apart places may be that are the same sums in another order."""


def faces_at(*places: tuple[int, float, float, float]) -> Faces:
    """Upright faces whose FFHQ crops lie at the places."""
    template = template_landmarks(Template.FFHQ, 1).float()
    landmarks = torch.stack([template * s + torch.tensor([x, y]) for _, x, y, s in places])
    return Faces(
        image_index=torch.tensor([place[0] for place in places]),
        boxes=torch.cat([landmarks.amin(1), landmarks.amax(1)], 1),
        landmarks=landmarks,
        scores=torch.ones(len(places)),
    )


def batch(n_channels: int = 3) -> Tensor:
    """(3, n_channels, 120, 120) noise; the third image has no face at ``PLACES``."""
    images = torch.stack([torch.cat([noise(120, i), noise(120, 9)[:1]]) for i in range(3)])
    return images[:, :n_channels]


def assert_same_faces(found: Faces, expected: Faces, atol: float = SAME_PX) -> None:
    assert found.image_index.tolist() == expected.image_index.tolist()
    torch.testing.assert_close(found.scores, expected.scores, atol=1e-4, rtol=0)
    torch.testing.assert_close(found.boxes, expected.boxes, atol=atol, rtol=0)
    torch.testing.assert_close(found.landmarks, expected.landmarks, atol=atol, rtol=0)


def make_faces(
    image_index: Sequence[int],
    boxes: Sequence[Sequence[float]] | None = None,
    scores: Sequence[float] | None = None,
    *,
    tracked: bool = False,
) -> Faces:
    """One face for each image index; what is not given holds the face's number, as ids do."""
    count = len(image_index)
    number = torch.arange(count, dtype=torch.float32)
    corners = number[:, None] * 100 + torch.tensor([1.0, 2.0, 11.0, 22.0])
    return Faces(
        image_index=torch.tensor(image_index, dtype=torch.int64),
        boxes=corners if boxes is None else torch.tensor(boxes).float().view(count, 4),
        landmarks=number[:, None, None] * 100 + torch.arange(10.0).view(5, 2),
        scores=number / 100 if scores is None else torch.tensor(scores).float(),
        track_ids=torch.arange(count) + 7 if tracked else None,
    )
