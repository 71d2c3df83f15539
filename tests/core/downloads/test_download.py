"""Downloads that end well, whatever happens on the way."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from gpen_core.checkpoints.registry import KnownModel
from gpen_core.downloads import download as module
from gpen_core.downloads import http_stream
from gpen_core.downloads.download import download, source_url
from gpen_core.errors import DownloadError
from gpen_core.monitor import Monitor
from support.downloads import CONTENT, HALF, NAME, PATH, known, names_in
from support.file_server import broken_off, serve, stalled, status

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("n_bytes", [None, len(CONTENT)])
def test_download_puts_the_whole_file_in_place_with_progress(site, folder, n_bytes):
    progress = []
    path = download(
        known(n_bytes=n_bytes),
        folder,
        mirror=site.url,
        monitor=Monitor(lambda done, total: progress.append((done, total))),
    )
    assert path == folder / NAME
    assert path.read_bytes() == CONTENT
    assert names_in(folder) == [NAME]
    assert progress[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in progress] == sorted(done for done, _ in progress)


def test_download_of_a_file_that_is_there_asks_nobody(site, folder):
    folder.mkdir()
    (folder / NAME).write_bytes(b"the user's own")
    assert download(known(), folder, mirror=site.url).read_bytes() == b"the user's own"
    assert site.requests == []


def test_download_without_content_length_reads_to_the_end(site, folder):
    def answer(handler):
        handler.head(200)
        handler.wfile.write(CONTENT)

    site.script = [answer]
    totals = set()
    path = download(
        known(), folder, mirror=site.url, monitor=Monitor(lambda _, total: totals.add(total))
    )
    assert path.read_bytes() == CONTENT
    assert totals == {0}


def test_mirror_takes_the_place_of_the_host_and_keeps_the_path(site, folder):
    site.files = {f"/hub{PATH}": CONTENT}
    download(known(), folder, mirror=f"{site.url}/hub/")
    assert site.requests[0][0] == f"/hub{PATH}"
    assert source_url(known()) == f"https://example.invalid{PATH}"
    assert source_url(known(), "https://mirror.invalid") == f"https://mirror.invalid{PATH}"


def test_a_broken_off_transfer_goes_on_where_it_ended(site, folder):
    site.script = [broken_off(HALF)]
    assert download(known(), folder, mirror=site.url).read_bytes() == CONTENT
    assert site.ranges == [None, f"bytes={HALF}-"]
    assert site.requests[1][1]["If-Range"] == '"one"'
    assert names_in(folder) == [NAME]


def test_a_server_without_ranges_begins_again(site, folder):
    site.has_ranges = False
    site.script = [broken_off(HALF)]
    assert download(known(), folder, mirror=site.url).read_bytes() == CONTENT
    assert site.ranges == [None, f"bytes={HALF}-"]


def test_a_stall_is_cut_short_and_the_transfer_goes_on(site, folder, monkeypatch):
    monkeypatch.setattr(http_stream, "STALL_TIMEOUT_S", 0.2)
    site.script = [stalled(HALF)]
    assert download(known(), folder, mirror=site.url).read_bytes() == CONTENT
    assert site.ranges[1] == f"bytes={HALF}-"


def test_a_file_that_changed_meanwhile_is_fetched_anew(site, folder):
    def change(handler):
        broken_off(HALF)(handler)
        site.files[PATH], site.etag = CONTENT[::-1], '"two"'

    site.script = [change]
    assert download(known(CONTENT[::-1]), folder, mirror=site.url).read_bytes() == CONTENT[::-1]
    assert len(site.requests) == 2  # the second was answered with the whole file


def test_a_changed_file_is_seen_where_the_server_ignores_if_range(site, folder, tmp_path):
    # No hash, and halves of these two read as tensors: nothing but the ETag tells them apart.
    versions = []
    for number in range(2):
        torch.save({"w": torch.full((100_000,), number)}, tmp_path / "model.pt")
        versions.append((tmp_path / "model.pt").read_bytes())
    site.files["/model.pt"] = versions[0]

    def change(handler):
        broken_off(HALF // 2)(handler)
        site.files["/model.pt"], site.etag = versions[1], '"two"'

    def careless(handler):
        del handler.headers["If-Range"]
        serve(handler)

    site.script = [change, careless]
    model = KnownModel("model.pt", "https://example.invalid/model.pt")
    assert download(model, folder, mirror=site.url).read_bytes() == versions[1]
    assert site.ranges == [None, f"bytes={HALF // 2}-", None]


def test_halves_of_two_versions_without_etag_are_told_by_the_hash(site, folder):
    site.etag = None

    def change(handler):
        broken_off(HALF)(handler)
        site.files[PATH] = CONTENT[::-1]

    site.script = [change]
    assert download(known(CONTENT[::-1]), folder, mirror=site.url).read_bytes() == CONTENT[::-1]
    assert site.ranges == [None, f"bytes={HALF}-", None]


@pytest.mark.parametrize("content_range", ["bytes 7-{last}/{n}", "nonsense", "bytes 99-1/1"])
def test_a_range_that_was_not_asked_for_is_not_written(site, folder, content_range):
    n = len(CONTENT)

    def wrong(handler):
        handler.head(206, Content_Range=content_range.format(last=n - 1, n=n), Content_Length=9)
        handler.wfile.write(b"otherwise")

    site.script = [broken_off(HALF), wrong]
    assert download(known(), folder, mirror=site.url).read_bytes() == CONTENT
    assert site.ranges == [None, f"bytes={HALF}-", None]


def test_a_part_longer_than_the_file_is_thrown_away(site, folder):
    folder.mkdir()
    (folder / f"{NAME}.part").write_bytes(CONTENT + b"more")
    assert download(known(), folder, mirror=site.url).read_bytes() == CONTENT
    assert names_in(folder) == [NAME]


def test_a_complete_part_is_only_checked(site, folder):
    folder.mkdir()
    (folder / f"{NAME}.part").write_bytes(CONTENT)
    path = download(known(n_bytes=len(CONTENT)), folder, mirror=site.url)
    assert path.read_bytes() == CONTENT
    assert site.requests == []


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_a_passing_trouble_of_the_server_is_waited_out(site, folder, code):
    site.script = [status(code), status(code)]
    assert download(known(), folder, mirror=site.url).read_bytes() == CONTENT


def test_a_lasting_trouble_of_the_server_ends_after_the_retries(site, folder):
    site.script = [status(503)] * 9
    with pytest.raises(DownloadError, match="status 503"):
        download(known(), folder, mirror=site.url)
    assert len(site.requests) == 4
    assert names_in(folder) == []


def test_a_server_that_always_breaks_off_is_given_up_and_the_part_is_kept(site, folder):
    site.has_ranges = False
    site.script = [broken_off(HALF)] * 9
    with pytest.raises(DownloadError, match=f"after {HALF} of {len(CONTENT)} bytes"):
        download(known(), folder, mirror=site.url)
    assert len(site.requests) == 4
    assert (folder / f"{NAME}.part").read_bytes() == CONTENT[:HALF]


def test_progress_between_failures_begins_the_retries_anew(site, folder, monkeypatch):
    monkeypatch.setattr(module, "WORTH_BYTES", 1000)

    def a_little(handler):
        start = int(handler.headers["Range"][6:-1])
        headers = {"Content-Range": f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"}
        handler.head(206, Content_Length=len(CONTENT) - start, **headers)
        handler.wfile.write(CONTENT[start : start + 1000])

    site.script = [broken_off(1000), *[a_little] * 8]
    assert download(known(), folder, mirror=site.url).read_bytes() == CONTENT
    assert len(site.requests) == 10


@pytest.mark.parametrize("code", [204, 304, 400, 401, 403, 404, 410])
def test_a_refusal_of_the_server_is_an_error_at_once(site, folder, code):
    site.script = [status(code)]
    with pytest.raises(DownloadError, match=f"status {code}") as raised:
        download(known(), folder, mirror=site.url)
    assert len(site.requests) == 1
    assert f"https://example.invalid{PATH}" in str(raised.value)
    assert str(folder) in str(raised.value)
    assert names_in(folder) == []


def test_two_threads_fetch_the_same_file_once(site, folder):
    gate = threading.Event()

    def slow(handler):
        gate.wait(30)
        serve(handler)

    site.script = [slow]
    results = []
    waits = threading.Event()

    def first():
        results.append(download(known(), folder, mirror=site.url))

    def second():
        results.append(
            download(known(), folder, mirror=site.url, monitor=Monitor(check_interrupt=waits.set))
        )

    threads = [threading.Thread(target=first)]
    threads[0].start()
    site.wait_for_requests(1)
    threads.append(threading.Thread(target=second))
    threads[1].start()
    assert waits.wait(30)  # the second has met the lock
    gate.set()
    for thread in threads:
        thread.join(30)
    assert results == [folder / NAME] * 2
    assert len(site.requests) == 1
    assert names_in(folder) == [NAME]


PROCESS = """
import sys
sys.path.insert(0, {repository!r})
from gpen_core.downloads.download import download
from gpen_core.checkpoints.registry import KnownModel
model = KnownModel({name!r}, {url!r}, {sha256!r})
print(download(model, {folder!r}, mirror={mirror!r}))
"""


def test_processes_at_once_fetch_the_same_file_once_and_whole(site, folder):
    model = known()
    source = PROCESS.format(
        repository=str(REPOSITORY),
        name=NAME,
        url=model.url,
        sha256=model.sha256,
        folder=str(folder),
        mirror=site.url,
    )
    site.script = [broken_off(HALF)]
    started = [
        subprocess.Popen(  # noqa: S603 - this very test's own lines
            [sys.executable, "-c", source], stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    printed = [process.communicate(timeout=120)[0].strip() for process in started]
    assert printed == [str(folder / NAME)] * 3
    assert (folder / NAME).read_bytes() == CONTENT
    assert site.ranges == [None, f"bytes={HALF}-"]
    assert names_in(folder) == [NAME]
