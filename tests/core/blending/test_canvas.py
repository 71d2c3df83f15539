import numpy as np
import pytest
import torch
from PIL import Image

from gpen_core import Faces, resize
from gpen_core.blending.canvas import (
    CanvasSettings,
    CanvasSize,
    canvas_scale,
    enlarge,
    enlarged_size,
)
from gpen_core.errors import SettingError
from support.faces import faces_at
from support.geometry import noise, smooth
from support.metrics import psnr


@pytest.mark.parametrize("size", [(100, 150), (87, 64), (64, 200)])
def test_enlarge_agrees_with_pillow(size):
    image = noise(64)[:, :60]
    height, width = size[0], max(size[1], 64)
    expected = np.stack(
        [
            Image.fromarray(channel.numpy()).resize((width, height), Image.Resampling.LANCZOS)
            for channel in image
        ]
    )
    low, high = image.amin(dim=(1, 2)).numpy(), image.amax(dim=(1, 2)).numpy()
    expected = np.clip(expected, low[:, None, None], high[:, None, None])
    # Pillow drops the taps beyond the border, here the border pixel goes on.
    inner = (slice(None), slice(8, -8), slice(8, -8))
    np.testing.assert_allclose(
        enlarge(image[None], height, width)[0].numpy()[inner], expected[inner], atol=2e-6
    )


def test_enlarge_puts_pixel_centres_where_they_belong():
    picture = smooth(200)
    half = torch.nn.functional.avg_pool2d(picture, 2)
    assert psnr(enlarge(half[None], 200, 200)[0][:, 8:-8, 8:-8], picture[:, 8:-8, 8:-8]) > 60


def test_enlarge_keeps_range_dtype_count_and_its_input():
    images = torch.stack([noise(9), torch.ones(3, 9, 9)]).half()
    before = images.clone()
    enlarged = enlarge(images, 20, 31)
    assert enlarged.shape == (2, 3, 20, 31)
    assert enlarged.dtype == torch.float16
    assert bool((enlarged[1] == 1).all())
    assert enlarged.max() <= images.max()
    assert torch.equal(images, before)
    same = enlarge(images, 9, 9)
    assert torch.equal(same, images)
    assert same.data_ptr() != images.data_ptr()


@pytest.mark.parametrize("size", [(20, 20), (60, 70), (64, 40), (150, 140)])
def test_enlarge_takes_colors_of_any_size_and_interpolates_the_rest(size):
    images = torch.stack([smooth(30), 1 - smooth(30)]).flatten(0, 1)[None, :5]
    given = 1 - enlarge(images[:, :3], 150, 140)  # another picture
    result = enlarge(images, 60, 70, colors=resize(given, size))
    assert torch.equal(result[:, 3:], enlarge(images, 60, 70)[:, 3:])
    assert psnr(result[:, :3], resize(given, (60, 70))) > 40
    assert torch.equal(result[:, :3], enlarge(images[:, :3], 60, 70, colors=resize(given, size)))


def test_enlarge_of_one_pixel():
    assert torch.equal(enlarge(torch.full((1, 4, 1, 1), 0.3), 5, 3), torch.full((1, 4, 5, 3), 0.3))


FACES = faces_at((0, 0.0, 0.0, 128.0), (0, 300.0, 0.0, 64.0))


@pytest.mark.parametrize(
    ("size", "options", "expected"),
    [
        ("as input", {}, 1.0),
        ("scale", {"scale": 3.5}, 3.5),
        ("scale", {"scale": 8.0, "max_megapixels": 4.0}, 2.0),
        ("fit faces", {}, 4.0),  # 512 / 128, of the larger face
        ("fit faces", {"max_megapixels": 9.0}, 3.0),
        ("fit faces", {"max_megapixels": 0.5}, 1.0),
    ],
)
def test_canvas_scale(size, options, expected):
    settings = CanvasSettings(size, **options)
    assert canvas_scale(FACES, (1000, 1000), 512, settings) == pytest.approx(expected, 1e-4)


def test_canvas_scale_is_one_without_faces_and_for_faces_larger_than_the_crop():
    fit = CanvasSettings(CanvasSize.FIT_FACES)
    assert canvas_scale(Faces.empty(), (100, 100), 512, fit) == 1
    assert canvas_scale(faces_at((0, 0.0, 0.0, 900.0)), (1000, 1000), 512, fit) == 1
    assert canvas_scale(faces_at((0, 0.0, 0.0, 10.0)), (100, 100), 2048, fit) == 8


def test_canvas_scale_refuses_factors_out_of_range():
    with pytest.raises(SettingError, match="1 to 8"):
        CanvasSettings("scale", scale=9)


def test_enlarged_size_is_in_whole_pixels():
    assert enlarged_size((101, 33), 2.5) == (252, 82)
    assert enlarged_size((1, 1), 1.0) == (1, 1)
