"""How far the landmarks of faces moved."""

from __future__ import annotations

import torch
from torch import Tensor

from ..faces.faces import Faces

# In eye distances: further apart, two faces are not the same one.
_MAX_DISTANCE = 0.5
_SMALLEST_EYE_DISTANCE_PX = 0.1  # of a face seen from the side


def landmark_error(before: Faces, after: Faces) -> float | None:
    """Mean distance of the five landmarks, in percent of the distance between the eyes.

    Args:
        before: The faces of some images.
        after: The faces of other versions of them, of the same size. A face is the same one if it
            is in the same image and on average its landmarks lie within half an eye distance.

    Returns:
        The mean over the faces that are in both; None if none is.
    """
    errors = [
        error
        for image in sorted(set(before.image_index.tolist()))
        for error in _errors(before.of_image(image), after.of_image(image))
    ]
    return 100 * sum(errors) / len(errors) if errors else None


def _errors(before: Faces, after: Faces) -> list[float]:
    """Of each face of one image that is in both: in eye distances."""
    from scipy.optimize import linear_sum_assignment  # slow to import

    points, others = (faces.landmarks.cpu().double() for faces in (before, after))
    eyes = (points[:, 1] - points[:, 0]).norm(dim=1).clamp_min(_SMALLEST_EYE_DISTANCE_PX)
    distances: Tensor = (points[:, None] - others).norm(dim=3).mean(dim=2) / eyes[:, None]
    # Pairs beyond the limit must not draw others into them.
    rows, columns = linear_sum_assignment(distances.clamp_max(_MAX_DISTANCE).numpy())
    pairs = distances[torch.from_numpy(rows), torch.from_numpy(columns)]
    return [error for error in pairs.tolist() if error < _MAX_DISTANCE]
