"""The demo from photo to pictures, in a real ComfyUI, with the bundled network."""

import sys

import numpy as np
import pytest
from PIL import Image

import demo
import model_files
from contact_sheet import BAR_PX, COLUMN_PX, SPACING_PX, contact_sheet
from gpen_core.checkpoints.checkpoint import save_checkpoint
from gpen_core.network.config import GpenConfig
from gpen_core.network.synthetic import random_state_dict
from sample import damage, sample_photo

# Around the astronaut's face.
FACE = (slice(0, 260), slice(110, 350))


@pytest.fixture
def models(tmp_path, monkeypatch):
    """The user's models folder, empty."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.delenv("COMFYUI_DIR", raising=False)
    monkeypatch.setenv("GPEN_MODELS_DIR", str(folder))
    monkeypatch.setattr(model_files, "DOWNLOAD_FOLDER", tmp_path / "own")
    return folder


@pytest.fixture
def output(tmp_path, monkeypatch):
    """Where the demo writes."""
    folder = tmp_path / "demo"
    monkeypatch.setattr(demo, "OUTPUT_FOLDER", folder)
    return folder


def picture(folder, name) -> np.ndarray:
    return np.asarray(Image.open(folder / f"{name}.png")).astype(int)


@pytest.mark.host
def test_the_sample_is_damaged_and_its_face_comes_nearer_to_the_original(models, output, capsys):
    figures = demo.run_demo()
    assert figures["restored"].psnr > figures["damaged"].psnr + 0.5
    assert figures["restored"].ssim > figures["damaged"].ssim + 0.02
    original, damaged, restored = (
        picture(output, name) for name in ("original", "damaged", "restored")
    )
    np.testing.assert_array_equal(original, sample_photo())
    np.testing.assert_array_equal(damaged, damage(sample_photo()))
    changed = np.abs(restored - damaged).max(axis=2)
    assert changed[FACE].max() > 10
    changed[FACE] = 0
    assert changed.max() == 0
    printed = capsys.readouterr().out
    assert "with GPEN-small-256 (bundled) at 256 px" in printed
    for name in ("damaged", "restored"):
        assert f"{name}: {figures[name].psnr:.1f} dB, SSIM {figures[name].ssim:.3f}" in printed
    assert picture(output, "side_by_side").shape[1] == 3 * COLUMN_PX + 2 * SPACING_PX


@pytest.mark.host
def test_a_photo_of_ones_own_is_restored_as_it_is_with_ones_own_network(
    models, output, tmp_path, monkeypatch, capsys
):
    (models / "gpen").mkdir()
    state_dict = random_state_dict(GpenConfig(256, 1, 0.0625))
    save_checkpoint(state_dict, models / "gpen" / "GPEN-mine-256.safetensors")
    photo = tmp_path / "photo.png"
    Image.fromarray(sample_photo()).save(photo)
    output.mkdir()
    (output / "damaged.png").touch()  # of an earlier run
    monkeypatch.setattr(sys, "argv", ["demo.py", str(photo)])
    assert demo.main() == 0
    assert "with GPEN-mine-256.safetensors" in capsys.readouterr().out
    written = sorted(path.name for path in output.iterdir())
    assert written == ["original.png", "restored.png", "side_by_side.png"]
    np.testing.assert_array_equal(picture(output, "original"), sample_photo())
    changed = np.abs(picture(output, "restored") - sample_photo()).max(axis=2)
    assert changed[FACE].max() > 10


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [(["absent.jpg"], "absent.jpg: expected an image"), (["--model", "x.pth"], "got 'x.pth'")],
)
def test_what_is_not_there_ends_with_1_and_a_reason(models, monkeypatch, capsys, arguments, reason):
    monkeypatch.setattr(sys, "argv", ["demo.py", *arguments])
    assert demo.main() == 1
    assert reason in capsys.readouterr().err


def test_the_damage_is_the_same_every_time_and_leaves_the_size():
    pixels = damage(sample_photo())
    assert (pixels.shape, pixels.dtype) == ((512, 512, 3), np.uint8)
    np.testing.assert_array_equal(pixels, damage(sample_photo()))
    assert np.abs(pixels.astype(int) - sample_photo())[FACE].mean() > 5


def test_a_contact_sheet_shows_every_picture_and_its_largest_face_below():
    pictures = [np.full((200, 400, 3), level, np.uint8) for level in (10, 90)]
    for pixels in pictures:
        pixels[100:150, 300:350] = 200
        pixels[20:30, 20:30] = 250
    sheet = contact_sheet(pictures, ["a", "b"], [(20, 20, 30, 30), (300, 100, 350, 150)])
    top, bottom = 256, COLUMN_PX
    assert sheet.shape == (
        BAR_PX + top + SPACING_PX + bottom,
        2 * COLUMN_PX + SPACING_PX,
        3,
    )
    for column, level in enumerate((10, 90)):
        x = column * (COLUMN_PX + SPACING_PX)
        assert (sheet[BAR_PX + 200, x + 20] == level).all()
        face = sheet[BAR_PX + top + SPACING_PX :, x : x + COLUMN_PX]
        assert (face[bottom // 2, bottom // 2] == 200).all()
        assert (face[5, 5] == level).all()
    without = contact_sheet(pictures, ["a", "b"])
    np.testing.assert_array_equal(without, sheet[: BAR_PX + top])


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (900, 3)])
def test_a_contact_sheet_takes_pictures_of_any_size(size):
    pictures = [np.zeros((*size, 3), np.uint8)] * 2
    sheet = contact_sheet(pictures, ["a", "b"], [(0, 0, size[1], size[0])])
    assert sheet.shape[1] == 2 * COLUMN_PX + SPACING_PX
