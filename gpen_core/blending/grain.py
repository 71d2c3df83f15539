"""Give pasted faces the grain of their image, in the image's own pixels.

Noise is distinguished from texture by where it is measured: in the flattest places, and flatness is
judged in a band of frequencies that the measured one does not touch, so that choosing does not bias
the level. It is described by the covariance of its channels and by how far it is blurred, seen from
two bands. Only what the face lacks is added.

References:
    J. Immerkaer, "Fast noise variance estimation", CVIU 64(2), 1996: the detail filter.
    R. Gnanadesikan, J. R. Kettenring, "Robust estimates, residuals, and outlier detection with
    multiresponse data", Biometrics 28(1), 1972: covariances of robust spreads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import TensorSpecError

_MAD_PER_SIGMA = 0.6744897501960817
_BANDS_PX = (1, 2)  # between the taps of the detail filter: the finest band and the next
_CELL_PX = 4  # flatness is that of cells; their mean is blind to just the frequencies of the bands
_FLATTEST = 0.1  # share of the usable pixels that is measured
_MIN_PIXELS = 2500  # to measure; of blurred grey noise every tenth or so is independent
_MAX_PIXELS = 2**17  # to choose from, evenly spread; bounds the time
_CLIPPED = 0.002  # from black or white
_MAX_CLIPPED = 0.05  # share of pixels nearby, beyond which too much noise is cut off
_MAX_BLUR_PX = 1.2  # beyond it hardly anything is left in the bands, and any texture looks the same
_BISECTIONS = 14
_SURROUNDINGS = 0.02  # largest mask that still counts as the original's
_INSIDE = 0.95  # of the largest mask, where hardly anything but the restoration shows
_INVISIBLE = 2e-4  # standard deviation, a twentieth of an 8-bit step


@dataclass(frozen=True)
class NoiseStatistics:
    """Gaussian noise: as white noise after a Gaussian blur, brought to a covariance."""

    covariance: Tensor
    """(3, 3) float64 on the CPU, of the channels of one pixel, in units of the image squared."""
    blur_px: float
    """Sigma of the blur in pixels; 0 is white noise."""

    @property
    def sigma(self) -> float:
        """Standard deviation of a pixel, root mean square over the channels."""
        return math.sqrt(float(self.covariance.trace()) / 3)


def measure_noise(pixels: Tensor, weights: Tensor) -> NoiseStatistics:
    """Estimate the noise of an image from its flattest places.

    Args:
        pixels: (3, h, w) float32, RGB, in [0, 1].
        weights: (h, w) floating; pixels above half of the largest weight are looked at.

    Returns:
        The noise; none where no pixel can be used.

    Raises:
        TensorSpecError: The shapes do not fit.
    """
    _check(pixels, weights)
    places = _flattest_places(pixels, weights)
    if not len(places):
        return NoiseStatistics(torch.zeros(3, 3, dtype=torch.float64), 0.0)
    bands = [_detail(pixels, places, step) for step in _BANDS_PX]
    return _fit_noise([_robust_covariance(band).cpu().double() for band in bands])


def surrounding_noise(original: Tensor, mask: Tensor) -> NoiseStatistics:
    """Estimate the noise around a face, or of the whole image where too little around is usable.

    The surroundings go first because a face that was swapped in has lost the noise already.

    Args:
        original: (3, h, w) float32, RGB, in [0, 1]; should reach beyond the face.
        mask: (h, w) floating in [0, 1], where the face is.

    Raises:
        TensorSpecError: The shapes do not fit.
    """
    _check(original, mask)
    around = (mask <= _SURROUNDINGS).to(mask.dtype)
    if int(_usable(original, around).sum()) < _MIN_PIXELS:
        around = torch.ones_like(mask)
    return measure_noise(original, around)


def add_grain(
    pasted: Tensor, mask: Tensor, target: NoiseStatistics, strength: float, seed: int
) -> Tensor:
    """Add the noise that a pasted face lacks.

    What the face still has, as variance in each band, is subtracted, and nothing is ever removed.
    In the mask's soft edge the pasted image holds a share of the original's own noise; the amount
    there is such that the sum stays level.

    Args:
        pasted: (3, h, w) float32, RGB, in [0, 1], with the face pasted by ``mask``.
        mask: (h, w) floating in [0, 1].
        target: The noise of the image, from ``surrounding_noise``.
        strength: Factor of the noise's standard deviation; 0 is off, 1 matches.
        seed: Of the noise, the same on every device. Give each frame of a video another.

    Returns:
        Same shape, dtype and device; in [0, 1] where noise was added, bit-identical where the mask
        is 0, and ``pasted`` itself with ``strength=0`` or nothing to add.

    Raises:
        TensorSpecError: The shapes do not fit.
    """
    _check(pasted, mask)
    if strength == 0 or not bool((mask > 0).any()):
        return pasted
    present = _face_noise(pasted, mask)
    missing = _missing_noise(target, present)
    if missing.sigma < _INVISIBLE:
        return pasted
    kept = min(1.0, present.sigma / target.sigma)
    # With k of the noise's amplitude kept in the face, (1 - m) + m k of it is left at mask m; this
    # is the root of 1 - that squared, over 1 - k squared.
    profile = (mask * (2 - mask * (1 - kept)) / (1 + kept)).sqrt()
    noise = _synthesize(missing, mask.shape[0], mask.shape[1], seed).to(pasted)
    grainy = (pasted + strength * profile * noise).clamp(0, 1)
    return torch.where(mask > 0, grainy, pasted)


def _face_noise(pasted: Tensor, mask: Tensor) -> NoiseStatistics:
    """The noise in the face; not in the soft edge, if that can be helped, which holds both."""
    inside = (mask >= _INSIDE * mask.max()).to(mask.dtype)
    return measure_noise(pasted, inside if int(inside.sum()) >= _MIN_PIXELS else mask)


def _missing_noise(target: NoiseStatistics, present: NoiseStatistics) -> NoiseStatistics:
    return _fit_noise(
        [
            target.covariance * _band_gain(target.blur_px, step)
            - present.covariance * _band_gain(present.blur_px, step)
            for step in _BANDS_PX
        ]
    )


def _usable(pixels: Tensor, weights: Tensor) -> Tensor:
    """(h, w) booleans: weighty, inside the border, and not in black or white where noise is cut."""
    clipped = ((pixels <= _CLIPPED) | (pixels >= 1 - _CLIPPED)).any(dim=0).to(pixels.dtype)
    nearby = F.avg_pool2d(_cells(clipped)[None], 3, stride=1, padding=1, count_include_pad=False)[0]
    usable = torch.zeros_like(weights, dtype=torch.bool)
    reach = max(_BANDS_PX)
    usable[reach:-reach, reach:-reach] = True
    usable &= weights > weights.max() / 2
    return usable & (_spread_cells(nearby, *weights.shape) <= _MAX_CLIPPED)


def _flattest_places(pixels: Tensor, weights: Tensor) -> Tensor:
    """(K, 2) rows and columns of the usable pixels with the smallest slope around them."""
    places = _usable(pixels, weights).nonzero()
    places = places[:: max(1, math.ceil(len(places) / _MAX_PIXELS))]
    kernel = _gaussian(1.0)
    smooth = _blur(F.pad(_cells(pixels.mean(dim=0))[None], _pads(kernel), "replicate")[0], kernel)
    across = F.pad(smooth, (1, 1, 0, 0), "replicate").diff(n=1, dim=2)
    down = F.pad(smooth, (0, 0, 1, 1), "replicate").diff(n=1, dim=1)
    slope = across[..., 1:].square() + across[..., :-1].square()
    slope += down[:, 1:].square() + down[:, :-1].square()
    slope = _blur(F.pad(slope[None], _pads(kernel), "replicate")[0], kernel)[0]
    rows, columns = places.unbind(dim=1)
    n_kept = min(len(places), max(_MIN_PIXELS, int(_FLATTEST * len(places))))
    steepness = slope[rows // _CELL_PX, columns // _CELL_PX]
    return places[steepness.topk(n_kept, largest=False).indices]


def _cells(values: Tensor) -> Tensor:
    """(h, w) to the means of cells, (1, rows, columns)."""
    return F.avg_pool2d(values[None], _CELL_PX, ceil_mode=True)


def _spread_cells(cells: Tensor, height: int, width: int) -> Tensor:
    """Each pixel's cell, (height, width)."""
    spread = cells[0].repeat_interleave(_CELL_PX, dim=0).repeat_interleave(_CELL_PX, dim=1)
    return spread[:height, :width]


