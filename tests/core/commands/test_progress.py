"""Bars for those who watch, lines for everybody."""

import sys

import pytest

from gpen_core.commands.progress import Progress


@pytest.fixture
def watch(monkeypatch):
    """Lets somebody look at stderr, which is another stream while fixtures are set up."""
    return lambda: monkeypatch.setattr(sys.stderr, "isatty", lambda: True)


def test_lines_go_to_their_streams_where_nobody_watches(capsys):
    with Progress(2, is_quiet=False) as progress:
        progress.frames(1, 4)
        progress.say("done")
        progress.say("failed", is_error=True)
        progress.file_done()
    assert capsys.readouterr() == ("done\n", "failed\n")


def test_bars_count_the_frames_of_the_current_file_beside_lines(watch, capsys):
    watch()
    with Progress(2, is_quiet=False) as progress:
        progress.frames(10, 14)
        progress.say("done")
        progress.file_done()
    captured = capsys.readouterr()
    assert captured.out == "done\n"
    assert "restore faces" in captured.err
    assert "3/7" in captured.err


def test_the_first_half_of_the_steps_finds_faces(watch, capsys):
    watch()
    with Progress(1, is_quiet=False) as progress:
        progress.frames(7, 14)
    err = capsys.readouterr().err
    assert "find faces" in err
    assert "7/7" in err


def test_quiet_shows_no_bars(watch, capsys):
    watch()
    with Progress(2, is_quiet=True) as progress:
        progress.frames(10, 14)
        progress.file_done()
    assert capsys.readouterr() == ("", "")


def test_without_tqdm_there_are_lines_alone(watch, monkeypatch, capsys):
    watch()
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with Progress(1, is_quiet=False) as progress:
        progress.frames(10, 14)
        progress.say("done")
    assert capsys.readouterr() == ("done\n", "")
