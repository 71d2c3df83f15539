"""``python -m gpen_core download``: what it prints and how it ends."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpen_core.__main__ import main
from gpen_core.checkpoints.registry import KNOWN_MODELS, find_known
from gpen_core.commands import download as command
from support.downloads import CONTENT, NAME, known, names_in
from support.file_server import status

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def published(monkeypatch):
    """One known file, and it is that of the server."""
    monkeypatch.setattr(command, "find_known", lambda name: known() if name == NAME else None)


@pytest.mark.parametrize("arguments", [[], ["--list"]])
def test_every_file_is_listed_with_its_address_and_hash(arguments, capsys):
    assert main(["download", *arguments]) == 0
    entries = re.split(r"\n(?! )", capsys.readouterr().out.rstrip())
    for entry, model in zip(entries, KNOWN_MODELS, strict=True):
        assert entry.startswith(model.filename)
        assert model.url in entry
        assert all(sha256 in entry for sha256 in model.hashes or ("not published",))


def test_a_file_is_downloaded_and_not_twice(site, folder, published, monkeypatch, capsys):
    monkeypatch.setenv("GPEN_MODEL_MIRROR", site.url)
    assert main(["download", NAME, "--to", str(folder)]) == 0
    assert (folder / NAME).read_bytes() == CONTENT
    printed = capsys.readouterr().out
    assert f"{folder / NAME}: 1,048,576 bytes, SHA-256 as published" in printed
    assert "non-commercial use only" in printed
    assert main(["download", NAME, "--to", str(folder)]) == 0
    assert "already there" in capsys.readouterr().out
    assert len(site.requests) == 1


def test_the_exit_status_tells_what_happened(site, folder, published, capsys):
    arguments = ["download", NAME, "--to", str(folder), "--mirror"]
    site.script = [status(404)]
    assert main([*arguments, site.url]) == 1
    assert "status 404" in capsys.readouterr().err
    assert main([*arguments, "http://127.0.0.1:1"]) == command.UNREACHABLE == 3
    assert "cannot be reached" in capsys.readouterr().err
    assert main(["download", "no-such-file.onnx"]) == command.UNKNOWN_NAME == 2
    assert "no-such-file.onnx" in capsys.readouterr().err
    assert names_in(folder) == []


@pytest.mark.skipif(os.name == "nt", reason="interrupts of other processes are another matter")
def test_ctrl_c_keeps_what_has_come(site, folder):
    name = "GPEN-BFR-512.onnx"

    def slow(handler):
        handler.head(200, Content_Length=find_known(name).n_bytes, ETag='"one"')
        handler.wfile.write(CONTENT)
        handler.server.is_over.wait()

    site.script = [slow]
    arguments = ["download", name, "--to", str(folder), "--mirror", site.url]
    process = subprocess.Popen(  # noqa: S603 - this repository's own command
        [sys.executable, "-m", "gpen_core", *arguments], cwd=REPOSITORY, stderr=subprocess.PIPE
    )
    part = folder / f"{name}.part"
    deadline = time.monotonic() + 60
    while not (part.is_file() and part.stat().st_size > len(CONTENT) // 2):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == command.CANCELLED == 130
    assert "continues from here" in said
    assert part.read_bytes() == CONTENT
    assert names_in(folder) == [f"{name}.part", f"{name}.part.etag"]
