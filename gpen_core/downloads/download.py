"""A published model file, from its pinned address into a folder, whole and checked or not at all.

What has come so far lies in ``NAME.part`` beside the target and is taken up again by the next try.
The target appears only once its SHA-256 is the pinned one. Where nobody published a hash, as for
ModelScope's files, the size is limited and the file has to read as tensors and nothing else.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from pathlib import Path
from urllib.parse import urlsplit

from ..checkpoints.registry import KnownModel, file_sha256
from ..checkpoints.safe_load import read_tensors
from ..errors import CheckpointError, DownloadError, UnreachableError
from ..monitor import SILENT, Monitor
from .file_lock import locked
from .http_stream import (
    POLL_INTERVAL_S,
    ConnectionLostError,
    NoResponseError,
    Response,
    UnsafeUrlError,
    open_stream,
    require_safe_url,
)

MIRROR_VARIABLE = "GPEN_MODEL_MIRROR"
"""Environment variable in which the command line and the nodes look for a mirror."""
MAX_BYTES = 4 * 2**30
"""Limit for files whose size nobody published; the known ones are a tenth of it."""
RESERVE_BYTES = 64 * 2**20
"""What a download leaves free on the disk."""
RETRY_DELAYS_S = (1.0, 4.0, 15.0)
"""Waits before a failed transfer is resumed; progress of ``WORTH_BYTES`` starts them over."""
WORTH_BYTES = 2**20

_TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_RANGE_NOT_SATISFIABLE = 416
_DEVICE_NAMES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\..*)?", re.I)
_UNSAFE_CHARACTERS = re.compile(r'[\x00-\x1f<>:"/\\|?*]')
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class _TransientError(Exception):
    """Worth another try."""


def source_url(model: KnownModel, mirror: str | None = None) -> str:
    """Where a file is fetched from.

    Args:
        model: The file.
        mirror: Address that takes the place of the pinned scheme and host; the pinned path is
            kept. https, or http to this machine.

    Raises:
        DownloadError: The address is not safe.
    """
    url = mirror.rstrip("/") + urlsplit(model.url).path if mirror else model.url
    try:
        require_safe_url(url, allow_loopback=bool(mirror))
    except UnsafeUrlError as error:
        raise DownloadError(f"{model.filename}: {error}. Correct the address.") from error
    return url


def target_path(filename: str, folder: Path) -> Path:
    """Where a file of this name goes.

    Raises:
        DownloadError: The name leads out of the folder, or means a device on Windows.
    """
    if (
        filename != filename.strip(" .")
        or not filename
        or _UNSAFE_CHARACTERS.search(filename)
        or _DEVICE_NAMES.fullmatch(filename)
    ):
        raise DownloadError(
            f"file name: expected a plain one, got {filename!r}. Nothing was downloaded."
        )
    return folder / filename


def download(
    model: KnownModel,
    folder: str | Path,
    *,
    mirror: str | None = None,
    monitor: Monitor = SILENT,
) -> Path:
    """Download a published file, unless it is there already.

    Any number of processes may ask for the same file; one of them fetches it and the others wait.

    Args:
        model: The file.
        folder: Where to put it; made if need be.
        mirror: Address that takes the place of the pinned scheme and host, as in ``source_url``.
        monitor: Told of the bytes received and of the bytes of the whole file, 0 where the server
            does not say. Asked for interruption often; what has come by then is kept.

    Returns:
        The file.

    Raises:
        UnreachableError: There is no network, or the server does not respond.
        DownloadError: The server refuses, the file is not the published one and was removed, or the
            disk is full or cannot be written.
    """
    folder = Path(folder).absolute()  # for messages, and if the current folder changes
    target = target_path(model.filename, folder)
    url = source_url(model, mirror)
    transfer = _Transfer(model, target, url, bool(mirror), monitor)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(target, lambda: transfer.pause(POLL_INTERVAL_S)):
            if not target.is_file():
                transfer.run()
    except DownloadError:
        raise
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise transfer.error("expected room on the disk, got a full one. Make room.") from error
        raise transfer.error(f"expected to write into {folder}, got {error}.") from error
    return target


class _Transfer:
    def __init__(
        self,
        model: KnownModel,
        target: Path,
        url: str,
        allow_loopback: bool,
        monitor: Monitor,
    ) -> None:
        self.model = model
        self.target = target
        self.url = url
        self.allow_loopback = allow_loopback
        self.monitor = monitor
        self.part = target.with_name(target.name + ".part")
        self.etag_file = target.with_name(target.name + ".part.etag")
        self.limit = model.n_bytes or MAX_BYTES

    def error(self, what: str, kind: type[DownloadError] = DownloadError) -> DownloadError:
        """An error that says what the user can do without this module."""
        return kind(
            f"{self.model.filename}: {what} Download it with a browser from {self.model.url} and "
            f"put it into {self.target.parent}."
        )

    def pause(self, seconds: float) -> None:
        """Sleep, but not through an interruption."""
        deadline = time.monotonic() + seconds
        while True:
            self.monitor.check_interrupt()
            left = deadline - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, POLL_INTERVAL_S))

    def run(self) -> None:
        """Fetch, check and put in place."""
        was_resumed = self._fetch()
        problem = self._problem()
        if problem and was_resumed:
            # The halves may be of two versions: once more, from the beginning.
            self._discard()
            self._fetch()
            problem = self._problem()
        if problem:
            self._discard()
            raise self.error(f"{problem} This is not the published file; it was removed.")
        self.part.replace(self.target)
        self.etag_file.unlink(missing_ok=True)

    def _fetch(self) -> bool:
        """Bring the whole file into the part; True if some of it was there before."""
        was_resumed = has_response = False
        failures = 0
        furthest = self._n_bytes()
        while True:
            offset = self._resumable_bytes()
            was_resumed |= offset > 0
            if offset == self.model.n_bytes:
                return was_resumed
            try:
                with open_stream(
                    self.url,
                    self._headers(offset),
                    allow_loopback=self.allow_loopback,
                    monitor=self.monitor,
                ) as response:
                    has_response = True
                    self._receive(response, offset)
                return was_resumed
            except UnsafeUrlError as error:
                raise self.error(f"{self.url} leads elsewhere: {error}.") from error
            except (NoResponseError, ConnectionLostError, _TransientError) as error:
                if not has_response:
                    what = f"{self.url} cannot be reached ({error})."
                    raise self.error(what, UnreachableError) from error
                is_progress = self._n_bytes() >= furthest + WORTH_BYTES
                furthest = max(furthest, self._n_bytes())
                failures = 1 if is_progress else failures + 1
                if failures > len(RETRY_DELAYS_S):
                    raise self.error(f"the download from {self.url} failed ({error}).") from error
            self.pause(RETRY_DELAYS_S[failures - 1])

    def _headers(self, offset: int) -> dict[str, str]:
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            etag = self._known_etag()
            if etag:
                headers["If-Range"] = etag
        return headers

    def _receive(self, response: Response, offset: int) -> None:
        """Write one response into the part: append it, or replace the part by it."""
        etag = _strong_etag(response.headers.get("ETag", ""))
        if offset and response.status == 206:
            start, total = _content_range(response)
            known = self._known_etag()
            if start != offset or (etag and known and etag != known):
                self._discard()
                raise _TransientError("the file has changed on the server")
        elif offset and response.status == _RANGE_NOT_SATISFIABLE:
            self._discard()
            raise _TransientError("the file is shorter than what has already arrived")
        elif response.status == 200:
            offset, total = 0, _content_length(response)
        else:
            said = f"status {response.status} {response.reason}".strip()
            if response.status in _TRANSIENT_STATUS:
                raise _TransientError(said)
            raise self.error(f"expected a file at {self.url}, got {said}.")
        self._check_size(total, offset)
        if offset == 0:
            self._discard()
            if etag:
                self.etag_file.write_text(etag, "latin-1")
        self._write(response, offset, total or self.model.n_bytes)

    def _write(self, response: Response, offset: int, total: int | None) -> None:
        n_bytes = offset
        with self.part.open("ab") as out:
            for chunk in response.chunks:
                n_bytes += len(chunk)
                if n_bytes > self.limit:
                    break
                out.write(chunk)
                self.monitor.on_progress(n_bytes, total or 0)
            out.flush()
            os.fsync(out.fileno())
        if n_bytes > self.limit:
            self._discard()
            raise self.error(f"expected at most {self.limit} bytes, got more.")
        if total is not None and n_bytes < total:
            raise _TransientError(f"the connection ended after {n_bytes} of {total} bytes")

    def _check_size(self, total: int | None, offset: int) -> None:
        expected = self.model.n_bytes
        if total is not None and (total > self.limit or (expected and total != expected)):
            wanted = f"{expected}" if expected else f"at most {self.limit}"
            # What has come before is kept: this may be the login page of a hotel.
            raise self.error(f"expected {wanted} bytes, got a file of {total}.")
        missing = (total or expected or 0) - offset + RESERVE_BYTES
        free = shutil.disk_usage(self.target.parent).free + (self._n_bytes() - offset)
        if free < missing:
            raise self.error(
                f"expected {missing / 1e6:.0f} MB free in {self.target.parent}, got "
                f"{free / 1e6:.0f} MB. Make room."
            )

    def _problem(self) -> str | None:
        """Why the part is not the published file."""
        if self.model.sha256 is not None:
            found = file_sha256(self.part, self.monitor)
            if found != self.model.sha256:
                return f"expected SHA-256 {self.model.sha256}, got {found}."
            return None
        try:
            read_tensors(self.part)
        except CheckpointError as error:
            return f"expected tensors and nothing else. {error}"
        return None

    def _n_bytes(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _resumable_bytes(self) -> int:
        """Bytes of the part, if they can be verified to be of the same file; else 0."""
        n_bytes = self._n_bytes()
        # Without a hash of the whole file, only an ETag shows that both parts are of one version.
        if n_bytes and (n_bytes > self.limit or not (self.model.sha256 or self._known_etag())):
            self._discard()
            return 0
        return n_bytes

    def _known_etag(self) -> str:
        try:
            return _strong_etag(self.etag_file.read_text("latin-1"))
        except FileNotFoundError:
            return ""

    def _discard(self) -> None:
        self.part.unlink(missing_ok=True)
        self.etag_file.unlink(missing_ok=True)


def _strong_etag(text: str) -> str:
    """The text, if it is a strong ETag, which identifies bytes, and fits a header; or nothing."""
    return text if re.fullmatch(r'"[^"\x00-\x1f]*"', text) else ""


def _content_length(response: Response) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if re.fullmatch(r"[0-9]{1,15}", text) else None


def _content_range(response: Response) -> tuple[int | None, int | None]:
    """First byte and size of the whole file."""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if match is None:
        return None, None
    return int(match[1]), None if match[2] == "*" else int(match[2])
