import itertools

import pytest
import torch
import torch.nn.functional as F

from gpen_core.network import bands
from gpen_core.network.bands import Assembly, LazyMap, rows_below, stored


def counted(x):
    """A map of ``x`` that notes which rows are read."""
    reads = []

    def rows(first, end):
        reads.append((first, end))
        return x[:, :, first:end]

    return LazyMap(tuple(x.shape[1:]), x.dtype, x.device, rows), reads


def test_large_map_on_a_cpu_is_computed_in_bands_with_a_rest(monkeypatch):
    x = torch.randn(1, 2, 18, 4)
    lazy, reads = counted(x)
    monkeypatch.setattr(bands, "BAND_BYTES", 7 * lazy.row_bytes)
    assert lazy.computed_if_small() is lazy
    assert torch.equal(lazy.computed().rows(0, 18), x)
    assert reads == [(0, 7), (7, 14), (14, 18)]


def test_small_map_and_any_map_elsewhere_is_one_band(monkeypatch):
    monkeypatch.setattr(bands, "BAND_BYTES", 1)
    elsewhere = stored(torch.randn(1, 2, 18, 4, device="meta"))
    assert elsewhere.bands() == [(0, 18)]
    assert stored(torch.randn(1, 2, 4, 4)).bands() == [(0, 4)]


def test_bands_follow_the_widest_temporary(monkeypatch):
    monkeypatch.setattr(bands, "BAND_BYTES", 1000)
    assert stored(torch.zeros(1, 1, 10, 1)).bands(row_bytes=200) == [(0, 5), (5, 10)]


def test_assembly_of_one_band_copies_nothing():
    band = torch.randn(1, 2, 5, 4)
    assembly = Assembly(5)
    assembly.put(0, band)
    assert assembly.whole is band


@pytest.mark.parametrize("height", [2, 5])
def test_rows_below_are_all_that_rows_of_the_double_depend_on(height):
    def doubled(x):
        y = F.conv_transpose2d(x, torch.ones(1, 1, 3, 3), stride=2)
        return F.conv2d(y, torch.ones(1, 1, 4, 4), padding=1)

    x = torch.randn(1, 1, height, 2)
    for first, end in itertools.combinations(range(2 * height + 1), 2):
        top, bottom = rows_below(first, end, height)
        rows = doubled(x[:, :, top:bottom])[:, :, first - 2 * top : end - 2 * top]
        torch.testing.assert_close(rows, doubled(x)[:, :, first:end])
