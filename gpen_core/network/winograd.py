"""3x3 convolution by Winograd's minimal filtering: a quarter of the multiplications.

Tiles of 6x6 pixels and the filters are evaluated at 36 points, where convolution is a product of
matrices [tiles, I] @ [I, O] for each point, and interpolated to tiles of 4x4 results
(A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016). The points are
those with the smallest rounding error in float32, about twice that of direct convolution
(B. Barabasz et al., "Error Analysis and Improving the Accuracy of Winograd Convolution for Deep
Neural Networks", ACM TOMS 46(4), 2020).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_TILE = 4  # results along each axis
_POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)  # and infinity
_TILES_AT_ONCE = 64  # enough for quick products, and the temporaries stay in the heap
_MIN_CHANNELS = 128  # with fewer the transforms take longer than the products they save
_MIN_PIXELS = 64**2  # with fewer it is the filters' transform


def pays(weight: Tensor, n_pixels: int) -> bool:
    """Whether this is faster than direct convolution with an (O, I, 3, 3) weight."""
    on_cpu = weight.device.type == "cpu" and weight.dtype == torch.float32
    return on_cpu and weight.shape[1] >= _MIN_CHANNELS and n_pixels >= _MIN_PIXELS


class WinogradFilters:
    """A weight, transformed once for all the maps that it convolves.

    Args:
        weight: (O, I, 3, 3) float32, channels-last.
    """

    def __init__(self, weight: Tensor) -> None:
        rows = weight.permute(0, 2, 3, 1).flatten(1, 2)  # [O, 9, I]
        self._weight = torch.matmul(_WEIGHT_TRANSFORM, rows).permute(1, 2, 0)  # [36, I, O]

    def convolve(self, x: Tensor, bias: Tensor) -> Tensor:
        """``F.conv2d(x, weight, bias, padding=1)`` of one face.

        Args:
            x: (1, I, H, W) float32, channels-last.
            bias: (O,).

        Returns:
            (1, O, H, W), channels-last.
        """
        _, in_chs, height, width = x.shape
        out_chs = self._weight.shape[2]
        n_rows, n_columns = -(-height // _TILE), -(-width // _TILE)  # of tiles
        margins = (1, 1 + n_columns * _TILE - width, 1, 1 + n_rows * _TILE - height)
        padded = F.pad(x, margins).contiguous(memory_format=torch.channels_last)
        _, _, down, right = padded.stride()
        strides = (down, right, _TILE * down, _TILE * right, 1)
        y = x.new_empty(n_rows, _TILE, n_columns, _TILE, out_chs)
        n_at_once = max(1, _TILES_AT_ONCE // n_columns)
        for first in range(0, n_rows, n_at_once):
            n = min(n_at_once, n_rows - first)
            tiles = padded.as_strided(
                (6, 6, n, n_columns, in_chs), strides, padded.storage_offset() + first * strides[2]
            )
            points = _INPUT_TRANSFORM @ tiles.reshape(36, -1)
            products = torch.bmm(points.view(36, -1, in_chs), self._weight)
            results = _OUTPUT_TRANSFORM @ products.view(36, -1)
            results = results.view(_TILE, _TILE, n, n_columns, out_chs).permute(2, 0, 3, 1, 4)
            torch.add(results, bias, out=y[first : first + n])
        y = y.view(1, n_rows * _TILE, n_columns * _TILE, out_chs).permute(0, 3, 1, 2)
        return y[:, :, :height, :width]


def _powers(degree: int) -> Tensor:
    """(6, degree): a polynomial's coefficients to its values at the points and at infinity."""
    points = torch.tensor(_POINTS, dtype=torch.float64)
    at_infinity = torch.eye(degree, dtype=torch.float64)[-1:]
    return torch.cat([points[:, None] ** torch.arange(degree), at_infinity])


def _on_both_axes(matrix: Tensor) -> Tensor:
    return torch.kron(matrix, matrix).float()


# Filtering is the transpose of multiplying polynomials of _TILE and 3 coefficients.
_WEIGHT_TRANSFORM = _on_both_axes(_powers(3))  # [36, 9]
_INPUT_TRANSFORM = _on_both_axes(torch.linalg.inv(_powers(6)).T)  # [36, 36]
_OUTPUT_TRANSFORM = _on_both_axes(_powers(_TILE).T)  # [16, 36]
