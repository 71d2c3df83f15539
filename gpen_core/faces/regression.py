"""Local linear regression over time with Gaussian weights.

It follows a straight line exactly, at the ends of a track and beside missing frames too: Fan and
Gijbels, "Local Polynomial Modelling and Its Applications", 1996.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .tracking import TrackOrder

_REACH = 3.0  # sigmas to each side


class LocalRegression:
    """Regression over tracks, laid on one line of frames too far apart to reach each other."""

    def __init__(self, order: TrackOrder, widest_sigma: float) -> None:
        """Place the tracks for weights of at most ``widest_sigma`` frames; there is a face."""
        margin = _reach(widest_sigma) + 1
        steps = torch.diff(order.frames, prepend=order.frames[:1]).clamp(max=margin)
        steps[order.starts] = margin
        self._places = steps.cumsum(0) - margin
        self._is_seen = torch.zeros(1, int(self._places[-1]) + 1, dtype=torch.float64)
        self._is_seen[0, self._places] = 1

    def fit(self, values: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        """Fit a line around every frame.

        Args:
            values: (N, C) float64.
            sigma: Standard deviation of the weights in frames, <= ``widest_sigma``.

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

    def average(self, values: Tensor, sigma: float) -> Tensor:
        """(N,) float64 values averaged with the weights over the frames of their track."""
        weights, _ = _kernel(sigma)
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