def _detail(pixels: Tensor, places: Tensor, step: int) -> Tensor:
    """Immerkaer's filter at places, (3, K): blind to slopes, white noise keeps its variance."""
    rows, columns = places.unbind(dim=1)
    taps = ((-step, 1.0), (0, -2.0), (step, 1.0))
    detail = pixels.new_zeros(3, len(places))
    for dy, weight_y in taps:
        for dx, weight_x in taps:
            detail += weight_y * weight_x / 6 * pixels[:, rows + dy, columns + dx]
    return detail


def _robust_covariance(values: Tensor) -> Tensor:
    """Covariance (3, 3) of (3, K) from spreads of sums and differences: 4 xy = (x+y)^2 - (x-y)^2.

    An even number of them may be off, as at edges, and channels that are equal stay so.
    """
    sums = values[:, None] + values[None]  # [3, 3, K]
    differences = values[:, None] - values[None]
    spreads = [x.abs().median(dim=-1).values / _MAD_PER_SIGMA for x in (sums, differences)]
    return (spreads[0].square() - spreads[1].square()) / 4


def _fit_noise(bands: list[Tensor]) -> NoiseStatistics:
    """The noise that has these covariances, (3, 3) float64 each, in the bands."""
    fine, coarse = (_positive(covariance) for covariance in bands)
    if not float(fine.trace()) > 0:
        return NoiseStatistics(torch.zeros_like(fine), 0.0)
    ratio = float(coarse.trace() / fine.trace())
    blur_px = 0.0
    if ratio > 1:  # bisection: the ratio grows with the blur
        step = blur_px = _MAX_BLUR_PX / 2
        for _ in range(_BISECTIONS):
            step /= 2
            is_blurrier = ratio * _band_gain(blur_px, _BANDS_PX[0]) > _band_gain(
                blur_px, _BANDS_PX[1]
            )
            blur_px += step if is_blurrier else -step
    # The finest band sets the level: of the two texture affects it less.
    return NoiseStatistics(fine / _band_gain(blur_px, _BANDS_PX[0]), blur_px)


