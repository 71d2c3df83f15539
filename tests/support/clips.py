"""Faces moving through clips, made up so that the truth is known to the last digit."""

import torch

from gpen_core.faces.faces import Faces
from gpen_core.geometry.alignment import Template, template_landmarks

FACE = template_landmarks(Template.FFHQ, 180)
FACE = torch.view_as_complex(FACE - FACE.mean(dim=0))
BOX = 130.0


def clip(path, zoom=1.0, degrees=0.0, frames=None, score=0.9) -> Faces:
    """One face a frame.

    Args:
        path: (T, 2) its centre in pixels.
        zoom: Its size, or (T,) sizes; 1 has a box of 130 pixels.
        degrees: Its angle, or (T,) angles.
        frames: (T,) image of each; without it one a frame from 0.
    """
    path = torch.as_tensor(path, dtype=torch.float64)
    count = len(path)
    zoom = torch.as_tensor(zoom, dtype=torch.float64).expand(count)
    radians = torch.deg2rad(torch.as_tensor(degrees, dtype=torch.float64)).expand(count)
    points = torch.view_as_real(FACE * torch.polar(zoom, radians)[:, None]) + path[:, None]
    half = zoom[:, None] * BOX / 2
    return Faces(
        torch.arange(count) if frames is None else torch.as_tensor(frames),
        torch.cat((path - half, path + half), dim=1).float(),
        points.float(),
        torch.full((count,), score),
    )


def line(count, start, speed) -> torch.Tensor:
    """(count, 2) a straight path."""
    steps = torch.arange(count, dtype=torch.float64)[:, None]
    return torch.tensor(start, dtype=torch.float64) + steps * torch.tensor(speed).double()


def noisy(faces: Faces, seed=0, sigma=1.0, common=False) -> Faces:
    """The same with Gaussian noise on every coordinate, or on all points of a face in common."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(faces), 1 if common else 5, 2)
    moved = faces.landmarks + sigma * torch.randn(shape, generator=generator)
    return Faces(faces.image_index, faces.boxes, moved, faces.scores, faces.track_ids)


def with_landmarks(faces: Faces, landmarks) -> Faces:
    return Faces(faces.image_index, faces.boxes, landmarks, faces.scores, faces.track_ids)


def with_ids(faces: Faces, ids=None) -> Faces:
    ids = torch.zeros(len(faces), dtype=torch.int64) if ids is None else torch.tensor(ids)
    return Faces(faces.image_index, faces.boxes, faces.landmarks, faces.scores, ids)


def n_images(faces: Faces) -> int:
    return int(faces.image_index.max()) + 1
