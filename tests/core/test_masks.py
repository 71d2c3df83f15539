import pytest
import torch

from gpen_core.masks import box_mask


def grid(n: int = 200) -> torch.Tensor:
    steps = (torch.arange(n) + 0.5) / n
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack((x, y), -1)


def test_box_mask_is_one_inside_zero_outside_and_soft_between():
    points = torch.tensor([[0.5, 0.5], [0.01, 0.5], [0.5, 0.99], [-1.0, 0.5], [0.1, 0.5]])
    mask = box_mask(points, padding=0.05, feather=0.1)
    assert mask[:4].tolist() == [1, 0, 0, 0]
    assert mask[4].item() == pytest.approx(0.5)  # in the middle of the ramp


def test_box_mask_without_feather_has_a_hard_edge():
    assert set(box_mask(grid(), 0.1, 0).unique().tolist()) == {0.0, 1.0}


def test_box_mask_without_padding_covers_the_crop():
    assert bool((box_mask(grid(), 0, 0) == 1).all())


@pytest.mark.parametrize("feather", [0.05, 0.3, 0.5])
def test_box_mask_is_symmetric_and_falls_towards_the_edge(feather):
    mask = box_mask(grid(), 0.02, feather)
    torch.testing.assert_close(mask, mask.flip(0))
    torch.testing.assert_close(mask, mask.T)
    along_the_middle = mask[100, :100]
    assert bool((along_the_middle.diff() >= 0).all())
    assert along_the_middle.diff().max() <= 1.6 / (feather * 200)  # no step anywhere


def test_box_mask_of_full_padding_is_empty():
    assert not box_mask(grid(), 0.5, 0.1).any()