def _band_gain(blur_px: float, step: int) -> float:
    """Variance in a band of noise of variance 1 that was blurred."""
    kernel = _gaussian(blur_px).double()
    kernel = F.pad(kernel, (0, 2 * step))
    correlation = [float(kernel @ kernel.roll(lag)) for lag in (0, step, 2 * step)]
    along = 6 * correlation[0] - 8 * correlation[1] + 2 * correlation[2]
    return (along / correlation[0] / 6) ** 2


def _positive(covariance: Tensor) -> Tensor:
    """A covariance without its negative eigenvalues."""
    values, vectors = torch.linalg.eigh(covariance)
    positive: Tensor = (vectors * values.clamp_min(0)) @ vectors.mT
    return positive


def _synthesize(noise: NoiseStatistics, height: int, width: int, seed: int) -> Tensor:
    """(3, height, width) float32 on the CPU, whose generator is the same on every machine."""
    kernel = _gaussian(noise.blur_px)
    before, after, *_ = _pads(kernel)
    white = torch.randn(
        3,
        height + before + after,
        width + before + after,
        generator=torch.Generator().manual_seed(seed),
    )
    values, vectors = torch.linalg.eigh(noise.covariance)
    root: Tensor = ((vectors * values.clamp_min(0).sqrt()) @ vectors.mT).float()
    blurred = _blur(white, kernel / kernel.norm())
    return (root @ blurred.flatten(1)).view(3, height, width)


def _gaussian(sigma: float) -> Tensor:
    """Taps of a Gaussian, sum 1; a single one for sigma 0."""
    radius = math.ceil(4 * sigma)
    x = torch.arange(-radius, radius + 1, dtype=torch.float32)
    taps = torch.exp(-0.5 * (x / max(sigma, 1e-3)).square())
    return taps / taps.sum()


def _pads(kernel: Tensor) -> tuple[int, int, int, int]:
    radius = len(kernel) // 2
    return radius, radius, radius, radius


def _blur(pixels: Tensor, kernel: Tensor) -> Tensor:
    """Convolve rows and columns of (C, H, W); the result is smaller by the kernel's reach."""
    taps = kernel.tolist()
    for axis in (1, 2):
        length = pixels.shape[axis] - len(taps) + 1
        blurred = pixels.narrow(axis, 0, length) * taps[0]
        for i, tap in enumerate(taps[1:], start=1):
            blurred.add_(pixels.narrow(axis, i, length), alpha=tap)
        pixels = blurred
    return pixels


def _check(pixels: Tensor, weights: Tensor) -> None:
    if pixels.ndim != 3 or pixels.shape[0] != 3 or pixels.shape[1:] != weights.shape:
        raise TensorSpecError(
            f"pixels: expected (3, h, w) and a mask (h, w), got {tuple(pixels.shape)} and "
            f"{tuple(weights.shape)}. Cut both from the same region."
        )
