"""Mistakes in a single frame of a track, replaced by the trend of the frames around it."""

from __future__ import annotations

import torch
from torch import Tensor

from .tracking import TrackOrder

# A point is a mistake of the detector if it is this many standard deviations of the noise from the
# line through its neighbours, and this many times as far from it as they are themselves.
_NOISES = 6.0
_SCATTERS = 3.0
_WINDOW = 7  # frames, the point's own among them
_PASSES = 2  # so that two mistakes near each other are both found
_TINY = 1e-9  # pixels


def replace_outliers(points: Tensor, order: TrackOrder, noise: Tensor) -> Tensor:
    """Put points that are wrong in a single frame onto the line through their neighbours.

    The line is Theil's and Sen's (medians of slopes and intercepts), which one more mistake among
    the six neighbours moves little. Where the neighbours themselves scatter about their line, or
    the point continues the two before or the two after it, the face moves, and nothing is
    changed.

    Args:
        points: (N, P, 2) float64 pixels in the order of the tracks.
        order: Whose and when each row is.
        noise: (N,) standard deviation of the noise, pixels.

    Returns:
        The points, ``points`` itself where nothing is wrong.
    """
    centres = (order.lengths >= _WINDOW)[order.owner].nonzero().flatten()
    if len(centres) == 0:
        return points
    starts = order.starts[order.owner][centres]
    last = (order.starts + order.lengths)[order.owner][centres] - _WINDOW
    first = torch.maximum(torch.minimum(centres - _WINDOW // 2, last), starts)
    window = first[:, None] + torch.arange(_WINDOW)
    others = window[window != centres[:, None]].view(len(centres), -1)  # [M, 6]
    for _ in range(_PASSES):
        expected, excess = _compare_with_neighbours(points, order, noise, centres, others)
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
    points: Tensor, order: TrackOrder, noise: Tensor, centres: Tensor, others: Tensor
) -> tuple[Tensor, Tensor]:
    """Where the (M,) centres are expected from their (M, 6) neighbours, and how far off they are.

    Returns:
        (M, P, 2) points, and (M, P) their distance where 1 is the most that is plausible.
    """
    times = (order.frames[others] - order.frames[centres][:, None]).to(points.dtype)
    values = points[others]  # [M, 6, P, 2]
    i, j = torch.triu_indices(_WINDOW - 1, _WINDOW - 1, offset=1)
    spans = (times[:, j] - times[:, i])[..., None, None]
    slopes = _median((values[:, j] - values[:, i]) / spans)
    offsets = values - slopes[:, None] * times[..., None, None]
    expected = _median(offsets)
    # Of the neighbours' own distances the second largest: the largest may be one more mistake.
    scatter = (offsets - expected[:, None]).norm(dim=-1).sort(dim=1).values[:, -2]
    distance = (points[centres] - expected).norm(dim=-1)
    for side in (-1, 1):
        distance = torch.minimum(distance, _distance_from_trend(points, order, centres, side))
    plausible = torch.maximum(_NOISES * noise[centres][:, None], _SCATTERS * scatter)
    return expected, distance / plausible.clamp(min=_TINY)


def _distance_from_trend(points: Tensor, order: TrackOrder, centres: Tensor, side: int) -> Tensor:
    """How far points are from the line through the next two (side 1) or the last two (-1) frames.

    Returns:
        (M, P), infinite where the track has no such two.
    """
    near, far = centres + side, centres + 2 * side
    exists = (far >= 0) & (far < len(points))
    near, far = near.where(exists, centres), far.where(exists, centres)
    exists &= order.owner[far] == order.owner[centres]
    frames = order.frames.to(points.dtype)
    ratio = (frames[centres] - frames[near]) / (frames[near] - frames[far])
    trend = points[near] + (points[near] - points[far]) * ratio[:, None, None]
    distance = (points[centres] - trend).square().sum(dim=-1).sqrt()
    return torch.where(exists[:, None], distance, torch.inf)


def _median(values: Tensor) -> Tensor:
    """The median over axis 1, between the middle two of an even number."""
    ordered = values.sort(dim=1).values
    count = values.shape[1]
    return (ordered[:, (count - 1) // 2] + ordered[:, count // 2]) / 2
