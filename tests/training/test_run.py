"""A run of training as its user starts it."""

import csv
import json
import os
import signal

import pytest
import safetensors
import skimage.data
import torch
from PIL import Image

import gpen_core
from gpen_core.network.config import GpenConfig
from gpen_core.network.synthetic import identity_state_dict
from training.command import main
from training.trainer import Trainer

NAME = "GPEN-tiny"


@pytest.fixture
def photos(tmp_path):
    """Two photos of a face: whichever is held out, the other is trained on."""
    folder = tmp_path / "photos"
    folder.mkdir()
    photo = Image.fromarray(skimage.data.astronaut())
    photo.save(folder / "a.png")
    photo.resize((400, 400)).save(folder / "b.png")
    return folder


@pytest.fixture
def output(tmp_path):
    return tmp_path / "run"


def train(photos, output, *more):
    narrow = [] if "--start" in more else ["--narrow", "0.125"]
    fixed = ["--output", str(output), "--name", NAME, "--held-out", "1", "--device", "cpu"]
    return main([str(photos), *fixed, *narrow, "--batch", "2", *more])


def metadata(output):
    with safetensors.safe_open(output / f"{NAME}.safetensors", framework="pt") as file:
        return file.metadata()


def test_a_run_leaves_a_network_that_loads_like_any_other(photos, output):
    assert train(photos, output, "--pictures", "4") == 0

    path = output / f"{NAME}.safetensors"
    network = gpen_core.load_model(path)
    assert network.config == GpenConfig(256, 1, 0.125, n_mlp=4, style_dim=256)
    told = metadata(output)
    assert "not one of the published GPEN checkpoints" in told["notice"]
    assert told["gpen_task"] == "restoration"
    assert told["photos"] == "1"
    assert told["pictures_seen"] == "4"
    assert json.loads(told["recipe"])["batch"] == 2
    assert {w.dtype for w in gpen_core.load_state_dict(path).values()} == {torch.float16}


def test_the_same_command_goes_on_where_it_was(photos, output, capsys):
    train(photos, output, "--pictures", "4")
    train(photos, output, "--pictures", "8")

    assert "Going on from 4 pictures" in capsys.readouterr().out
    assert metadata(output)["pictures_seen"] == "8"


def test_ctrl_c_ends_a_run_after_the_step_and_keeps_what_it_reached(photos, output, monkeypatch):
    step, handler = Trainer.step, signal.getsignal(signal.SIGINT)

    def interrupted(self):
        os.kill(os.getpid(), signal.SIGINT)
        return step(self)

    monkeypatch.setattr(Trainer, "step", interrupted)

    assert train(photos, output, "--pictures", "400") == 0

    assert metadata(output)["pictures_seen"] == "2"
    assert signal.getsignal(signal.SIGINT) is handler


def test_log_and_sheets_come_at_their_intervals(photos, output, monkeypatch):
    from training import command

    monkeypatch.setattr(command.Plan, "report_every", 4, raising=False)
    defaults = command.Plan.__init__.__defaults__
    changed = tuple({200: 4, 4000: 8}.get(value, value) for value in defaults)
    monkeypatch.setattr(command.Plan.__init__, "__defaults__", changed)

    train(photos, output, "--pictures", "8")

    with (output / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["pictures"] for row in rows] == ["4", "8"]
    assert float(rows[0]["fidelity"]) > 0
    assert rows[1]["critic"]
    assert not rows[0]["clean_psnr"]
    assert float(rows[1]["clean_psnr"]) > 20
    assert [sheet.name for sheet in (output / "sheets").iterdir()] == ["000000008.png"]
    with Image.open(output / "sheets" / "000000008.png") as sheet:
        assert sheet.size == (256, 3 * 256)


def test_a_checkpoint_of_ones_own_is_trained_on(photos, output, tmp_path):
    own = tmp_path / "own.pth"
    config = GpenConfig(256, 1, 1 / 16, n_mlp=3, style_dim=24)
    torch.save({"g_ema": identity_state_dict(config)}, own)

    assert train(photos, output, "--pictures", "2", "--start", str(own)) == 0

    assert gpen_core.load_model(output / f"{NAME}.safetensors").config == config
    assert metadata(output)["notice"] == f"{NAME} was trained further from own.pth."


def test_a_folder_without_photos_is_an_error_in_a_sentence(tmp_path, output, capsys):
    (tmp_path / "empty").mkdir()

    assert train(tmp_path / "empty", output, "--pictures", "2") == 1

    assert "expected more than the 1 photos that are held out, got 0" in capsys.readouterr().err


def test_a_state_of_another_network_is_refused_in_a_sentence(photos, output, capsys):
    train(photos, output, "--pictures", "2")

    assert train(photos, output, "--pictures", "4", "--narrow", "0.25") == 1

    assert "expected the state of a run of the same network" in capsys.readouterr().err


def test_a_network_too_narrow_to_carry_the_picture_is_refused_in_a_sentence(photos, output, capsys):
    assert train(photos, output, "--pictures", "2", "--narrow", "0.03125") == 1

    assert "expected 6 channels or more at 256 pixels" in capsys.readouterr().err
