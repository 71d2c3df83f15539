"""No network, no patience, no room."""

import errno
import os
import shutil
import socket
from collections import namedtuple

import pytest

from gpen_core.downloads import download as module
from gpen_core.downloads import http_stream
from gpen_core.downloads.download import download
from gpen_core.errors import DownloadError, UnreachableError
from gpen_core.monitor import Monitor
from support.downloads import (
    CONTENT,
    HALF,
    NAME,
    PATH,
    CancelledError,
    cancel_after,
    known,
    names_in,
)
from support.file_server import broken_off, silent, stalled, status


def test_a_closed_port_is_unreachable_and_says_where_to_put_the_file(folder):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        mirror = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(UnreachableError, match="cannot be reached") as raised:
            download(known(), folder, mirror=mirror)
    assert f"https://example.invalid{PATH}" in str(raised.value)
    assert f"put it into {folder}" in str(raised.value)
    assert names_in(folder) == []


def test_a_name_that_does_not_resolve_is_unreachable(folder):
    with pytest.raises(UnreachableError, match="cannot be reached"):
        download(known(), folder)


def test_a_silent_server_is_unreachable(site, folder, monkeypatch):
    monkeypatch.setattr(http_stream, "RESPONSE_TIMEOUT_S", 0.2)
    site.script = [silent] * 9
    with pytest.raises(UnreachableError, match="no response within"):
        download(known(), folder, mirror=site.url)
    assert len(site.requests) == 1


@pytest.mark.parametrize("answer", [stalled(HALF), broken_off(HALF)])
def test_cancelling_keeps_the_part_and_the_next_try_goes_on(site, folder, answer):
    site.script = [answer, silent]
    with pytest.raises(CancelledError):
        download(
            known(),
            folder,
            mirror=site.url,
            monitor=Monitor(check_interrupt=cancel_after(folder, HALF)),
        )
    assert (folder / f"{NAME}.part").read_bytes() == CONTENT[:HALF]
    site.script = []
    assert download(known(), folder, mirror=site.url).read_bytes() == CONTENT
    assert site.ranges[-1] == f"bytes={HALF}-"
    assert names_in(folder) == [NAME]


def test_cancelling_is_heard_while_nobody_answers(site, folder):
    site.script = [silent]

    def check():
        if site.requests:
            raise CancelledError

    with pytest.raises(CancelledError):
        download(known(), folder, mirror=site.url, monitor=Monitor(check_interrupt=check))
    assert names_in(folder) == []


def test_cancelling_is_heard_between_retries(site, folder, monkeypatch):
    monkeypatch.setattr(module, "RETRY_DELAYS_S", (3600.0,))
    site.script = [status(503)]
    calls_after_failure = []

    def check():
        if site.requests and not site.script:
            calls_after_failure.append(1)
            if len(calls_after_failure) > 5:
                raise CancelledError

    with pytest.raises(CancelledError):
        download(known(), folder, mirror=site.url, monitor=Monitor(check_interrupt=check))


def test_too_little_free_space_is_said_before_the_first_byte(site, folder, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 10**6))
    with pytest.raises(DownloadError, match=r"68 MB free in .*, got 1 MB\. Make room"):
        download(known(), folder, mirror=site.url)
    assert names_in(folder) == []


def test_a_disk_that_fills_up_is_a_clear_error(site, folder, monkeypatch):
    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DownloadError, match="expected room on the disk, got a full one"):
        download(known(), folder, mirror=site.url)
    assert NAME not in names_in(folder)
    assert f".{NAME}.lock" not in names_in(folder)


def test_a_folder_that_cannot_be_made_is_a_clear_error(site, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DownloadError, match="expected to write into"):
        download(known(), tmp_path / "file" / "models", mirror=site.url)
