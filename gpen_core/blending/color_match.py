"""Give restored crops the colours of the originals: mean and covariance, in Oklab.

Oklab, and not CIELAB, because a change of the light, a gain of each cone response, is exactly
linear in it, and because its hues stay where they are when chroma changes (in CIELAB blue turns
purple). Two Gaussians are mapped onto each other by optimal transport, which neither flips nor
turns axes. Their moments come from structures wider than a 32nd of the face, so detail that the
restoration added is not toned down and noise is not taken for colour, and from pixels that show
the same thing in both pictures.

References:
    B. Ottosson, "A perceptual color space for image processing", 2020,
    https://bottosson.github.io/posts/oklab/
    F. Pitie, A. Kokaram, "The linear Monge-Kantorovitch linear colour mapping for example-based
    colour transfer", CVMP 2007.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import TensorSpecError
from ..images.srgb import from_linear_, mix_channels, power_, to_linear

# Linear sRGB to cone responses, and their cube roots to L, a, b (Ottosson, 2020).
_RGB_TO_LMS = torch.tensor(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    dtype=torch.float64,
)
_ROOTS_TO_LAB = torch.tensor(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ],
    dtype=torch.float64,
)
_LMS_TO_RGB = torch.linalg.inv(_RGB_TO_LMS)
_LAB_TO_ROOTS = torch.linalg.inv(_ROOTS_TO_LAB)
_CPU_PIXELS = 2**15  # mapped at once on a CPU
_SAMPLES = 128  # pixels along each axis that are looked at; enough for a dozen numbers
_CELLS = 32  # along each axis; moments are those of their means
_ITERATIONS = 6
_MEDIAN_STEP = 4  # medians are those of every fourth sample: sorting is most of the work
# A pixel counts less the more it differs, and not at all beyond this many times the median
# difference. The floor, in Oklab, is about what can just be seen.
_REJECT_AT = 4.0
_SMALLEST_REJECT_AT = 0.03
_SMALLEST_STD = 1e-4  # Oklab; far below what can be seen, keeps grey pictures invertible
_MAX_GAIN = 3.0  # so that noise of a nearly grey restoration does not turn into colour
_SMALLEST_WEIGHT = 1e-6  # of a cell; of a face without any weight all moments are 0, so it stays


@dataclass(frozen=True)
class ColorMap:
    """An affine map of colours in Oklab."""

    gains: Tensor
    """(3, 3) float64 on the CPU, between cube roots of the cone responses."""
    offsets: Tensor
    """(3,), as the factors."""

    def apply(self, colors: Tensor, out: Tensor) -> None:
        """Map (3, H, W) floating RGB, sRGB-encoded, clamped to [0, 1].

        Args:
            colors: What is mapped.
            out: Where to write the result, in [0, 1], of the same shape; may be ``colors``.
        """
        # Some rows at a time: that bounds the memory, and on a CPU they stay in its caches.
        n_pixels = _CPU_PIXELS if colors.device.type == "cpu" else colors[0].numel()
        n_rows = max(1, n_pixels // max(1, colors.shape[-1]))
        bands = (torch.split(pixels, n_rows, dim=1) for pixels in (colors, out))
        for source, target in zip(*bands, strict=True):
            # Channels that come last would be read with gaps.
            roots = mix_channels(self.gains, _rgb_to_roots(source.contiguous()))
            target.copy_(_roots_to_rgb(roots.add_(self.offsets[:, None, None].to(roots))))


def match_color(
    restored: Tensor,
    reference: Tensor,
    masks: Tensor | None,
    strength: float,
    *,
    same_face: bool = True,
) -> Tensor:
    """Move the colours of restored crops to those of the originals.

    The arguments and errors are those of ``fit_color_maps``.

    Returns:
        (N, 3, S, S) float32 in [0, 1]; with ``strength=0`` ``restored`` itself.
    """
    _check(restored, reference, masks)
    if strength == 0:
        return restored
    maps = fit_color_maps(restored, reference, masks, strength, same_face=same_face)
    matched = torch.empty_like(restored)
    for color_map, colors, out in zip(maps, restored, matched, strict=True):
        color_map.apply(colors, out=out)
    return matched


def fit_color_maps(
    restored: Tensor,
    reference: Tensor,
    masks: Tensor | None,
    strength: float,
    *,
    same_face: bool = True,
) -> list[ColorMap]:
    """Find what moves the colours of restored crops to those of the originals.

    Args:
        restored: (N, 3, S, S) float32, RGB, sRGB-encoded, in [0, 1].
        reference: Same shape, dtype, colour order and range; shows the same faces at the same
            places.
        masks: (N, S, S) floating in [0, 1], how much a pixel counts, or of every
            ``sample_stride(S)``-th pixel only; None: all alike. A face without any keeps its
            colours.
        strength: Share of the way in Oklab, 0 (off) to 1.
        same_face: The crops show the same face, so that pixels which differ are left out. False:
            another person's in the same place, whose pixels are comparable only as a whole.

    Returns:
        The maps of the N faces.

    Raises:
        TensorSpecError: A shape does not fit.
    """
    _check(restored, reference, masks)
    if not len(restored):
        return []
    stride = sample_stride(restored.shape[-1])
    sampled = restored[:, 0, ::stride, ::stride]
    if masks is None:
        masks = torch.ones_like(sampled)
    elif masks.shape != sampled.shape:
        masks = masks[..., ::stride, ::stride]
    gains, offsets = _fit_transport(
        rgb_to_oklab(restored[..., ::stride, ::stride]),
        rgb_to_oklab(reference[..., ::stride, ::stride]),
        masks.to(restored),
        _ITERATIONS if same_face else 0,
    )
    # Cube roots to Oklab, the map, and back again, all in one matrix.
    identity = torch.eye(3, dtype=torch.float64)
    gains = _LAB_TO_ROOTS @ (identity + strength * (gains - identity)) @ _ROOTS_TO_LAB
    offsets = strength * offsets @ _LAB_TO_ROOTS.T
    return [ColorMap(*both) for both in zip(gains, offsets, strict=True)]


def sample_stride(size: int) -> int:
    """Every how many pixels a crop of this size is sampled, along each axis."""
    return max(1, size // _SAMPLES)


def rgb_to_oklab(colors: Tensor) -> Tensor:
    """(..., 3, H, W) sRGB-encoded in [0, 1] to Oklab: L in [0, 1], a and b within 0.4 of 0."""
    return mix_channels(_ROOTS_TO_LAB, _rgb_to_roots(colors))


def _rgb_to_roots(colors: Tensor) -> Tensor:
    """(..., 3, H, W) sRGB-encoded to the cube roots of the cone responses."""
    return power_(mix_channels(_RGB_TO_LMS, to_linear(colors)), 1 / 3)


def _roots_to_rgb(roots: Tensor) -> Tensor:
    return from_linear_(mix_channels(_LMS_TO_RGB, roots.square().mul_(roots)))


def _fit_transport(
    source: Tensor, target: Tensor, weights: Tensor, n_rejections: int
) -> tuple[Tensor, Tensor]:
    """The affine maps from source to target colours.

    Pixels are paired, so those that show different things, a hand that was painted over or a
    highlight, are found by what is left between them after the map, and count less in the next.

    Args:
        source: (N, 3, H, W) Oklab.
        target: Same shape.
        weights: (N, H, W).
        n_rejections: How often pixels are judged by the last map; 0: all count by their weights.

    Returns:
        (N, 3, 3) gains and (N, 3) offsets, float64 on the CPU.
    """
    # The ones make an offset a fourth gain, and become what the pixels of a cell weigh.
    pairs = torch.cat((source, torch.ones_like(source[:, :1]), target), dim=1).contiguous()
    if not n_rejections:
        return _transport_of(pairs, weights)
    given, wanted = pairs.flatten(2)[:, :4], pairs.flatten(2)[:, 4:]  # [N, 4 and 3, K]
    gains = torch.eye(3, dtype=torch.float64).expand(len(source), 3, 3)
    counts = weights.flatten(1)[:, ::_MEDIAN_STEP]
    # Medians to begin with: a mean would follow the outliers.
    difference = (target - source).flatten(2)[..., ::_MEDIAN_STEP]
    offsets = _weighted_median(difference, counts[:, None].expand_as(difference)).cpu().double()
    for _ in range(n_rejections):
        transport = torch.cat((gains, offsets[..., None]), dim=2).to(given)
        # A matrix product may be in TF32, which is enough to judge pixels by.
        residual = torch.baddbmm(wanted, transport, given, beta=-1)
        distance = residual.square_().sum(dim=1).sqrt_()  # [N, K]
        middle = _weighted_median(distance[:, ::_MEDIAN_STEP], counts)
        reach = (_REJECT_AT * middle).clamp_min_(_SMALLEST_REJECT_AT)[:, None]
        trust = (1 - (distance / reach).square_()).clamp_min_(0).square_()
        gains, offsets = _transport_of(pairs, weights * trust.view_as(weights))
    return gains, offsets


def _transport_of(pairs: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """As ``_fit_transport``, by source, ones and target in one tensor (N, 7, H, W)."""
    cell = max(1, pairs.shape[-1] // _CELLS)
    cells = F.avg_pool2d(pairs * weights[:, None], cell, ceil_mode=True)
    cells = cells.flatten(2).cpu().double()  # all at once: every copy is waited for
    totals = cells[:, 3:4]  # [N, 1, K]
    means = cells / totals.clamp_min(_SMALLEST_WEIGHT)
    shares = totals / totals.sum(dim=2, keepdim=True).clamp_min(_SMALLEST_WEIGHT)
    mean_in, covariance_in = _moments(means[:, :3], shares)
    mean_out, covariance_out = _moments(means[:, 4:], shares)
    gains = _transport(covariance_in, covariance_out)
    return gains, (mean_out - gains @ mean_in)[..., 0]


def _moments(colors: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (N, 3, 1) and covariance (N, 3, 3) of (N, 3, K) colours by their shares (N, 1, K)."""
    mean = (colors * shares).sum(dim=2, keepdim=True)
    centred = colors - mean
    return mean, (centred * shares) @ centred.mT


