"""Steady landmarks for a clip: without lag, exact in steady motion, close to the data in any other.

Each track is smoothed by local linear regression over time with Gaussian weights (Fan and Gijbels,
"Local Polynomial Modelling and Its Applications", 1996), which follows a straight line exactly, at
the ends of a clip and beside missing frames too. What is smoothed is place, log scale and angle of
the face and the shape that is left, so that turning and zooming at a steady rate are straight lines
as well. How wide the weights may be is decided for each frame after Lepski ("On a problem of
adaptive estimation in Gaussian white noise", 1991): as wide as asked for where the face moves
steadily, narrower where a wide average departs from narrower ones by more than noise explains.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import TensorSpecError
from ..geometry.alignment import Template, template_landmarks
from .faces import Faces, long_sides
from .tracking import TrackOrder, order_by_track

DEFAULT_STRENGTH = 0.5
"""Six frames: a quarter of a second at 24 frames a second."""

# The standard deviation of the weights at strength 1, in frames. Independent noise falls to
# 1 / sqrt(2 sqrt(pi) sigma) = 1 / 6.5 of itself inside a clip, to twice that at its ends.
_FULL_SIGMA = 12.0
_LEAST_SIGMA = 0.75  # narrower ones hardly average anything
_SIGMA_RATIO = 1.5  # between one width to choose from and the next
_REACH = 3.0  # sigmas to each side
# Two averages, or an average and the data, may differ by this many standard deviations of the
# noise, as a root mean square over the face's points.
_CONFIDENCE = 2.0
_CHOICE_SIGMA = 1.5  # frames over which the width changes
# Least noise assumed, in face sizes: half a pixel on a face of 250. Without it nothing would be
# averaged in a track that moves and has no noise to compare with.
_NOISE_FLOOR = 0.002
_LEAST_FOR_NOISE = 8  # third differences
_LEAST_LIKENESS = 0.2  # of landmarks to the template's, where 1 is the same shape
# A point is a mistake of the detector if it is this many standard deviations of the noise from the
# line through its neighbours, and this many times as far from it as they are themselves.
_OUTLIER_NOISES = 6.0
_OUTLIER_SCATTERS = 3.0
_OUTLIER_WINDOW = 7  # frames, the point's own among them
_OUTLIER_PASSES = 2  # so that two mistakes near each other are both found
_TINY = 1e-9  # pixels
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
        TensorSpecError: The strength is not in [0, 1], the faces are not tracked, a track has two
            faces in one image, or a face is in an image beyond ``n_images``.
    """
    if not 0 <= strength <= 1:
        raise TensorSpecError(
            f"strength: expected a number in [0, 1], got {strength}. 0 is off, 1 the strongest."
        )
    order = order_by_track(faces, n_images)
    if strength == 0 or len(faces) == 0:
        return faces
    tracks = _Timeline(order, _sigmas(strength))
    sizes = long_sides(faces.boxes).cpu().double()[order.rows]
    floor = _NOISE_FLOOR * torch.stack([sizes[i:j].median() for i, j in tracks.spans()])
    landmarks = _smooth(faces.landmarks.cpu().double()[order.rows], tracks, floor, _Pose)
    corners = faces.boxes.reshape(-1, 2, 2).cpu().double()[order.rows]
    corners = _smooth(corners, tracks, floor, _Coordinates)
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
    count = max(0, math.floor(math.log(sigma / _LEAST_SIGMA) / math.log(_SIGMA_RATIO)))
    return [sigma / _SIGMA_RATIO**step for step in range(count, -1, -1)]


