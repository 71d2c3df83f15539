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
_REACH = 6.0  # sigmas; beyond them a Gaussian is below float32's rounding


def blend_detail_(restored: Tensor, original: Tensor, cutoff: float, strength: float) -> None:
    """Replace the low frequencies of restored crops by those of the originals, in place.

    Args:
        restored: (N, 3, S, S) float32, RGB, in [0, 1]; becomes ``restored + strength *
            lowpass(original - restored)``, not clamped.
        original: Same shape, dtype, colour order and range.
        cutoff: Wavelength as a fraction of the crop; see ``remove_coarse_``.
        strength: Share of the low frequencies that is replaced: 0 is the restoration, 1 all.

    Raises:
        TensorSpecError: The shapes differ or the crops are not square.
    """
    if restored.shape != original.shape or restored.ndim != 4 or len(set(restored.shape[2:])) != 1:
        raise TensorSpecError(
            f"crops: expected restored and original as (N, 3, S, S), got {tuple(restored.shape)} "
            f"and {tuple(original.shape)}. Pass the crops before and after the network."
        )
    if strength == 0:
        return
    restored -= original
    remove_coarse_(restored, cutoff * restored.shape[-1], strength)
    restored += original


def remove_coarse_(changes: Tensor, wavelength: float, strength: float) -> None:
    """Take the low frequencies out of changes, in place.

    The low-pass is a Gaussian of sigma = wavelength * sqrt(ln 2 / 2) / pi pixels, whose response
    exp(-2 (pi sigma f)^2) is one half at that wavelength, 0.84 at twice that and 0.06 at half of
    it. Padding reflects a change at the border.

    Args:
        changes: (N, C, H, W) float32, any range; pixel values as they are encoded.
        wavelength: In pixels. Towards 0 everything is taken out.
        strength: Share of the low frequencies that is taken out, 0 to 1.
    """
    height, width = changes.shape[-2:]
    sigma = max(wavelength * _SIGMA_PER_WAVELENGTH, _SMALLEST_SIGMA_PX)
    of_rows = _low_pass_matrices(height, sigma, changes)
    of_columns = of_rows if width == height else _low_pass_matrices(width, sigma, changes)
    (reduce_rows, expand_rows), (reduce_columns, expand_columns) = of_rows, of_columns
    for change in changes:
        coarse = change if reduce_rows is None else reduce_rows @ change
        coarse = coarse if reduce_columns is None else coarse @ reduce_columns.T
        columns = expand_columns.T.expand(len(change), -1, -1)
        # The product and the sum in one pass.
        torch.baddbmm(change, expand_rows @ coarse, columns, alpha=-strength, out=change)


def _low_pass_matrices(size: int, sigma: float, like: Tensor) -> tuple[Tensor | None, Tensor]:
    """A Gaussian of ``sigma`` over ``size`` pixels: to a coarse grid, (K, size), and back.

    Only the second, then (size, size), where the grid would be as fine as the pixels.
    """
    half = sigma / math.sqrt(2)
    grid_size = math.ceil(size / (half * _GRID_STEP))
    if grid_size >= size:
        return None, _gaussian_matrix(size, size, size, sigma).to(like)
    reduce = _gaussian_matrix(grid_size, size, size, half).to(like)
    return reduce, _gaussian_matrix(size, grid_size, size, half).to(like)


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
