"""One file over HTTPS, read in a thread: waiting for it can be cut short, and silence has an end.

Python's urllib, because nothing that lies beside PyTorch for sure does more: ``requests`` comes
with ComfyUI only by way of other packages.
"""

from __future__ import annotations

import contextlib
import queue
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
)

from ..monitor import SILENT, Monitor

RESPONSE_TIMEOUT_S = 15.0
"""Bounds name resolution, connection and redirects together; the time lost without a network."""
STALL_TIMEOUT_S = 30.0
"""Bounds the wait for the next byte after that."""
POLL_INTERVAL_S = 0.1
"""How often an interruption is looked for while nothing comes."""

_READ_BYTES = 2**18
_CHUNKS_AHEAD = 16
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class UnsafeUrlError(Exception):
    """An address that is not fetched: not encrypted, or not of the web at all."""


class NoResponseError(Exception):
    """No response: no connection, or none in time."""


class ConnectionLostError(Exception):
    """The connection broke, or fell silent."""


@dataclass(frozen=True)
class Response:
    """The response of a server."""

    status: int
    reason: str
    headers: Message
    chunks: Iterator[bytes]
    """The body as it comes, short where the server closes the connection early;
    ``ConnectionLostError`` where the connection breaks or falls silent."""


def require_safe_url(url: str, *, allow_loopback: bool = False) -> None:
    """Refuse addresses other than https.

    Args:
        url: The address.
        allow_loopback: Also allow http to this very machine.

    Raises:
        UnsafeUrlError: It is neither.
    """
    try:
        parts = urlsplit(url)
        scheme, host = parts.scheme, parts.hostname
    except ValueError as error:
        raise UnsafeUrlError(f"expected an https address, got {url!r} ({error})") from error
    if host and (scheme == "https" or (allow_loopback and scheme == "http" and host in _LOOPBACK)):
        return
    raise UnsafeUrlError(f"expected an https address, got {url!r}")


@contextlib.contextmanager
def open_stream(
    url: str,
    headers: Mapping[str, str],
    *,
    allow_loopback: bool = False,
    monitor: Monitor = SILENT,
) -> Iterator[Response]:
    """Ask for a file.

    Args:
        url: Its address.
        headers: Further headers of the request.
        allow_loopback: Allow http to this machine, here and in redirects.
        monitor: Asked for interruption at least every ``POLL_INTERVAL_S``.

    Raises:
        UnsafeUrlError: The address, or one that it redirects to, is not https.
        NoResponseError: No response within ``RESPONSE_TIMEOUT_S``.
    """
    require_safe_url(url, allow_loopback=allow_loopback)
    reader = _Reader(_opener(allow_loopback), Request(url, headers=dict(headers)), monitor)  # noqa: S310 - checked above
    try:
        yield reader.response()
    finally:
        reader.close()


class _CheckedRedirects(HTTPRedirectHandler):
    def __init__(self, allow_loopback: bool) -> None:
        self._allow_loopback = allow_loopback

    def redirect_request(
        self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        require_safe_url(newurl, allow_loopback=self._allow_loopback)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(allow_loopback: bool) -> OpenerDirector:
    context = ssl.create_default_context()
    # Some Pythons for macOS come without certificates; this package of them is with most packs.
    with contextlib.suppress(ImportError):
        import certifi

        context.load_verify_locations(certifi.where())
    handlers: list[Any] = [_CheckedRedirects(allow_loopback), HTTPSHandler(context=context)]
    if allow_loopback:
        handlers.append(ProxyHandler({}))  # a proxy cannot reach this machine's own ports
    opener = build_opener(*handlers)
    # Some sites turn Python's own name away.
    opener.addheaders = [("User-Agent", "gpen-face-restore")]
    return opener


@dataclass(frozen=True)
class _Head:
    status: int
    reason: str
    headers: Message


class _Reader:
    """A thread that opens and reads, because urllib's own timeouts leave out name resolution."""

    def __init__(
        self,
        opener: OpenerDirector,
        request: Request,
        monitor: Monitor,
    ) -> None:
        self._opener = opener
        self._request = request
        self._monitor = monitor
        self._is_closed = threading.Event()
        self._items: queue.Queue[_Head | bytes | Exception | None] = queue.Queue(_CHUNKS_AHEAD)
        threading.Thread(target=self._read, name="gpen-download", daemon=True).start()

    def response(self) -> Response:
        item = self._next(RESPONSE_TIMEOUT_S)
        if item is None:
            raise NoResponseError(f"no response within {RESPONSE_TIMEOUT_S:.0f} s")
        if isinstance(item, UnsafeUrlError):
            raise item
        if isinstance(item, Exception):
            raise NoResponseError(str(getattr(item, "reason", item)))
        assert isinstance(item, _Head)
        return Response(item.status, item.reason, item.headers, self._chunks())

    def close(self) -> None:
        """Let the thread end; it does so at its next byte or timeout."""
        self._is_closed.set()

    def _chunks(self) -> Iterator[bytes]:
        while True:
            item = self._next(STALL_TIMEOUT_S)
            if item is None:
                raise ConnectionLostError(f"nothing came for {STALL_TIMEOUT_S:.0f} s")
            if isinstance(item, Exception):
                raise ConnectionLostError(str(item) or type(item).__name__)
            assert isinstance(item, bytes)
            if not item:
                return
            yield item

    def _next(self, timeout_s: float) -> _Head | bytes | Exception | None:
        """What the thread read next; None if it is silent."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            self._monitor.check_interrupt()
            with contextlib.suppress(queue.Empty):
                return self._items.get(timeout=POLL_INTERVAL_S)
        return None

    def _read(self) -> None:
        try:
            with self._opener.open(self._request, timeout=STALL_TIMEOUT_S) as response:
                is_wanted = self._put(_Head(response.status, response.reason, response.headers))
                # read1 hands on what is there, so that slow is not taken for silent.
                while is_wanted and (chunk := response.read1(_READ_BYTES)):
                    is_wanted = self._put(chunk)
                self._put(b"")
        except HTTPError as error:
            self._put(_Head(error.code, error.reason, error.headers))
            error.close()
        except (OSError, HTTPException, ValueError, UnsafeUrlError) as error:
            self._put(error)

    def _put(self, item: _Head | bytes | Exception) -> bool:
        """Hand an item over; False if nobody wants it any more."""
        while not self._is_closed.is_set():
            with contextlib.suppress(queue.Full):
                self._items.put(item, timeout=POLL_INTERVAL_S)
                return True
        return False