def _smooth(
    points: Tensor, tracks: _Timeline, floor: Tensor, model: type[_Pose] | type[_Coordinates]
) -> Tensor:
    """Smooth the points of all tracks.

    Args:
        points: (N, P, 2) in the order of the tracks.
        tracks: When each row is.
        floor: (T,) least noise of each track, pixels.
        model: What is smoothed of the points.

    Returns:
        (N, P, 2).
    """
    noise = _noise(points, tracks, floor)[tracks.owner]  # [N]
    cleaned = _without_outliers(points, tracks, noise)
    values = model.values(cleaned, tracks)
    estimates, deviations = [cleaned], [torch.ones(len(points), dtype=points.dtype)]
    for sigma in tracks.sigmas:
        smoothed, deviation = tracks.regress(values, sigma)
        estimates.append(model.points(smoothed))
        deviations.append(deviation)
    stacked = torch.stack(estimates)
    choice = _choose(stacked, torch.stack(deviations), noise)
    choice = torch.minimum(choice, tracks.average(choice))
    low = choice.floor().long().clamp(max=len(estimates) - 2)
    rows = torch.arange(len(points))
    return torch.lerp(stacked[low, rows], stacked[low + 1, rows], (choice - low)[:, None, None])


def _choose(estimates: Tensor, deviations: Tensor, noise: Tensor) -> Tensor:
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


def _noise(points: Tensor, tracks: _Timeline, floor: Tensor) -> Tensor:
    """The standard deviation of each track's noise, (T,) in pixels.

    Third differences of three frames in a row know nothing of steady motion or acceleration, and
    their median nothing of mistakes.
    """
    differences = torch.diff(points, n=3, dim=0).abs()
    frames = tracks.frames
    in_a_row = (frames[3:] - frames[:-3] == 3) & (tracks.owner[3:] == tracks.owner[:-3])
    noise = floor.clone()
    scale = 1 / (_MEDIAN_OF_NORMAL * math.sqrt(20))  # the variance of (1, -3, 3, -1) is 20
    for track, (start, end) in enumerate(tracks.spans()):
        part = slice(start, max(start, end - 3))
        found = differences[part][in_a_row[part]]
        if len(found) >= _LEAST_FOR_NOISE:
            noise[track] = torch.maximum(noise[track], found.median() * scale)
    return noise


