"""One response over HTTP: what it gives, and how it ends when the server does not behave."""

import pytest

from gpen_core.downloads import http_stream
from gpen_core.downloads.http_stream import (
    ConnectionLostError,
    NoResponseError,
    UnsafeUrlError,
    open_stream,
    require_safe_url,
)
from support.downloads import CONTENT, PATH
from support.file_server import broken_off, silent, stalled, status


def stream(site, path=PATH):
    return open_stream(site.url + path, {"Range": "bytes=5-"}, allow_loopback=True)


def test_a_response_holds_status_headers_and_the_body_in_chunks(site):
    with stream(site) as response:
        assert response.status == 206
        assert response.headers["Content-Range"] == f"bytes 5-{len(CONTENT) - 1}/{len(CONTENT)}"
        assert b"".join(response.chunks) == CONTENT[5:]


def test_an_error_status_is_a_response_too(site):
    site.script = [status(503, Retry_After=7)]
    with stream(site) as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "7")


def test_a_server_that_says_nothing_gives_no_response(site, monkeypatch):
    monkeypatch.setattr(http_stream, "RESPONSE_TIMEOUT_S", 0.1)
    site.script = [silent]
    with pytest.raises(NoResponseError, match="no response within"), stream(site):
        pass


def test_what_comes_before_the_connection_falls_silent_is_given(site, monkeypatch):
    monkeypatch.setattr(http_stream, "STALL_TIMEOUT_S", 0.2)
    site.script = [stalled(1000)]
    with stream(site) as response:
        assert next(response.chunks) == CONTENT[:1000]
        with pytest.raises(ConnectionLostError):
            next(response.chunks)


def test_a_body_that_the_server_ends_early_is_short(site):
    site.script = [broken_off(1000)]
    with stream(site) as response:
        assert b"".join(response.chunks) == CONTENT[:1000]


def test_a_redirect_to_an_unsafe_address_is_not_followed(site):
    site.script = [status(302, Location="http://example.invalid/x")]
    with pytest.raises(UnsafeUrlError, match=r"http://example\.invalid/x"), stream(site):
        pass


@pytest.mark.parametrize("url", ["http://127.0.0.1/x", "ftp://host/x", "file:///x", "https:///x"])
def test_only_https_is_safe(url):
    with pytest.raises(UnsafeUrlError):
        require_safe_url(url)
    require_safe_url("https://host/x")
