import io
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import scipy.ndimage
import torch
from PIL import Image

from gpen_core.comparison import Comparison, Similarity
from gpen_core.geometry.resizing import resize
from training.dataset import align_photos
from training.evaluation import (
    Figures,
    damage_crops,
    mean_figures,
    measure_restoration,
    with_network,
)

SIMILARITY = Similarity(psnr=20.0, ssim=0.5, ms_ssim=0.6, sharpness=0.7, color_error=8.0)


@pytest.fixture(scope="module")
def crops(astronaut, detector):
    """The astronaut's face, as it is and darker; and no face."""
    face = align_photos([astronaut, astronaut * 0], detector, 256)
    assert face.shape == (1, 3, 256, 256)
    return torch.cat([face, face * 0.8, astronaut[:, :, 256:, 256:]])


def test_what_returns_its_input_gains_nothing_and_keeps_clean_portraits(crops):
    measured = measure_restoration(lambda images: images, crops, None)
    assert asdict(measured.restored) == pytest.approx(asdict(measured.damaged), nan_ok=True)
    assert 20 < measured.damaged.psnr < 30
    assert measured.clean.psnr == math.inf
    assert sum(measured.limits().values()) == 1


def test_what_returns_the_originals_reaches_all_limits(crops, detector):
    asked = []

    def restore(images):
        asked.append(len(images))
        done = sum(asked[:-1]) % len(crops)
        return crops[done : done + len(images)]

    measured = measure_restoration(restore, crops, detector, at_once=2)
    assert asked == [2, 1, 2, 1]
    assert measured.restored.psnr == math.inf
    assert measured.restored.landmark_error == 0 < measured.damaged.landmark_error < 10
    assert all(measured.limits().values())


def test_each_limit_is_judged_by_itself(crops, detector):
    good = measure_restoration(lambda images: images, crops[:1], detector)
    good = replace(good, restored=replace(SIMILARITY_AS_FIGURES, psnr=99.0, ssim=1.0))
    for name, value in {"psnr": 1.0, "ssim": 0.1, "landmark_error": 50.0, "sharpness": 1.2}.items():
        worse = replace(good, restored=replace(good.restored, **{name: value}))
        assert list(worse.limits().values()).count(False) == 1
    dull = replace(good, clean=replace(good.clean, psnr=35.9))
    assert list(dull.limits().values()) == [True, True, True, True, False]


SIMILARITY_AS_FIGURES = Figures(**asdict(SIMILARITY), landmark_error=0.0)


def test_the_damage_of_a_crop_depends_on_its_number_and_the_seed_alone(crops):
    damaged = damage_crops(crops)
    assert torch.equal(damage_crops(crops[:2]), damaged[:2])
    assert not torch.equal(damage_crops(crops[1:]), damaged[1:])
    assert not torch.equal(damage_crops(crops, seed=1), damaged)
    assert damaged.shape == crops.shape
    assert 0 <= damaged.min() <= damaged.max() <= 1


def test_the_damage_keeps_the_light_and_has_the_noise_of_the_protocol():
    grey = torch.full((24, 3, 256, 256), 0.5)
    damaged = damage_crops(grey)
    assert damaged.mean(dim=(1, 2, 3)).tolist() == pytest.approx([0.5] * 24, abs=0.004)
    # JPEG and enlarging take a part of it; the light noise of some crops is nearly gone.
    deviation = damaged.std(dim=(1, 2, 3)) * 255
    assert deviation.max() < 12
    assert 2 < deviation.mean() < 7


def area_weights(side: int) -> np.ndarray:
    """(side, 256): how much of each pixel lies in each of the larger ones."""
    edges = np.arange(side + 1)[:, None] * 256 / side
    below = np.clip(edges - np.arange(256), 0, 1)
    return np.diff(below, axis=0) * side / 256


def test_the_damage_is_what_the_protocol_says_step_by_step(crops):
    damaged = damage_crops(crops, seed=7)
    for index, crop in enumerate(crops):
        generator = np.random.default_rng((7, index))
        side = generator.integers(64, 129)
        blur, noise_sigma = generator.uniform(0.2, 2.0), generator.uniform(2.0, 12.0) / 255
        quality = generator.integers(40, 86)
        blurred = scipy.ndimage.gaussian_filter(crop.double(), (0, blur, blur), mode="mirror")
        small = area_weights(side) @ blurred @ area_weights(side).T
        small = small.transpose(1, 2, 0)
        small = small + noise_sigma * generator.standard_normal((side, side, 3))
        file = io.BytesIO()
        pixels = (small.clip(0, 1) * 255).round().astype(np.uint8)
        Image.fromarray(pixels).save(file, "JPEG", quality=int(quality), subsampling="4:2:0")
        decoded = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)[None] / 255
        expected = resize(decoded, (256, 256))[0]
        # Steps of rounding differ by a level here and there, and so do the two JPEG libraries.
        assert float((damaged[index] - expected).abs().mean()) < 0.1 / 255


def test_the_damage_removes_what_is_finer_than_its_grid():
    stripes = (torch.arange(256) % 2).float().expand(1, 3, 256, 256)
    assert damage_crops(stripes).std() < 0.1 < stripes.std()


def test_means_are_of_the_region_and_of_the_landmarks_that_count():
    region = replace(SIMILARITY, psnr=30.0)
    compared = [
        Comparison(SIMILARITY, region, 1.0),
        Comparison(SIMILARITY, None, 3.0),
        Comparison(SIMILARITY, None, None),
    ]
    means = mean_figures(compared)
    assert means.psnr == pytest.approx((30 + 20 + 20) / 3)
    assert means.landmark_error == 2
    assert mean_figures(compared, [False, True, True]).landmark_error == 3
    assert math.isnan(mean_figures(compared[2:]).landmark_error)


def test_a_network_of_any_size_restores_crops_of_256_pixels(crops):
    class Inverts(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.config = type("Config", (), {"size": 512})
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def activation_bytes(self):
            return 0

        def forward(self, images):
            assert images.shape[2:] == (512, 512)
            return -images

    with torch.no_grad():
        restored = with_network(Inverts())(crops[:1])
    assert restored.shape == (1, 3, 256, 256)
    assert float((restored - (1 - crops[:1])).abs().mean()) < 0.02
