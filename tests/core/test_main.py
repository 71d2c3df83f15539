import json
import sys

import pytest
import torch

import gpen_core
from gpen_core.__main__ import COMMANDS, main
from gpen_core.bundled import BUNDLED_RESTORER
from gpen_core.checkpoints.checkpoint import read_notice
from gpen_core.network.config import GpenConfig
from gpen_core.network.synthetic import random_state_dict

CONFIG = GpenConfig(256, 1, 0.0625, style_dim=32)


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "model.pth"
    torch.save({"g_ema": random_state_dict(CONFIG)}, path)
    return path


def test_info_says_what_a_checkpoint_is(checkpoint, capsys):
    assert main(["info", str(checkpoint), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["size"] == 256
    assert found["narrow"] == 0.0625
    assert found["published_as"] is None
    assert len(found["sha256"]) == 64
    assert main(["info", str(checkpoint)]) == 0
    assert "not published" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["bundled"]])
def test_info_without_a_file_tells_about_the_bundled_network(arguments, capsys):
    assert main(["info", *arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["file"] == str(BUNDLED_RESTORER)
    assert found["size"] == 256
    assert found["dtype"] == "float16"
    assert found["notice"] == read_notice(BUNDLED_RESTORER)
    assert main(["info", *arguments]) == 0
    assert read_notice(BUNDLED_RESTORER) in capsys.readouterr().out


def test_convert_writes_a_file_that_loads(checkpoint, tmp_path, capsys):
    target = tmp_path / "model.safetensors"
    assert main(["convert", str(checkpoint), str(target)]) == 0
    assert "GPEN-256" in capsys.readouterr().out
    assert gpen_core.load_model(target).config == CONFIG


def test_bench_prints_a_line_for_each_dtype_of_a_checkpoint(checkpoint, capsys):
    arguments = ["bench", "--model", str(checkpoint), "--device", "cpu", "--runs", "1"]
    assert main([*arguments, "--dtype", "fp32", "bf16", "--batch", "2"]) == 0
    heading, columns, *lines = (line.split() for line in capsys.readouterr().out.splitlines())
    assert heading[-3:] == ["2", "at", "once"]
    assert columns == ["size", "dtype", "ms/face", "faces/s"]
    assert [line[:2] for line in lines] == [["256", "fp32"], ["256", "bf16"]]
    for _, _, milliseconds, rate in lines:
        assert float(milliseconds) * float(rate) == pytest.approx(1000, rel=0.01)


def test_bench_times_random_weights_of_the_published_width(capsys):
    assert main(["bench", "--size", "256", "--device", "cpu", "--runs", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[2].split()[:2] == ["256", "fp32"]


@pytest.mark.parametrize("arguments", [["--runs", "0"], ["--batch", "-1"], ["--size", "300"]])
def test_bench_refuses_numbers_that_make_no_sense(arguments, capsys):
    with pytest.raises(SystemExit):
        main(["bench", *arguments])
    assert arguments[0] in capsys.readouterr().err


def test_a_file_that_cannot_be_read_is_an_error_on_stderr(tmp_path, capsys):
    assert main(["info", str(tmp_path / "absent.pth")]) == 1
    captured = capsys.readouterr()
    assert "absent.pth" in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("arguments", [["--help"], ["no-such-command"]])
def test_without_a_command_all_are_listed_and_none_is_imported(arguments, monkeypatch, capsys):
    for name in COMMANDS:
        monkeypatch.setitem(sys.modules, f"gpen_core.commands.{name}", None)
    with pytest.raises(SystemExit):
        main(arguments)
    printed = capsys.readouterr()
    assert all(name in printed.out + printed.err for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_page_of_its_own(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f" {command} " in capsys.readouterr().out
