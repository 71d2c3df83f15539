"""Faces at known places."""

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
