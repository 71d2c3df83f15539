"""A web server on this machine that serves files well, or badly on demand."""

import http.server
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Handler(http.server.BaseHTTPRequestHandler):
    """One request; ``server.script`` says how the next ones are answered."""

    server: "FileServer"

    def do_GET(self) -> None:
        site = self.server
        with site.changed:
            site.requests.append((self.path, dict(self.headers)))
            answer = site.script.pop(0) if site.script else serve
            site.changed.notify_all()
        answer(self)

    def head(self, status: int = 200, **headers: object) -> None:
        """Send the status and headers; underscores in their names are hyphens."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


Answer = Callable[[Handler], None]


class FileServer(http.server.ThreadingHTTPServer):
    """Serves ``files`` by path; every path that is not there is a 404."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.etag: str | None = '"one"'
        self.has_ranges = True
        self.script: list[Answer] = []
        """Answers to the next requests; then the files are served."""
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.changed = threading.Condition()
        self.is_over = threading.Event()
        """Set at the end, so that answers that wait do not outlive their test."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def ranges(self) -> list[str | None]:
        """What was asked for, request by request."""
        return [headers.get("Range") for _, headers in self.requests]

    def wait_for_requests(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.requests) >= count, timeout=30)


@contextmanager
def file_server() -> Iterator[FileServer]:
    """A running server."""
    with FileServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.is_over.set()
            server.shutdown()
            thread.join()


def serve(handler: Handler) -> None:
    """The file, or the range of it that was asked for."""
    site = handler.server
    content = site.files.get(handler.path)
    if content is None:
        handler.head(404)
        return
    headers = {"ETag": site.etag} if site.etag else {}
    wanted = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    condition = handler.headers.get("If-Range")
    if wanted and site.has_ranges and condition in (None, site.etag):
        start = int(wanted[1])
        if start >= len(content):
            handler.head(416, Content_Range=f"bytes */{len(content)}")
            return
        last = len(content) - 1
        content, total = content[start:], len(content)
        headers["Content-Range"] = f"bytes {start}-{last}/{total}"
        handler.head(206, Content_Length=len(content), **headers)
    else:
        handler.head(200, Content_Length=len(content), **headers)
    handler.wfile.write(content)


def status(code: int, **headers: object) -> Answer:
    """Nothing but a status."""
    return lambda handler: handler.head(code, **headers)


def broken_off(n_bytes: int) -> Answer:
    """The beginning of the file, under the headers of the whole."""

    def answer(handler: Handler) -> None:
        site = handler.server
        content = site.files[handler.path]
        headers = {"ETag": site.etag} if site.etag else {}
        handler.head(200, Content_Length=len(content), **headers)
        handler.wfile.write(content[:n_bytes])

    return answer


def stalled(n_bytes: int) -> Answer:
    """The beginning of the file, and then silence with the connection open."""

    def answer(handler: Handler) -> None:
        broken_off(n_bytes)(handler)
        handler.wfile.flush()
        handler.server.is_over.wait()

    return answer


def silent(handler: Handler) -> None:
    """Not a word."""
    handler.server.is_over.wait()
