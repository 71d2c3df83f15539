"""Maps whose rows are computed when they are read, so that large ones need not exist as a whole.

On a CPU a temporary of many megabytes is slow: it does not fit into the caches, and the operating
system clears each fresh page of it first, which can take longer than the arithmetic. There, large
maps are computed in bands of rows, so that the temporaries stay small, and the widest never exist:
not the encoder's first map, not what lies between the two convolutions of a resolution, not the
decoder's last map. The few rows that neighbouring bands both read are computed for each. Elsewhere
every map is one band.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

BAND_BYTES = 16 * 2**20
"""About the size of the widest temporary of a band."""
_MIN_ROWS = 4


@dataclass(frozen=True)
class LazyMap:
    """A map of which any rows can be read."""

    shape: tuple[int, int, int]
    """Channels, height, width."""
    dtype: torch.dtype
    device: torch.device
    rows: Callable[[int, int], Tensor]
    """The first row and the one past the last -> (N, C, end - first, W)."""

    @property
    def height(self) -> int:
        """How many rows it has."""
        return self.shape[1]

    @property
    def n_pixels(self) -> int:
        """Height times width."""
        return self.shape[1] * self.shape[2]

    @property
    def row_bytes(self) -> int:
        """What a row of one face takes."""
        return self.shape[0] * self.shape[2] * self.dtype.itemsize

    def bands(self, row_bytes: int | None = None) -> list[tuple[int, int]]:
        """First row and the one past the last of each band.

        Args:
            row_bytes: What a row of the widest temporary takes; by default a row of the map.
        """
        n_rows = self.height
        if self.device.type == "cpu":
            n_rows = max(_MIN_ROWS, BAND_BYTES // (row_bytes or self.row_bytes))
        starts = range(0, self.height, n_rows)
        return [(first, min(first + n_rows, self.height)) for first in starts]

    def computed(self, row_bytes: int | None = None) -> LazyMap:
        """The same map with all rows computed, band by band."""
        result = Assembly(self.height)
        for first, end in self.bands(row_bytes):
            result.put(first, self.rows(first, end))
        return stored(result.whole)

    def computed_if_small(self) -> LazyMap:
        """The same map, computed if it is one band; else its rows are computed at each read."""
        return self.computed() if len(self.bands()) == 1 else self


class Assembly:
    """A map that is put together from bands; one that is the whole map is not copied."""

    def __init__(self, height: int) -> None:
        self._height = height
        self.whole = torch.empty(0)

    def put(self, first: int, band: Tensor) -> None:
        """Add (N, C, H, W) rows, from ``first`` on."""
        n, n_chs, n_rows, width = band.shape
        if n_rows == self._height:
            self.whole = band
            return
        if first == 0:  # in the memory order that convolutions like
            self.whole = band.new_empty(n, self._height, width, n_chs).permute(0, 3, 1, 2)
        self.whole[:, :, first : first + n_rows] = band


def stored(x: Tensor) -> LazyMap:
    """A map that is computed already, (N, C, H, W)."""
    _, n_chs, height, width = x.shape
    return LazyMap((n_chs, height, width), x.dtype, x.device, lambda a, b: x[:, :, a:b])


def rows_below(first: int, end: int, height: int) -> tuple[int, int]:
    """Rows of a map of ``height`` rows that rows ``first`` to ``end`` of its double depend on."""
    return max(first // 2 - 1, 0), min((end + 1) // 2 + 1, height)
