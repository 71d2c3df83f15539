import math
import re
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import quality
from gpen_core.checkpoints.checkpoint import save_checkpoint
from gpen_core.degradation import DegradeSettings
from gpen_core.network.build import build_model
from gpen_core.network.config import GpenConfig
from gpen_core.network.synthetic import identity_state_dict
from sheet import draw_sheet, markdown_table
from support.geometry import noise
from whole_photos import N_FRAMES, PAN_PX, hold_still, measure_flicker, measure_photos, pan

IDENTITY = identity_state_dict(GpenConfig(256, 1, 0.0625))


@pytest.fixture(scope="module")
def network():
    return build_model(IDENTITY).requires_grad_(False)


def test_a_pan_that_is_held_still_shows_each_thing_in_one_place():
    photo = noise(48)[None]
    for step in (0, PAN_PX):
        frames = pan(photo, step)
        assert frames.shape == (N_FRAMES, 3, 48, 48)
        still = hold_still(frames, step)
        assert torch.equal(still, still[:1].expand_as(still))
        assert torch.equal(still[0], photo[0, :, :, (N_FRAMES - 1) * step :])


def test_an_undamaged_photo_and_a_network_that_returns_its_input_change_nothing(
    astronaut, detector, network
):
    nothing = DegradeSettings()
    measured = measure_photos([astronaut, astronaut * 0], nothing, network, detector)
    assert measured.n_found == 1
    assert measured.figures.psnr > 100
    assert measured.figures.landmark_error == pytest.approx(0, abs=0.01)
    assert measured.seam == pytest.approx(measured.seam_before, rel=1e-3)
    change = measure_flicker([astronaut], nothing, network, detector)
    assert change.still == pytest.approx(0, abs=1e-3)
    assert change.pan == pytest.approx(0, abs=0.1)


def test_a_photo_that_is_not_restored_has_no_seam(astronaut, detector):
    measured = measure_photos([astronaut], DegradeSettings(), None, detector)
    assert measured.figures.psnr == math.inf
    assert math.isnan(measured.seam)


def test_a_table_gives_numbers_the_digits_that_they_are_worth():
    table = markdown_table(["a", "b"], [["x", 0.12345], [math.nan, math.inf], [12.345, 7]])
    assert table.splitlines() == [
        "| a | b |",
        "| --- | --- |",
        "| x | 0.123 |",
        "| - | equal |",
        "| 12.35 | 7 |",
    ]


def test_a_sheet_has_a_row_of_pictures_under_each_label(tmp_path):
    rows = {"white": torch.ones(2, 3, 40, 40), "red": torch.zeros(2, 3, 40, 40)}
    rows["red"][:, 0] = 1
    draw_sheet(tmp_path / "sheet.png", rows, ["left", "right"], cell_px=20)
    with Image.open(tmp_path / "sheet.png") as sheet:
        red = (np.asarray(sheet) == (255, 0, 0)).all(axis=2)
        assert red.sum() == 2 * 20 * 20
        assert red.any(axis=1).argmax() > sheet.height / 2


def test_the_script_writes_a_table_and_sheets_for_each_network(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("GPEN_MODELS_DIR", raising=False)
    save_checkpoint(IDENTITY, tmp_path / "mine.safetensors")
    arguments = ["--model", str(tmp_path / "mine.safetensors"), "--device", "cpu"]
    arguments += ["--presets", "webcam", "--output", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["quality.py", *arguments])
    grad_was_on = torch.is_grad_enabled()
    try:
        quality.main()
    finally:
        torch.set_grad_enabled(grad_was_on)
    printed = capsys.readouterr().out
    text = (tmp_path / "out" / "quality.md").read_text("utf-8")
    rows = ("damaged, bicubic", "GPEN-small-256", "mine")
    for row in (*rows, "webcam | damaged", "webcam | GPEN-small-256", "webcam | mine"):
        (line,) = re.findall(rf"^\| {re.escape(row)} \|.*$", text, re.MULTILINE)
        assert line in printed
        assert line.count("|") in (10, 15)
    assert re.search(r"PSNR at least 1.5 dB above the input: [+-]0.00: no", text)
    for name in ("crops.png", "presets.png"):
        with Image.open(tmp_path / "out" / name) as sheet:
            assert sheet.height > 3 * 192
