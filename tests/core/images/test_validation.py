"""What is said of images and masks that cannot be worked on."""

import pytest
import torch

from gpen_core.errors import TensorSpecError
from gpen_core.images.validation import check_images, check_masks, is_finite


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("n_channels", [3, 4])
def test_floating_images_channels_first_are_accepted(dtype, n_channels):
    check_images(torch.zeros(0, n_channels, 1, 1, dtype=dtype))


@pytest.mark.parametrize(
    ("images", "remedy"),
    [
        (torch.zeros(3, 8, 8), r"images\[None\]"),
        (torch.zeros(1, 1, 8, 8), r"images\.expand\(-1, 3, -1, -1\)"),
        (torch.zeros(1, 8, 8, 3), r"images\.movedim\(-1, 1\)"),
        (torch.zeros(1, 2, 8, 8), "RGB or RGBA, channels first"),
        (torch.zeros(1, 3, 0, 8), "at least one pixel"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "images / 255"),
    ],
)
def test_other_images_are_refused_with_the_remedy(images, remedy):
    with pytest.raises(TensorSpecError, match=f"images: expected .*got .*{remedy}"):
        check_images(images)


def test_masks_are_one_for_all_images_or_one_for_each():
    images = torch.zeros(3, 3, 4, 5)
    for masks in (None, torch.zeros(1, 4, 5), torch.zeros(3, 4, 5)):
        check_masks(masks, images)
    for masks in (torch.zeros(4, 5), torch.zeros(2, 4, 5), torch.zeros(3, 5, 4)):
        with pytest.raises(TensorSpecError, match=r"expected \(1 or 3, 4, 5\), got"):
            check_masks(masks, images)


def test_values_whose_sum_overflows_are_finite_all_the_same():
    assert is_finite(torch.full((100,), 60_000.0, dtype=torch.float16))
    assert is_finite(torch.zeros(0))
    for wrong in (torch.nan, torch.inf, -torch.inf):
        assert not is_finite(torch.tensor([0.0, wrong]))
    assert not is_finite(torch.tensor([torch.inf, -torch.inf]))
