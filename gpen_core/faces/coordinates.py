"""The coordinates in which the points of a face are smoothed over time."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..geometry.alignment import Template, template_landmarks
from .tracking import TrackOrder

_MIN_LIKENESS = 0.2  # of landmarks to the template's, where 1 is the same shape


class Pixels:
    """Points smoothed as they are."""

    @staticmethod
    def of_points(points: Tensor, order: TrackOrder) -> Tensor:
        """(N, P, 2) points -> (N, 2 P)."""
        return points.flatten(1)

    @staticmethod
    def to_points(values: Tensor) -> Tensor:
        """The points again."""
        return values.view(len(values), -1, 2)


class Pose:
    """Landmarks smoothed as the face's place, log scale and angle and the shape left."""

    @staticmethod
    def of_points(points: Tensor, order: TrackOrder) -> Tensor:
        """(N, 5, 2) points -> (N, 2 + 1 + 1 + 10)."""
        template = torch.view_as_complex(template_landmarks(Template.FFHQ, 1))
        template = template - template.mean()
        z = torch.view_as_complex(points.contiguous())
        centre = z.mean(dim=1)
        z = z - centre[:, None]
        pose = (z @ template.conj())[:, None] / template.abs().square().sum()
        # Points that are no face may have no scale or angle: such tracks keep a pose of 1.
        is_weak = (pose * template).norm(dim=1) < _MIN_LIKENESS * z.norm(dim=1)
        pose[_anywhere_in_track(is_weak | (pose[:, 0] == 0), order)] = 1
        shape = torch.view_as_real(z / pose).flatten(1)
        angle = _unwrap(pose[:, 0].angle(), order)
        place = torch.view_as_real(centre)
        return torch.cat((place, pose.abs().log(), angle[:, None], shape), dim=1)

    @staticmethod
    def to_points(values: Tensor) -> Tensor:
        """The points again."""
        centre, (scale, angle), shape = values[:, :2], values[:, 2:4].T, values[:, 4:]
        pose = torch.polar(scale.exp(), angle)[:, None]
        z = torch.view_as_complex(shape.reshape(len(values), -1, 2)) * pose
        return centre[:, None] + torch.view_as_real(z)


Coordinates = type[Pixels] | type[Pose]


def _anywhere_in_track(values: Tensor, order: TrackOrder) -> Tensor:
    """Where a (N,) bool is true in any frame of the track."""
    hits = torch.zeros(len(order.lengths), dtype=torch.int64)
    return (hits.index_add(0, order.owner, values.long()) > 0)[order.owner]


def _unwrap(angles: Tensor, order: TrackOrder) -> Tensor:
    """(N,) angles without jumps of a whole turn inside a track."""
    turns = (torch.diff(angles, prepend=angles[:1]) / (2 * math.pi)).round()
    turns[order.starts] = 0
    turns = turns.cumsum(0)
    return angles - 2 * math.pi * (turns - turns[order.starts][order.owner])
