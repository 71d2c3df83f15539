"""Take the coarse structure of a face from the original and its fine detail from the restoration.

The low-pass is a Gaussian whose width follows the crop, so a picture looks the same at every size
of the network. It is two Gaussians on a coarse grid between them, each a matrix product, and as
exact as float32: its cost does not grow with its width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import TensorSpecError

# exp(-2 (pi sigma / wavelength)^2) is 0.5 at this sigma per wavelength: 0.18739.
_SIGMA_PER_WAVELENGTH = math.sqrt(math.log(2) / 2) / math.pi
# Of the coarse grid, in sigmas of either Gaussian: at most exp(-(pi / 0.8)^2) = 2e-7 folds.
_GRID_STEP = 0.8
_SMALLEST_SIGMA_PX = 1e-2  # nothing of a neighbouring pixel is left
_CPU_BAND_ROWS = 64
_REACH = 6.0  # sigmas; beyond them a Gaussian is below float32's rounding


def blend_detail(
    restored: Tensor,
    original: Tensor,
    cutoff: float,
    strength: float,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """Replace the low frequencies of restored crops by those of the originals.

    ``restored + strength * lowpass(original - restored)``. The low-pass is a Gaussian of
    sigma = cutoff * S * sqrt(ln 2 / 2) / pi pixels, whose response exp(-2 (pi sigma f)^2) is one
    half at a wavelength of ``cutoff * S`` pixels, 0.84 at twice that and 0.06 at half of it. Beyond
    the border the crops go on as their mirror image. Pixel values are mixed as they are encoded.

    Args:
        restored: (N, 3, S, S) float32, RGB, in [0, 1].
        original: Same shape, dtype, colour order and range.
        cutoff: Wavelength as a fraction of the crop, above 0. Wider structures come from the
            original, finer ones from the restoration. Towards 0 everything comes from the original.
        strength: Share of the low frequencies that is replaced: 0 is the restoration, 1 all.
        out: Where to write the result, of the same shape; may be ``restored``. New if None.

    Returns:
        Same shape, dtype and device, not clamped; with ``strength=0`` ``restored`` itself, and
        nothing is written to ``out``.

    Raises:
        TensorSpecError: The shapes differ or the crops are not square.
    """
    if restored.shape != original.shape or restored.ndim != 4 or len(set(restored.shape[2:])) != 1:
        raise TensorSpecError(
            f"crops: expected restored and original as (N, 3, S, S), got {tuple(restored.shape)} "
            f"and {tuple(original.shape)}. Pass the crops before and after the network."
        )
    if strength == 0:
        return restored
    if out is None:
        out = torch.empty_like(restored)
    reduce, expand = _low_pass_matrices(
        cutoff * restored.shape[-1] * _SIGMA_PER_WAVELENGTH, restored
    )
    for base, crop, result in zip(restored, original, out, strict=True):
        coarse = crop - base if reduce is None else _reduced_difference(crop, base, reduce)
        columns = expand.T.expand(len(base), -1, -1)
        # The product and the sum in one pass.
        torch.baddbmm(base, expand @ coarse, columns, alpha=strength, out=result)
    return out


def _low_pass_matrices(sigma: float, crops: Tensor) -> tuple[Tensor | None, Tensor]:
    """A Gaussian of ``sigma`` pixels over crops: to a coarse grid, (K, S), and back, (S, K).

    Only the second, then (S, S), where the grid would be as fine as the pixels.
    """
    size = crops.shape[-1]
    half = max(sigma, _SMALLEST_SIGMA_PX) / math.sqrt(2)
    grid_size = math.ceil(size / (half * _GRID_STEP))
    if grid_size >= size:
        return None, _gaussian_matrix(size, size, size, half * math.sqrt(2)).to(crops)
    reduce = _gaussian_matrix(grid_size, size, size, half).to(crops)
    return reduce, _gaussian_matrix(size, grid_size, size, half).to(crops)


def _reduced_difference(crop: Tensor, base: Tensor, reduce: Tensor) -> Tensor:
    """``reduce @ (crop - base) @ reduce.T``, (C, K, K), of (C, S, S) by a (K, S) matrix."""
    rows = base.new_zeros(len(base), len(reduce), base.shape[-1])
    # Some rows at a time on a CPU: their difference stays in its caches.
    n_rows = _CPU_BAND_ROWS if base.device.type == "cpu" else base.shape[-2]
    bands = (torch.split(tensor, n_rows, dim=-2) for tensor in (reduce.T, crop, base))
    for columns, of_crop, of_base in zip(*bands, strict=True):
        rows.baddbmm_(columns.T.expand(len(base), -1, -1), of_crop - of_base)
    return rows @ reduce.T


def _gaussian_matrix(n_to: int, n_from: int, size: int, sigma: float) -> Tensor:
    """Weights of ``n_from`` samples for ``n_to``, both evenly spread over ``size`` pixels.

    Returns:
        (n_to, n_from) float64 on the CPU; each row sums to 1.
    """
    to = (torch.arange(n_to, dtype=torch.float64)[:, None] + 0.5) * size / n_to
    source = (torch.arange(n_from, dtype=torch.float64) + 0.5) * size / n_from
    weights = torch.zeros(n_to, n_from, dtype=torch.float64)
    n_mirrors = math.ceil(_REACH * sigma / size)
    for fold in range(-n_mirrors, n_mirrors + 1):
        mirrored = source if fold % 2 == 0 else size - source
        weights += torch.exp(-0.5 * ((to - mirrored - fold * size) / sigma).square())
    return weights / weights.sum(dim=1, keepdim=True)
