import sys

import pytest

import gpen_core
from gpen_core.__main__ import COMMANDS, main


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


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"gpen {gpen_core.__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_page_of_its_own(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f" {command} " in capsys.readouterr().out
