"""Files, addresses and names that are not let in."""

import contextlib

import pytest
import torch

from gpen_core.checkpoints.registry import KnownModel
from gpen_core.downloads import download as module
from gpen_core.downloads import http_stream
from gpen_core.downloads.download import download, target_path
from gpen_core.errors import DownloadError
from gpen_core.monitor import Monitor
from support.downloads import CONTENT, HALF, NAME, PATH, known, names_in
from support.file_server import broken_off, status
from support.hostile import Bomb


def test_a_wrong_hash_is_refused_and_leaves_nothing(site, folder):
    with pytest.raises(DownloadError, match=r"expected SHA-256 .* not the published file"):
        download(known(b"other"), folder, mirror=site.url)
    assert names_in(folder) == []
    assert len(site.requests) == 1


def test_a_wrong_hash_after_a_resume_is_tried_once_more_from_the_beginning(site, folder):
    site.script = [broken_off(HALF)]
    with pytest.raises(DownloadError, match="expected SHA-256"):
        download(known(b"other"), folder, mirror=site.url)
    assert names_in(folder) == []
    assert site.ranges == [None, f"bytes={HALF}-", None]


def test_a_file_of_another_size_is_refused_before_it_is_fetched(site, folder):
    progress = []
    with pytest.raises(DownloadError, match=f"expected 99 bytes, got a file of {len(CONTENT)}"):
        download(
            known(n_bytes=99),
            folder,
            mirror=site.url,
            monitor=Monitor(lambda *p: progress.append(p)),
        )
    assert progress == []
    assert names_in(folder) == []


def test_a_page_in_place_of_the_file_costs_nothing_of_what_has_come(site, folder):
    def login(handler):
        handler.head(200, Content_Length=5)
        handler.wfile.write(b"login")

    folder.mkdir()
    (folder / f"{NAME}.part").write_bytes(CONTENT[:HALF])
    site.script = [login]
    with pytest.raises(DownloadError, match="got a file of 5"):
        download(known(n_bytes=len(CONTENT)), folder, mirror=site.url)
    assert (folder / f"{NAME}.part").read_bytes() == CONTENT[:HALF]


@pytest.mark.parametrize("n_bytes", [None, HALF])
def test_a_body_without_end_is_cut_off_at_the_limit(site, folder, monkeypatch, n_bytes):
    monkeypatch.setattr(module, "MAX_BYTES", HALF)

    def endless(handler):
        handler.head(200)
        with contextlib.suppress(OSError):  # hung up on
            for _ in range(64):
                handler.wfile.write(CONTENT)

    site.script = [endless]
    with pytest.raises(DownloadError, match=f"at most {HALF} bytes, got more"):
        download(known(n_bytes=n_bytes), folder, mirror=site.url)
    assert names_in(folder) == []


@pytest.mark.parametrize("length", ["-5", "1e9", "9" * 30, "12, 13", "0x10", ""])
def test_a_hostile_content_length_is_not_believed(site, folder, length):
    def answer(handler):
        handler.head(200, Content_Length=length)
        handler.wfile.write(CONTENT)

    # Where Python itself believes the number, the end of the connection comes too early for it.
    site.script = [answer]
    assert download(known(), folder, mirror=site.url).read_bytes() == CONTENT
    assert names_in(folder) == [NAME]


def test_a_content_length_beyond_the_limit_is_refused(site, folder):
    site.script = [status(200, Content_Length=10**14)]
    with pytest.raises(DownloadError, match="got a file of 100000000000000"):
        download(known(), folder, mirror=site.url)


def test_a_name_that_the_server_gives_is_not_used(site, folder):
    def answer(handler):
        handler.head(
            200,
            Content_Length=len(CONTENT),
            Content_Disposition='attachment; filename="../../evil.pth"',
        )
        handler.wfile.write(CONTENT)

    site.script = [answer]
    download(known(), folder, mirror=site.url)
    assert names_in(folder) == [NAME]
    assert names_in(folder.parent) == [folder.name]


@pytest.fixture
def tensors(tmp_path):
    torch.save({"w": torch.arange(10000.0)}, tmp_path / "w.pt")
    return (tmp_path / "w.pt").read_bytes()


UNPINNED = KnownModel("model.pt", "https://example.invalid/model.pt")


def test_an_unpinned_file_has_to_read_as_tensors(site, folder, tensors):
    site.files["/model.pt"] = tensors
    assert download(UNPINNED, folder, mirror=site.url).read_bytes() == tensors
    assert names_in(folder) == ["model.pt"]


