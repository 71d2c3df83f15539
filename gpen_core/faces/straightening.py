"""Turn tilted faces upright and detect them again.

RetinaFace scores a face lying on its side as high as an upright one, but puts its landmarks up to
40 % of the face's size wrong. In a view that is turned so that the face stands upright they are as
exact as those of any upright face.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..geometry.alignment import (
    Template,
    invert_affine,
    scale_of,
    similarity_from_landmarks,
    template_landmarks,
    transform_points,
)
from ..geometry.warping import crop_image
from ..monitor import SILENT, Monitor
from .detection import detect_faces
from .faces import Faces, long_sides
from .retinaface import FaceDetector

# A face tilted by less is left as it is, if it is so sure: a small face upside down has been seen
# to pass for a level one at 0.88.
_UPRIGHT_SCORE = 0.98
_UPRIGHT_ANGLE = math.radians(8)
_UPRIGHT_RESIDUAL = 0.06  # root mean square distance from the template, in crops
_STRAIGHT_ANGLE = math.radians(25)
_STRAIGHT_RESIDUAL = 0.12  # a profile fits the template no better
_VIEW_THRESHOLD = 0.3
_COARSE_VIEW = (192, 80)  # size of a view and of the face in it, pixels
_FINE_VIEW = (320, 160)
_COARSE_TURNS = tuple(math.radians(angle) for angle in range(0, 360, 45))
# Further turn and relative size of the views whose mean is taken.
_FINE_VIEWS = ((math.radians(-5), 0.95), (0.0, 1.0), (math.radians(5), 0.95), (0.0, 1.08))


@dataclass(frozen=True)
class _Pose:
    """Where one face is and which way is up: what a view is cut out by."""

    image_index: int
    center: Tensor  # (2,) float64, pixels of the image
    size: float  # long side of its upright box, pixels of the image
    angle: float  # of the line through the eyes, radians, clockwise on the screen


@dataclass(frozen=True)
class _Candidate:
    """One face as one view shows it, in pixels of the image."""

    pose: _Pose
    landmarks: Tensor  # (5, 2) float64
    box_size: Tensor  # (2,) float64, width and height of the upright box
    tilt: float  # what is left of the angle in the view
    residual: float
    score: float


def are_upright(faces: Faces) -> Tensor:
    """(N,) bool: which are surely level and seen from about the front, so need no second look."""
    tilt, residual = _fit(faces.landmarks.double())
    is_sure = faces.scores >= _UPRIGHT_SCORE
    return is_sure & (tilt.abs() <= _UPRIGHT_ANGLE) & (residual <= _UPRIGHT_RESIDUAL)


def straighten_faces(
    images: Tensor,
    faces: Faces,
    detector: FaceDetector,
    *,
    threshold: float,
    max_batch: int,
    monitor: Monitor = SILENT,
) -> list[Faces | None]:
    """Detect faces again, each in views in which it stands upright.

    Args:
        images: (B, C, H, W) floating point RGB or RGBA in [0, 1], on any device. Only the pixels
            around the faces are moved to the detector's.
        faces: On the CPU; their boxes say where to look, their landmarks nothing.
        detector: From ``load_detector``.
        threshold: The minimum score of a face that is upright, in [0, 1].
        max_batch: Views in one call of the network.
        monitor: For interruption; progress is not reported.

    Returns:
        For each face the same one with new box, landmarks and score, on the CPU; None where no
        upright face is seen. The box is the upright one around the oval that fills the tilted one.
    """
    cut = _Views(images, detector, max_batch, monitor.without_progress())
    coarse = cut.at(
        [[(pose, turn, 1.0) for turn in _COARSE_TURNS] for pose in _poses(faces)], _COARSE_VIEW
    )
    best = [max(seen, key=_quality, default=None) for seen in coarse]
    # Once at the angle found, to know it better, then the views whose mean is taken.
    for views in (((0.0, 1.0),), _FINE_VIEWS):
        poses = [[(face.pose, *view) for view in views] if face else [] for face in best]
        seen_by_face = cut.at(poses, _FINE_VIEW)
        best = [_mean(seen) if 2 * len(seen) > len(views) else None for seen in seen_by_face]
    return [_to_faces(face) if face and _is_sure(face, threshold) else None for face in best]


class _Views:
    """Cuts views out of the images and detects the face in the middle of each."""

    def __init__(
        self, images: Tensor, detector: FaceDetector, max_batch: int, monitor: Monitor
    ) -> None:
        self._images, self._detector = images, detector
        self._max_batch, self._monitor = max_batch, monitor

    def at(
        self, poses: list[list[tuple[_Pose, float, float]]], view: tuple[int, int]
    ) -> list[list[_Candidate]]:
        """What views show, by pose, further turn and relative size, for each face."""
        view_size, face_size = view
        flat = [pose for of_face in poses for pose in of_face]
        if not flat:
            return [[] for _ in poses]
        device = next(self._detector.parameters()).device
        matrices, crops = [], []
        for pose, turn, size in flat:
            scale = face_size * size / pose.size
            matrices.append(_image_to_view(pose.center, pose.angle + turn, scale, view_size))
            image = self._images[pose.image_index, :3]
            crops.append(crop_image(image, matrices[-1], view_size, device).clamp(0, 1))
        faces = detect_faces(
            torch.stack(crops),
            self._detector,
            detection_size=0,
            threshold=_VIEW_THRESHOLD,
            max_batch=self._max_batch,
            monitor=self._monitor,
        ).to("cpu")
        candidates = iter(
            [
                _candidate(faces.of_image(row), pose, turn, matrix, view)
                for row, ((pose, turn, _), matrix) in enumerate(zip(flat, matrices, strict=True))
            ]
        )
        seen = [[next(candidates) for _ in of_face] for of_face in poses]
        return [[s for s in of_face if s is not None] for of_face in seen]


def _image_to_view(center: Tensor, angle: float, scale: float, size: int) -> Tensor:
    """(2, 3) float64 that turns by ``-angle`` and puts ``center`` in the middle of the view."""
    cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
    linear = torch.tensor([[cos, sin], [-sin, cos]], dtype=torch.float64)
    return torch.cat((linear, (size / 2 - linear @ center)[:, None]), dim=1)


def _fit(landmarks: Tensor) -> tuple[Tensor, Tensor]:
    """How far (N, 5, 2) landmarks are turned, radians, and how badly they fit an upright face."""
    # The residual is in the template's units whatever the size of the face.
    template = template_landmarks(Template.FFHQ, 1)
    spread = (landmarks - landmarks.mean(1, keepdim=True)).square().sum((1, 2))
    usable = spread > 1e-9  # all in one place: fits nothing
    safe = torch.where(usable[:, None, None], landmarks, template)
    to_template = similarity_from_landmarks(safe, template)
    fitted = safe @ to_template[:, :, :2].mT + to_template[:, None, :, 2]
    residual = (fitted - template).square().sum(-1).mean(-1).sqrt()
    angle = -torch.atan2(to_template[:, 1, 0], to_template[:, 0, 0])
    return angle, torch.where(usable, residual, torch.inf)


def _poses(faces: Faces) -> list[_Pose]:
    """Where the faces are; upright for all that is known."""
    boxes = faces.boxes.double()
    return [
        _Pose(index, center, max(size, 1.0), 0.0)
        for index, center, size in zip(
            faces.image_index.tolist(),
            (boxes[:, :2] + boxes[:, 2:]) / 2,
            long_sides(boxes).tolist(),
            strict=True,
        )
    ]


def _candidate(
    faces: Faces, pose: _Pose, turn: float, image_to_view: Tensor, view: tuple[int, int]
) -> _Candidate | None:
    """The face in the middle of a view, if there is one of about the expected size."""
    view_size, face_size = view
    boxes = faces.boxes.double()
    centers, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, long_sides(boxes)
    distance = (centers - view_size / 2).norm(dim=1)
    fits = (distance < face_size / 2) & (sides > face_size / 2) & (sides < face_size * 2)
    if not bool(fits.any()):
        return None
    row = int(torch.where(fits, faces.scores, -1).argmax())
    view_to_image = invert_affine(image_to_view)
    scale = float(scale_of(view_to_image))
    landmarks = faces.landmarks[row].double()
    tilt, residual = (float(value) for value in _fit(landmarks[None]))
    return _Candidate(
        pose=_Pose(
            pose.image_index,
            transform_points(centers[row], view_to_image),
            float(sides[row]) * scale,
            pose.angle + turn + tilt,
        ),
        landmarks=transform_points(landmarks, view_to_image),
        box_size=(boxes[row, 2:] - boxes[row, :2]) * scale,
        tilt=tilt,
        residual=residual,
        score=float(faces.scores[row]),
    )


def _quality(candidate: _Candidate) -> float:
    """Higher for the view that shows the face upright: sure, regular and level."""
    return candidate.score - candidate.residual - abs(candidate.tilt) / (4 * math.pi)


def _mean(seen: list[_Candidate]) -> _Candidate:
    """One face out of several views of it."""
    landmarks = torch.stack([s.landmarks for s in seen]).mean(0)
    angle, residual = (float(value) for value in _fit(landmarks[None]))
    n = len(seen)
    return _Candidate(
        pose=_Pose(
            seen[0].pose.image_index,
            torch.stack([s.pose.center for s in seen]).mean(0),
            sum(s.pose.size for s in seen) / n,
            angle,
        ),
        landmarks=landmarks,
        box_size=torch.stack([s.box_size for s in seen]).mean(0),
        tilt=sum(s.tilt for s in seen) / n,
        residual=residual,
        score=sum(s.score for s in seen) / n,
    )


def _is_sure(face: _Candidate, threshold: float) -> bool:
    return (
        face.score >= threshold
        and abs(face.tilt) <= _STRAIGHT_ANGLE
        and face.residual <= _STRAIGHT_RESIDUAL
    )


def _to_faces(candidate: _Candidate) -> Faces:
    cos, sin = math.cos(candidate.pose.angle), math.sin(candidate.pose.angle)
    turn = torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float64)
    # Half the extent of an ellipse along x and y: the rows of its turned half axes.
    half = (turn * (candidate.box_size / 2)).norm(dim=1)
    center = candidate.pose.center
    return Faces(
        image_index=torch.tensor([candidate.pose.image_index]),
        boxes=torch.cat((center - half, center + half))[None].float(),
        landmarks=candidate.landmarks[None].float(),
        scores=torch.tensor([candidate.score]),
    )