def _without_outliers(points: Tensor, tracks: _Timeline, noise: Tensor) -> Tensor:
    """Put points that are wrong in a single frame onto the line through their neighbours.

    The line is Theil's and Sen's (medians of slopes and intercepts), which one more mistake among
    the six neighbours moves little. Where the neighbours themselves scatter about their line, or
    the point goes on as the two before or the two after it go, the face moves, and nothing is
    changed.
    """
    centres = (tracks.lengths >= _OUTLIER_WINDOW)[tracks.owner].nonzero().flatten()
    if len(centres) == 0:
        return points
    starts = tracks.starts[tracks.owner][centres]
    last = (tracks.starts + tracks.lengths)[tracks.owner][centres] - _OUTLIER_WINDOW
    first = torch.maximum(torch.minimum(centres - _OUTLIER_WINDOW // 2, last), starts)
    window = first[:, None] + torch.arange(_OUTLIER_WINDOW)
    others = window[window != centres[:, None]].view(len(centres), -1)  # [M, 6]
    for _ in range(_OUTLIER_PASSES):
        expected, excess = _compare_with_neighbours(points, tracks, noise, centres, others)
        # The worst first: beside it, right points may look wrong.
        worst = torch.zeros(points.shape[:2], dtype=points.dtype)
        worst[centres] = excess
        wrong = (excess > 1) & (excess >= worst[others].amax(dim=1))
        if not bool(wrong.any()):
            break
        points = points.clone()
        points[centres] = torch.where(wrong[..., None], expected, points[centres])
    return points


def _compare_with_neighbours(
    points: Tensor, tracks: _Timeline, noise: Tensor, centres: Tensor, others: Tensor
) -> tuple[Tensor, Tensor]:
    """Where the (M,) centres are expected from their (M, 6) neighbours, and how far off they are.

    Returns:
        (M, P, 2) points, and (M, P) their distance where 1 is the most that is plausible.
    """
    times = (tracks.frames[others] - tracks.frames[centres][:, None]).to(points.dtype)
    values = points[others]  # [M, 6, P, 2]
    i, j = torch.triu_indices(_OUTLIER_WINDOW - 1, _OUTLIER_WINDOW - 1, offset=1)
    spans = (times[:, j] - times[:, i])[..., None, None]
    slopes = _median((values[:, j] - values[:, i]) / spans)
    offsets = values - slopes[:, None] * times[..., None, None]
    expected = _median(offsets)
    # Of the neighbours' own distances the second largest: the largest may be one more mistake.
    scatter = (offsets - expected[:, None]).norm(dim=-1).sort(dim=1).values[:, -2]
    distance = (points[centres] - expected).norm(dim=-1)
    for side in (-1, 1):
        distance = torch.minimum(distance, _distance_from_trend(points, tracks, centres, side))
    plausible = torch.maximum(
        _OUTLIER_NOISES * noise[centres][:, None], _OUTLIER_SCATTERS * scatter
    )
    return expected, distance / plausible.clamp(min=_TINY)


def _distance_from_trend(points: Tensor, tracks: _Timeline, centres: Tensor, side: int) -> Tensor:
    """How far points are from the line through the next two (side 1) or the last two (-1) frames.

    Returns:
        (M, P), infinite where the track has no such two.
    """
    near, far = centres + side, centres + 2 * side
    exists = (far >= 0) & (far < len(points))
    near, far = near.where(exists, centres), far.where(exists, centres)
    exists &= tracks.owner[far] == tracks.owner[centres]
    frames = tracks.frames.to(points.dtype)
    ratio = (frames[centres] - frames[near]) / (frames[near] - frames[far])
    trend = points[near] + (points[near] - points[far]) * ratio[:, None, None]
    distance = (points[centres] - trend).square().sum(dim=-1).sqrt()
    return torch.where(exists[:, None], distance, torch.inf)


def _median(values: Tensor) -> Tensor:
    """The median over axis 1, between the middle two of an even number."""
    ordered = values.sort(dim=1).values
    count = values.shape[1]
    return (ordered[:, (count - 1) // 2] + ordered[:, count // 2]) / 2


class _Coordinates:
    """Points smoothed as they are."""

    @staticmethod
    def values(points: Tensor, tracks: _Timeline) -> Tensor:
        """(N, P, 2) points -> (N, 2 P)."""
        return points.flatten(1)

    @staticmethod
    def points(values: Tensor) -> Tensor:
        """The points again."""
        return values.view(len(values), -1, 2)


class _Pose:
    """Landmarks smoothed as the face's place, log scale and angle and the shape left."""

    @staticmethod
    def values(points: Tensor, tracks: _Timeline) -> Tensor:
        """(N, 5, 2) points -> (N, 2 + 1 + 1 + 10)."""
        template = torch.view_as_complex(template_landmarks(Template.FFHQ, 1))
        template = template - template.mean()
        z = torch.view_as_complex(points.contiguous())
        centre = z.mean(dim=1)
        z = z - centre[:, None]
        pose = (z @ template.conj())[:, None] / template.abs().square().sum()
        # Points that are no face may have no scale or angle: such tracks keep a pose of 1.
        is_weak = (pose * template).norm(dim=1) < _LEAST_LIKENESS * z.norm(dim=1)
        pose[tracks.any_of_track(is_weak | (pose[:, 0] == 0))] = 1
        shape = torch.view_as_real(z / pose).flatten(1)
        angle = tracks.unwrap(pose[:, 0].angle())
        place = torch.view_as_real(centre)
        return torch.cat((place, pose.abs().log(), angle[:, None], shape), dim=1)

    @staticmethod
    def points(values: Tensor) -> Tensor:
        """The points again."""
        centre, (scale, angle), shape = values[:, :2], values[:, 2:4].T, values[:, 4:]
        pose = torch.polar(scale.exp(), angle)[:, None]
        z = torch.view_as_complex(shape.reshape(len(values), -1, 2)) * pose
        return centre[:, None] + torch.view_as_real(z)


class _Timeline:
    """All tracks one after another on one line of frames, too far apart to reach each other."""

    def __init__(self, order: TrackOrder, sigmas: list[float]) -> None:
        self.sigmas = sigmas
        self.frames, self.starts, self.lengths = order.frames, order.starts, order.lengths
        self.owner = order.owner
        margin = _reach(max(*sigmas, _CHOICE_SIGMA)) + 1
        steps = torch.diff(self.frames, prepend=self.frames[:1]).clamp(max=margin)
        steps[self.starts] = margin
        self._places = steps.cumsum(0) - margin
        self._is_seen = torch.zeros(1, int(self._places[-1]) + 1, dtype=torch.float64)
        self._is_seen[0, self._places] = 1

    def spans(self) -> list[tuple[int, int]]:
        """The first row of each track and the one after its last."""
        return list(zip(self.starts.tolist(), (self.starts + self.lengths).tolist(), strict=True))

    def any_of_track(self, values: Tensor) -> Tensor:
        """Where a (N,) bool is true in any frame of the track."""
        hits = torch.zeros(len(self.lengths), dtype=torch.int64)
        return (hits.index_add(0, self.owner, values.long()) > 0)[self.owner]

    def unwrap(self, angles: Tensor) -> Tensor:
        """(N,) angles without jumps of a whole turn inside a track."""
        turns = (torch.diff(angles, prepend=angles[:1]) / (2 * math.pi)).round()
        turns[self.starts] = 0
        turns = turns.cumsum(0)
        return angles - 2 * math.pi * (turns - turns[self.starts][self.owner])

    def regress(self, values: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        """Local linear regression at every frame.

        Args:
            values: (N, C) float64.
            sigma: Standard deviation of the weights in frames.

        Returns:
            (N, C) values on the line through their surroundings, and the (N,) standard deviation
            they have where that of independent noise in ``values`` is 1.
        """
        weights, offsets = _kernel(sigma)
        powers = torch.stack((offsets**0, offsets, offsets**2))
        s0, s1, s2 = self._correlate(self._is_seen, weights * powers)[0]
        q0, q1, q2 = self._correlate(self._is_seen, weights.square() * powers)[0]
        t0, t1 = self._correlate(self._line(values), weights * powers[:2]).unbind(1)
        determinant = s0 * s2 - s1.square()
        # A frame with no other in reach stays as it is.
        is_alone = s2 == 0
        determinant = determinant.masked_fill(is_alone, 1)
        s2 = s2.masked_fill(is_alone, 1)
        smoothed = (s2 * t0 - s1 * t1) / determinant
        variance = (s2.square() * q0 - 2 * s1 * s2 * q1 + s1.square() * q2) / determinant.square()
        return smoothed.T.contiguous(), variance.sqrt()

    def average(self, values: Tensor) -> Tensor:
        """(N,) values averaged over a few frames of their track."""
        weights, _ = _kernel(_CHOICE_SIGMA)
        total = self._correlate(self._line(values[:, None]), weights[None])[0, 0]
        return total / self._correlate(self._is_seen, weights[None])[0, 0]

    def _line(self, values: Tensor) -> Tensor:
        """(N, C) -> (C, L) with zeros where there is nothing."""
        line = values.new_zeros(values.shape[1], self._is_seen.shape[1])
        line[:, self._places] = values.T
        return line

    def _correlate(self, line: Tensor, kernels: Tensor) -> Tensor:
        """(C, L) with (K, W) kernels, at the frames there are: (C, K, N)."""
        reach = kernels.shape[1] // 2
        padded = F.pad(line, (reach, reach))
        sums = line.new_zeros(len(kernels), *line.shape)
        for shift in range(2 * reach + 1):
            for total, weight in zip(sums, kernels[:, shift].tolist(), strict=True):
                total.add_(padded[:, shift : shift + line.shape[1]], alpha=weight)
        return sums[..., self._places].transpose(0, 1)


def _reach(sigma: float) -> int:
    """How many frames to each side have a weight."""
    return math.ceil(_REACH * sigma)


def _kernel(sigma: float) -> tuple[Tensor, Tensor]:
    """Gaussian weights, 1 in the middle, and how many frames from there they are."""
    offsets = torch.arange(-_reach(sigma), _reach(sigma) + 1, dtype=torch.float64)
    return torch.exp(-0.5 * (offsets / sigma).square()), offsets
