import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from gpen_core.comparison import compare_images
from gpen_core.comparison.structure import halve, pool_scales, scale_count
from support.geometry import noise, smooth

WEIGHTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])


def plain_ssim(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """SSIM of (H, W, 3) images window by window, and its contrast and structure alone."""
    offsets = np.arange(-5, 6)
    kernel = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    kernel /= kernel.sum()
    similarities, structures = [], []
    for x, y in zip(np.moveaxis(before, 2, 0), np.moveaxis(after, 2, 0), strict=True):
        xs, ys = (sliding_window_view(np.pad(c, 5, "reflect"), (11, 11)) for c in (x, y))
        mean_x, mean_y = ((w * kernel).sum((2, 3)) for w in (xs, ys))
        dx, dy = xs - mean_x[..., None, None], ys - mean_y[..., None, None]
        var_x, var_y, covariance = ((p * kernel).sum((2, 3)) for p in (dx * dx, dy * dy, dx * dy))
        structure = (2 * covariance + 0.0009) / (var_x + var_y + 0.0009)
        light = (2 * mean_x * mean_y + 0.0001) / (mean_x**2 + mean_y**2 + 0.0001)
        similarities.append((light * structure).mean())
        structures.append(structure.mean())
    return np.mean(similarities), np.mean(structures)


def plain_ms_ssim(before: torch.Tensor, after: torch.Tensor, n_scales: int) -> float:
    pair = [x.permute(1, 2, 0).double().numpy() for x in (before, after)]
    weights = WEIGHTS[:n_scales] / WEIGHTS[:n_scales].sum()
    product = 1.0
    for scale in range(n_scales):
        similarity, structure = plain_ssim(*pair)
        product *= (similarity if scale == n_scales - 1 else structure) ** weights[scale]
        for i, x in enumerate(pair):
            rows = [x[r : r + 2].mean(0) for r in range(0, len(x), 2)]
            columns = [np.stack(rows)[:, c : c + 2].mean(1) for c in range(0, x.shape[1], 2)]
            pair[i] = np.stack(columns, axis=1)
    return product


@pytest.mark.parametrize(
    ("height", "width", "n_scales"), [(176, 181, 5), (64, 90, 3), (21, 40, 2), (20, 40, 1)]
)
def test_ms_ssim_agrees_with_a_plain_one(height, width, n_scales):
    before = smooth(181)[:, :height, :width]
    after = (before + 0.3 * (noise(181, 2)[:, :height, :width] - 0.5)).clamp(0, 1)
    measured = compare_images(before[None], after[None]).whole
    assert scale_count(height, width) == n_scales
    assert measured.ms_ssim == pytest.approx(plain_ms_ssim(before, after, n_scales), abs=1e-5)
    assert measured.ssim == pytest.approx(plain_ms_ssim(before, after, 1), abs=1e-5)


@pytest.mark.parametrize(
    ("side", "n_scales"),
    [(6, 1), (20, 1), (21, 2), (40, 2), (41, 3), (80, 3), (81, 4), (160, 4), (161, 5), (9999, 5)],
)
def test_there_are_as_many_scales_as_the_window_of_11_pixels_fits_into(side, n_scales):
    assert scale_count(side, side) == scale_count(side, 4 * side) == n_scales


def test_coarse_scales_forgive_what_fine_ones_see():
    before = smooth(256)[None]
    after = (before + 0.2 * (noise(256, 3) - 0.5)).clamp(0, 1)
    measured = compare_images(before, after).whole
    assert measured.ms_ssim > measured.ssim + 0.1


def test_scales_share_the_weight_of_all_and_opposites_have_nothing_in_common():
    for n_scales in range(1, 6):
        assert pool_scales([0.7] * n_scales) == pytest.approx(0.7)
        assert pool_scales([1.0] * (n_scales - 1) + [-0.5]) == 0


def test_halve_averages_two_by_two_and_keeps_an_odd_last_row_and_column():
    maps = torch.arange(15.0).view(1, 3, 5)
    assert halve(maps).tolist() == [[[3.0, 5.0, 6.5], [10.5, 12.5, 14.0]]]
    tall = noise(600)[:, :, :7]
    expected = tall[:, :, :6].view(3, 300, 2, 3, 2).mean(dim=(2, 4))
    torch.testing.assert_close(halve(tall)[:, :, :3], expected)
    assert halve(tall.half()).dtype == torch.float32