def test_an_unpinned_file_that_asks_for_code_is_refused(site, folder, tmp_path):
    torch.save({"w": Bomb(tmp_path / "marker")}, tmp_path / "bomb.pt")
    site.files["/model.pt"] = (tmp_path / "bomb.pt").read_bytes()
    with pytest.raises(DownloadError, match="expected tensors and nothing else"):
        download(UNPINNED, folder, mirror=site.url)
    assert names_in(folder) == []
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_an_unpinned_file_is_not_resumed_without_a_strong_etag(site, folder, tensors, etag):
    site.files["/model.pt"] = tensors
    site.etag = etag
    site.script = [broken_off(1000)]
    assert download(UNPINNED, folder, mirror=site.url).read_bytes() == tensors
    assert site.ranges == [None, None]


def test_an_unpinned_file_is_resumed_with_an_etag(site, folder, tensors):
    site.files["/model.pt"] = tensors
    site.script = [broken_off(1000)]
    assert download(UNPINNED, folder, mirror=site.url).read_bytes() == tensors
    assert site.ranges == [None, "bytes=1000-"]


@pytest.mark.parametrize(
    "url",
    [
        f"http://example.invalid{PATH}",
        f"http://127.0.0.1{PATH}",
        f"ftp://example.invalid{PATH}",
        f"file://{PATH}",
        f"//example.invalid{PATH}",
        f"https://{PATH}",
        f"https://[::1{PATH}",
    ],
)
def test_an_address_that_is_not_https_is_not_fetched(folder, url):
    with pytest.raises(DownloadError, match="expected an https address"):
        download(known(url=url), folder)
    assert not folder.exists()


@pytest.mark.parametrize("mirror", ["http://example.invalid", "example.invalid", "file:///models"])
def test_a_mirror_is_https_or_this_machine(folder, mirror):
    with pytest.raises(DownloadError, match="expected an https address"):
        download(known(), folder, mirror=mirror)


@pytest.mark.parametrize(
    "location",
    [
        "http://example.invalid/file",
        "http://127.0.0.1.example.invalid/file",
        "http://localhost@example.invalid/file",
        "ftp://example.invalid/file",
        "https:///file",
    ],
)
def test_a_redirect_that_is_not_https_is_refused(site, folder, location):
    site.script = [status(302, Location=location)]
    with pytest.raises(DownloadError, match="leads elsewhere: expected an https address"):
        download(known(), folder, mirror=site.url)
    assert names_in(folder) == []
    assert len(site.requests) == 1


def test_a_redirect_of_an_https_address_to_this_machine_is_refused():
    handler = http_stream._CheckedRedirects(allow_loopback=False)
    request = http_stream.Request("https://example.invalid/file")
    for url in ("http://127.0.0.1/file", "http://localhost/file"):
        with pytest.raises(http_stream.UnsafeUrlError):
            handler.redirect_request(request, None, 302, "Found", {}, url)
    for code in (301, 302, 303, 307):
        to_https = handler.redirect_request(request, None, code, "", {}, "https://cdn.invalid/f")
        assert to_https.full_url == "https://cdn.invalid/f"


def test_a_redirect_is_followed_and_the_range_goes_with_it(site, folder):
    site.files["/elsewhere"] = CONTENT
    redirect = status(302, Location=f"{site.url}/elsewhere")
    site.script = [redirect, broken_off(HALF), redirect]
    assert download(known(), folder, mirror=site.url).read_bytes() == CONTENT
    assert [path for path, _ in site.requests] == [PATH, "/elsewhere"] * 2
    assert site.ranges == [None, None, f"bytes={HALF}-", f"bytes={HALF}-"]


def test_redirects_in_a_circle_end(site, folder):
    site.script = [status(302, Location=PATH)] * 50
    with pytest.raises(DownloadError, match="status 302"):
        download(known(), folder, mirror=site.url)
    assert len(site.requests) < 20


@pytest.mark.parametrize(
    "name",
    [
        "../evil.pth",
        "..",
        ".",
        "",
        "a/b.pth",
        "a\\b.pth",
        "/etc/evil.pth",
        "C:evil.pth",
        "C:\\evil.pth",
        "NUL",
        "nul.pth",
        "Com1.onnx",
        "LPT9.tar.gz",
        "CONIN$",
        "evil.pth.",
        "evil.pth ",
        " evil.pth",
        "evil\x00.pth",
        "evil\n.pth",
        "evil.pth:stream",
        "e*il.pth",
    ],
)
def test_a_name_never_leaves_the_folder(tmp_path, name):
    with pytest.raises(DownloadError, match="expected a plain one"):
        target_path(name, tmp_path)
    with pytest.raises(DownloadError, match="expected a plain one"):
        download(KnownModel(name, f"https://example.invalid/{name}", "00"), tmp_path)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("name", ["common.pth", "nullify.onnx", "COM10.pth", "a b-c_0.25.pth"])
def test_a_plain_name_is_let_through(tmp_path, name):
    assert target_path(name, tmp_path) == tmp_path / name