def _transport(source: Tensor, target: Tensor) -> Tensor:
    """The symmetric positive map between Gaussians of (N, 3, 3) covariances, its gains limited."""
    floor = _SMALLEST_STD**2 * torch.eye(3, dtype=source.dtype)
    root = _on_eigenvalues(torch.sqrt, source + floor)
    inverse_root = _on_eigenvalues(torch.rsqrt, source + floor)
    between = _on_eigenvalues(torch.sqrt, root @ (target + floor) @ root)
    gains = inverse_root @ between @ inverse_root
    return _on_eigenvalues(lambda values: values.clamp_max(_MAX_GAIN), gains)


def _on_eigenvalues(function: Callable[[Tensor], Tensor], matrices: Tensor) -> Tensor:
    """Apply a function to the eigenvalues of (N, 3, 3) symmetric positive matrices."""
    values, vectors = torch.linalg.eigh((matrices + matrices.mT) / 2)
    values = function(values.clamp_min(torch.finfo(values.dtype).tiny))
    result: Tensor = (vectors * values[:, None]) @ vectors.mT
    return result


def _weighted_median(values: Tensor, weights: Tensor) -> Tensor:
    """Along the last axis of (..., K); of equal weights, the lower of two in the middle."""
    ordered, order = values.sort(dim=-1)
    running = weights.gather(-1, order).cumsum(dim=-1)
    middle = torch.searchsorted(running, running[..., -1:] / 2)
    return ordered.gather(-1, middle)[..., 0]


def _check(restored: Tensor, reference: Tensor, masks: Tensor | None) -> None:
    if restored.ndim != 4 or restored.shape[1] != 3 or reference.shape != restored.shape:
        raise TensorSpecError(
            f"crops: expected restored and reference as (N, 3, S, S), got {tuple(restored.shape)} "
            f"and {tuple(reference.shape)}. Pass the crops before and after the network."
        )
    expected = (len(restored), *restored.shape[2:])
    stride = sample_stride(restored.shape[-1])
    sampled = restored[:, 0, ::stride, ::stride].shape
    if masks is not None and masks.shape not in (expected, sampled):
        raise TensorSpecError(
            f"masks: expected {expected}, got {tuple(masks.shape)}. Pass one mask for each crop."
        )
