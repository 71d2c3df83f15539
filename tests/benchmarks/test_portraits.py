import math
from dataclasses import asdict, replace

import pytest
import torch
from PIL import Image

import portraits
from gpen_core.comparison import Comparison, Similarity
from portraits import (
    align_portraits,
    damage_crops,
    list_portraits,
    mean_figures,
    measure_restoration,
    with_network,
)

SIMILARITY = Similarity(psnr=20.0, ssim=0.5, ms_ssim=0.6, sharpness=0.7, color_error=8.0)


@pytest.fixture(scope="module")
def crops(astronaut, detector):
    """The astronaut's face, as it is and darker; and no face."""
    face = align_portraits([astronaut, astronaut * 0], detector)
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


SIMILARITY_AS_FIGURES = portraits.Figures(**asdict(SIMILARITY), landmark_error=0.0)


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

        def forward(self, images):
            assert images.shape[2:] == (512, 512)
            return -images

    with torch.no_grad():
        restored = with_network(Inverts())(crops[:1])
    assert restored.shape == (1, 3, 256, 256)
    assert float((restored - (1 - crops[:1])).abs().mean()) < 0.02


def test_pictures_are_listed_by_name_or_as_a_file_says(tmp_path):
    for name in ("b.png", "a.jpg", "c.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [file.name for file in list_portraits(tmp_path)] == ["a.jpg", "b.png", "c.png"]
    assert [file.name for file in list_portraits(tmp_path, limit=1)] == ["a.jpg"]
    names = tmp_path / "notes.txt"
    names.write_text("# held out\nc.png\n\na.jpg\n")
    assert [file.name for file in list_portraits(tmp_path, names)] == ["c.png", "a.jpg"]
    names.write_text("d.png\n")
    with pytest.raises(FileNotFoundError, match=r"notes\.txt lists, got no d\.png"):
        list_portraits(tmp_path, names)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="got none"):
        list_portraits(tmp_path / "empty")


def test_portraits_are_read_in_colour_and_without_alpha(tmp_path):
    Image.new("LA", (20, 30), (128, 7)).save(tmp_path / "grey.png")
    read = portraits.read_portrait(tmp_path / "grey.png")
    assert torch.equal(read, torch.full((1, 3, 30, 20), 128 / 255))
