"""Where a face sits in the network's crop: templates and the similarity transform onto them.

Points are (x, y) in pixels with pixel centres at integer + 0.5, so scaling a template from one
crop size to another multiplies its coordinates.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import DegenerateLandmarksError, TensorSpecError
from ..settings import Choice


class Template(Choice):
    """How much of the head around the five landmarks the crop holds."""

    FFHQ = "ffhq"
    """The alignment of the FFHQ dataset, which facexlib, ReActor and FaceFusion use."""
    GPEN = "gpen"
    """The GPEN authors' own: looser, the face smaller in the crop."""


_FFHQ_512 = (
    (192.98138, 239.94708),
    (318.90277, 240.1936),
    (256.63416, 314.01935),
    (201.26117, 371.41043),
    (313.08905, 371.15118),
)
_ARCFACE_96X112 = (
    (30.2946, 51.6963),
    (65.5318, 51.5014),
    (48.0252, 71.7366),
    (33.5493, 92.3655),
    (62.7299, 92.2041),
)


def template_landmarks(template: Template, size: int) -> Tensor:
    """The five landmarks (eyes, nose, mouth corners) in a crop of ``size`` pixels.

    Returns:
        (5, 2) float64 points, x then y, in pixels.
    """
    if template is Template.FFHQ:
        return torch.tensor(_FFHQ_512, dtype=torch.float64) * (size / 512)
    # The 96x112 points centred in 112x112, which is then padded by a quarter on each side.
    points = torch.tensor(_ARCFACE_96X112, dtype=torch.float64) + torch.tensor([8.0, 0.0])
    return (points + 112 / 4) * (size / (112 * 1.5))


def similarity_from_landmarks(source: Tensor, target: Tensor) -> Tensor:
    """Least-squares similarity transform (no reflection) that maps source onto target points.

    Args:
        source: (N, K, 2) points, x then y, in pixels, K >= 2. float32 or float64.
        target: (K, 2) or (N, K, 2), same dtype.

    Returns:
        (N, 2, 3) matrices, dtype and device of ``source``.

    Raises:
        TensorSpecError: The shapes differ, or K < 2.
        DegenerateLandmarksError: All source points of one face coincide.

    References:
        S. Umeyama, "Least-squares estimation of transformation parameters between two point
        patterns", IEEE TPAMI 13(4), 1991. In the plane the solution is a complex regression.
    """
    if source.ndim != 3 or source.shape[2] != 2 or source.shape[1] < 2:
        raise TensorSpecError(
            f"source: expected (N, K, 2) with K >= 2, got {tuple(source.shape)}. "
            "Give at least two points per face."
        )
    if target.shape[-2:] != source.shape[1:]:
        raise TensorSpecError(
            f"target: expected {tuple(source.shape[1:])} points, got {tuple(target.shape)}. "
            "Give as many points as in source."
        )
    target = target.expand_as(source)
    source_mean, target_mean = source.mean(dim=1), target.mean(dim=1)
    p, q = source - source_mean[:, None], target - target_mean[:, None]
    spread = p.square().sum(dim=(1, 2))
    if bool((spread <= 1e-12).any()):
        face = int(torch.nonzero(spread <= 1e-12)[0])
        raise DegenerateLandmarksError(
            f"landmarks: expected points apart from each other, got all points of face {face} in "
            "one place. Detect the faces again or leave this one out."
        )
    # target = (a + ib) * source + shift, as complex numbers
    a = (p * q).sum(dim=(1, 2)) / spread
    b = (p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0]).sum(dim=1) / spread
    rotation = torch.stack((torch.stack((a, -b), 1), torch.stack((b, a), 1)), 1)  # [N, 2, 2]
    shift = target_mean - (rotation @ source_mean[..., None])[..., 0]
    return torch.cat((rotation, shift[..., None]), dim=2)


def invert_affine(matrices: Tensor) -> Tensor:
    """The inverses of (..., 2, 3) affine matrices."""
    linear = torch.linalg.inv(matrices[..., :2])
    return torch.cat((linear, -linear @ matrices[..., 2:]), dim=-1)


def scale_of(matrices: Tensor) -> Tensor:
    """By how much (..., 2, 3) similarity transforms enlarge lengths, (...)."""
    scale: Tensor = torch.linalg.det(matrices[..., :2]).abs().sqrt()
    return scale


def transform_points(points: Tensor, matrix: Tensor) -> Tensor:
    """Apply a (2, 3) matrix to (..., 2) points."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def align_faces(landmarks: Tensor, template: Template, size: int) -> Tensor:
    """The transform from image to crop of each face.

    Args:
        landmarks: (N, 5, 2) points in the image, x then y, in pixels.
        template: Where they go in the crop.
        size: Height and width of the crop in pixels.

    Returns:
        ``image_to_crop``, (N, 2, 3) float64 on the CPU.
    """
    return similarity_from_landmarks(
        landmarks.to("cpu", torch.float64), template_landmarks(template, size)
    )
