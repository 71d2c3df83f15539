"""The command ``train``, which needs a folder that not every installation has."""

import sys

import pytest

from gpen_core.__main__ import main


def test_the_command_line_offers_training(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["train", "--help"])

    assert ended.value.code == 0
    assert "--start FILE" in capsys.readouterr().out


def test_without_the_folder_the_command_says_what_is_missing(monkeypatch, capsys):
    for name in ("gpen_training", "training", "training.command"):
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(SystemExit) as ended:
        main(["train", "photos"])

    assert ended.value.code == 2
    assert "expected the folder training/, got none" in capsys.readouterr().err


def test_a_library_that_training_misses_is_named(monkeypatch):
    monkeypatch.delitem(sys.modules, "training.command")
    monkeypatch.setitem(sys.modules, "training.run", None)

    with pytest.raises(ModuleNotFoundError, match=r"training\.run"):
        main(["train", "--help"])
