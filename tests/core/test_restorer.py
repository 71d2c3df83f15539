"""One object that restores pictures, arrays and tensors alike."""

from dataclasses import replace

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

import gpen_core
from gpen_core import BlendSettings, CanvasSettings, Restorer, TensorSpecError
from gpen_core.bundled import BUNDLED_DETECTOR, BUNDLED_RESTORER
from support.media import FACE, HEIGHT, WIDTH, KnownFaces, picture_samples

DTYPES = [np.uint8, np.uint16, np.float16, np.float32, np.float64]


@pytest.fixture(scope="module")
def changing(random_network, detector):
    """Changes one face in each image beyond recognition, inside its mask."""
    return KnownFaces(random_network, detector)


@pytest.fixture(scope="module")
def keeping(identity, detector):
    """Restores one face in each image to what it was."""
    return KnownFaces(identity, detector)


def array(dtype, n_channels=3, seed=0):
    if np.issubdtype(dtype, np.integer):
        return picture_samples(dtype, n_channels, seed)
    samples = np.random.default_rng(seed).random((HEIGHT, WIDTH, n_channels))
    return samples.astype(dtype)  # float64 keeps bits that float32 has not


def outside():
    """(HEIGHT, WIDTH) bool: where no part of a face is."""
    x, y, size = (round(value) for value in FACE)
    mask = np.ones((HEIGHT, WIDTH), bool)
    mask[y : y + size, x : x + size] = False
    return mask


@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_array_comes_back_as_it_was_but_for_its_face(changing, dtype, n_channels):
    image = array(dtype, n_channels)
    before = image.copy()
    restored = changing(image)
    assert np.array_equal(image, before)
    assert (restored.dtype, restored.shape) == (image.dtype, image.shape)
    assert np.array_equal(restored[outside()], image[outside()])
    assert not np.array_equal(restored, image)
    if n_channels in (2, 4):
        assert np.array_equal(restored[..., -1], image[..., -1])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_identity_gives_back_every_sample(keeping, dtype):
    image = array(dtype)
    difference = np.abs(keeping(image).astype(int) - image)
    assert difference.max() <= (0 if dtype == np.uint8 else 1)


def test_a_grey_array_without_channels_is_one_with_a_channel(changing):
    image = array(np.uint8, 1)
    assert np.array_equal(changing(image[..., 0]), changing(image)[..., 0])


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_a_pillow_image_comes_back_in_its_mode_with_its_profile(changing, mode):
    samples = array(np.uint8, {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}[mode])
    image = Image.fromarray(samples[..., 0] if mode == "L" else samples)
    image.info["icc_profile"] = b"profile"
    restored = changing(image)
    assert (restored.mode, restored.size) == (mode, image.size)
    assert restored.info == image.info
    shape = samples.shape
    assert np.array_equal(np.asarray(restored).reshape(shape), changing(samples))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("n_images", [None, 1, 2])
def test_a_tensor_comes_back_as_it_was_but_for_its_faces(changing, dtype, n_images):
    shape = (3, HEIGHT, WIDTH) if n_images is None else (n_images, 4, HEIGHT, WIDTH)
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    images = images.to(dtype)
    restored = changing(images)
    assert (restored.dtype, restored.shape) == (images.dtype, images.shape)
    is_outside = torch.from_numpy(outside())
    assert torch.equal(restored[..., is_outside], images[..., is_outside])
    assert not torch.equal(restored, images)


def test_settings_are_those_of_the_functions(changing):
    image = array(np.uint8)
    assert np.array_equal(replace(changing, blending=BlendSettings(blend=0))(image), image)
    enlarged = replace(changing, canvas=CanvasSettings("scale", 2.0))(image)
    assert enlarged.shape == (2 * HEIGHT, 2 * WIDTH, 3)


def test_the_bundled_networks_restore_a_photo():
    restorer = Restorer()
    before = skimage.data.astronaut()
    after = restorer(before)
    changed = (before != after).any(axis=2)
    (box,) = restorer.find(torch.from_numpy(before / 255.0).movedim(-1, 0)[None]).boxes
    left, top, right, bottom = box.int().tolist()
    assert changed[top:bottom, left:right].mean() > 0.5
    assert not changed[bottom + 200 :].any()


def test_networks_are_given_as_files_or_loaded():
    paths = Restorer(str(BUNDLED_RESTORER), BUNDLED_DETECTOR)
    loaded = Restorer(gpen_core.load_model(), gpen_core.load_detector())
    for one, other in ((paths.model, loaded.model), (paths.detector, loaded.detector)):
        assert type(one) is type(other)
        for weight, same in zip(one.parameters(), other.parameters(), strict=True):
            assert torch.equal(weight, same)
    assert replace(paths, indices="0").model is paths.model


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("photo.png", r"got str\. Open a file"),
        (Image.new("CMYK", (8, 8)), "got CMYK.*convert"),
        (Image.new("I;16", (8, 8)), "16 bits with np.asarray"),
        (np.full((8, 8, 3), 255.0), "up to 255. Divide by 255"),
        (torch.full((3, 8, 8), 255.0), "up to 255. Divide by 255"),
        (np.zeros((3, 8, 8)), r"expected \(H, W, C\)"),
        (np.zeros((8, 8, 3), np.int32), "got int32"),
        (torch.zeros(8, 8, 3), r"got \(8, 8, 3\).*movedim\(-1, 0\)"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), "Convert 8-bit"),
    ],
)
def test_anything_else_is_refused_with_what_to_do(keeping, image, message):
    with pytest.raises(TensorSpecError, match=message):
        keeping(image)
