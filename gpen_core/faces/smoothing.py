"""Steady landmarks for a clip: without lag, exact in steady motion, close to the data in any other.

Each track is smoothed by local linear regression. What is smoothed is place, log scale and angle of
the face and the shape that is left, so that turning and zooming at a steady rate are straight lines
as well. How wide the weights may be is decided for each frame after Lepski ("On a problem of
adaptive estimation in Gaussian white noise", 1991): as wide as asked for where the face moves
steadily, narrower where a wide average departs from narrower ones by more than noise explains.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from ..errors import SettingError
from .coordinates import Coordinates, Pixels, Pose
from .faces import Faces, long_sides
from .outliers import replace_outliers
from .regression import LocalRegression
from .tracking import TrackOrder, order_by_track

"""Six frames: a quarter of a second at 24 frames a second."""

# The standard deviation of the weights at strength 1, in frames. Independent noise falls to
# 1 / sqrt(2 sqrt(pi) sigma) = 1 / 6.5 of itself inside a clip, to twice that at its ends.
_FULL_SIGMA = 12.0
_MIN_SIGMA = 0.75  # narrower ones hardly average anything
_SIGMA_RATIO = 1.5  # between one width to choose from and the next
# Two averages, or an average and the data, may differ by this many standard deviations of the
# noise, as a root mean square over the face's points.
_CONFIDENCE = 2.0
_CHOICE_SIGMA = 1.5  # frames over which the width changes
# Least noise assumed, in face sizes: half a pixel on a face of 250. Without it nothing would be
# averaged in a track that moves and has no noise to compare with.
_NOISE_FLOOR = 0.002
_MIN_FOR_NOISE = 8  # third differences
_MEDIAN_OF_NORMAL = 0.6745  # of its absolute value, in standard deviations


def kernel_sigma(strength: float) -> float:
    """The width of the smoothing at a strength in [0, 1]: 12 * strength frames, one sigma."""
    return _FULL_SIGMA * strength


def smooth_faces(faces: Faces, strength: float, n_images: int) -> Faces:
    """Steady the landmarks and boxes of tracked faces.

    A frame's points are replaced by those on a straight line through the frames around it, past
    and future, with Gaussian weights of 12 * ``strength`` frames (one sigma). A mistake in a single
    frame is replaced by its neighbours' trend first. Where a face starts, stops, nods or shakes,
    fewer frames are averaged: no other face departs from the detected landmarks by more than twice
    their noise, as a root mean square over the five. The noise is measured in the track and taken
    for at least 0.2 % of the face's size.

    Args:
        faces: Tracked. Missing frames do no harm.
        strength: 0: the faces as they are, bit-identical. 0.5: independent jitter of a still face
            falls 4 to 5 times. 1: 5 to 7 times, and real movements of the size of the jitter are
            evened out too.
        n_images: Number of frames.

    Returns:
        The same faces in the same order. Tracks of one or two faces come back unchanged.

    Raises:
        SettingError: The strength is not in [0, 1].
        TensorSpecError: The faces are not tracked, a track has two faces in one image, or a face
            is in an image beyond ``n_images``.
    """
    if not 0 <= strength <= 1:
        raise SettingError(
            f"strength: expected a number in [0, 1], got {strength}. 0 is off, 1 the strongest."
        )
    order = order_by_track(faces, n_images)
    if strength == 0 or len(faces) == 0:
        return faces
    sigmas = _sigmas(strength)
    regression = LocalRegression(order, max(*sigmas, _CHOICE_SIGMA))
    sizes = long_sides(faces.boxes).cpu().double()[order.rows]
    floor = _NOISE_FLOOR * torch.stack([sizes[i:j].median() for i, j in order.spans()])

    def smooth(points: Tensor, coordinates: Coordinates) -> Tensor:
        points = points.cpu().double()[order.rows]
        noise = _noise(points, order, floor)[order.owner]
        cleaned = replace_outliers(points, order, noise)
        values = coordinates.of_points(cleaned, order)
        fits = [regression.fit(values, sigma) for sigma in sigmas]
        estimates = torch.stack([cleaned, *(coordinates.to_points(fit) for fit, _ in fits)])
        deviations = torch.stack([torch.ones_like(noise), *(deviation for _, deviation in fits)])
        choice = _widest(estimates, deviations, noise)
        # So that the width changes gradually.
        choice = torch.minimum(choice, regression.average(choice, _CHOICE_SIGMA))
        return _between(estimates, choice)

    landmarks = smooth(faces.landmarks, Pose)
    corners = smooth(faces.boxes.reshape(-1, 2, 2), Pixels)
    # A straight line can cross another: keep the corners in order.
    corners = torch.stack((corners.amin(dim=1), corners.amax(dim=1)), dim=1)
    lengths = order.lengths[order.owner]
    changed = order.rows[lengths > 2]
    new_landmarks, new_boxes = faces.landmarks.clone(), faces.boxes.clone()
    on_device = changed.to(faces.device)
    new_landmarks[on_device] = landmarks[lengths > 2].to(new_landmarks)
    new_boxes[on_device] = corners.flatten(1)[lengths > 2].to(new_boxes)
    return replace(faces, landmarks=new_landmarks, boxes=new_boxes)


def _sigmas(strength: float) -> list[float]:
    """The widths to choose from, ascending to the one asked for."""
    sigma = kernel_sigma(strength)
    count = max(0, math.floor(math.log(sigma / _MIN_SIGMA) / math.log(_SIGMA_RATIO)))
    return [sigma / _SIGMA_RATIO**step for step in range(count, -1, -1)]


def _widest(estimates: Tensor, deviations: Tensor, noise: Tensor) -> Tensor:
    """The widest average that agrees with all narrower ones, for each frame.

    Args:
        estimates: (K, N, P, 2) the data, then averages of rising width.
        deviations: (K, N) their standard deviations where that of the noise is 1.
        noise: (N,) standard deviation of the noise, pixels.

    Returns:
        (N,) float64 in [0, K - 1].
    """
    agrees = torch.ones_like(noise, dtype=torch.bool)
    choice = torch.zeros_like(noise)
    for wide in range(1, len(estimates)):
        for narrow in range(wide):
            apart = (estimates[wide] - estimates[narrow]).square().mean(dim=(1, 2)).sqrt()
            agrees &= apart <= _CONFIDENCE * noise * deviations[narrow]
        choice += agrees
    return choice


def _between(estimates: Tensor, choice: Tensor) -> Tensor:
    """(N, P, 2) of (K, N, P, 2) estimates, between the two that each of the (N,) choices is."""
    low = choice.floor().long().clamp(max=len(estimates) - 2)
    rows = torch.arange(len(choice))
    return torch.lerp(estimates[low, rows], estimates[low + 1, rows], (choice - low)[:, None, None])


def _noise(points: Tensor, order: TrackOrder, floor: Tensor) -> Tensor:
    """The standard deviation of each track's noise, (T,) in pixels.

    Third differences of three frames in a row know nothing of steady motion or acceleration, and
    their median nothing of mistakes.
    """
    differences = torch.diff(points, n=3, dim=0).abs()
    frames, owner = order.frames, order.owner
    in_a_row = (frames[3:] - frames[:-3] == 3) & (owner[3:] == owner[:-3])
    noise = floor.clone()
    scale = 1 / (_MEDIAN_OF_NORMAL * math.sqrt(20))  # the variance of (1, -3, 3, -1) is 20
    for track, (start, end) in enumerate(order.spans()):
        part = slice(start, max(start, end - 3))
        found = differences[part][in_a_row[part]]
        if len(found) >= _MIN_FOR_NOISE:
            noise[track] = torch.maximum(noise[track], found.median() * scale)
    return noise
