"""The faces of a clip: who is who, held steady, and found again where they were missed briefly."""

from __future__ import annotations

from .faces import Faces
from .smoothing import smooth_faces
from .tracking import bridge_gaps, track_faces

DEFAULT_SMOOTHING = 0.5
"""The strength for videos of which nothing else is known."""
BRIDGED_FRAMES = 4  # longer gaps are faces that were really hidden


def stabilize_faces(faces: Faces, n_images: int, strength: float) -> Faces:
    """Track, smooth and bridge the faces of a clip.

    Args:
        faces: The faces of all frames.
        n_images: Number of frames.
        strength: Of the smoothing, 0 to 1. 0 leaves the faces as they are.

    Returns:
        The faces with ``track_ids``, by frame; ``faces`` itself where there is nothing to do.
    """
    if strength == 0 or n_images < 2 or not len(faces):
        return faces
    # Bridged faces are not observations, so they come after the smoothing.
    smoothed = smooth_faces(track_faces(faces, n_images), strength, n_images)
    return bridge_gaps(smoothed, BRIDGED_FRAMES, n_images)
