"""Drive a running ComfyUI the way its web page does: HTTP to ask, a websocket to listen."""

from __future__ import annotations

import io
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import requests
import websocket
from PIL import Image

RUN_TIMEOUT_S = 300.0
HTTP_TIMEOUT_S = 60.0
LOG_TAIL_CHARS = 4000

# Codes of ComfyUI's binary messages (BinaryEventTypes in its protocol.py).
_BINARY_TEXT = 3
_BINARY_PREVIEW_WITH_METADATA = 4

Prompt = Mapping[str, Mapping[str, Any]]
"""A graph in API format: node id -> class_type and inputs."""


class ComfyServerError(Exception):
    """The server did not start, died, or does not answer; the message ends with its log."""


class PromptRejectedError(ComfyServerError):
    """The server refused to queue a prompt.

    Attributes:
        node_errors: What is wrong, per node id, as the server reports it.
    """

    def __init__(self, message: str, node_errors: dict[str, Any]) -> None:
        super().__init__(message)
        self.node_errors = node_errors


class PromptFailedError(ComfyServerError):
    """A queued prompt ended in an error or was interrupted."""


@dataclass(frozen=True)
class Event:
    """One message of the server."""

    type: str
    """The server's own name, such as "executing", "progress", "executed", "execution_error";
    "preview" and "progress_text" for the binary ones."""
    data: dict[str, Any]
    time: float
    """Seconds, on the clock of ``time.monotonic``."""

    @property
    def prompt_id(self) -> str | None:
        """The prompt it belongs to; None for messages about the server."""
        return self.data.get("prompt_id")


@dataclass(frozen=True)
class Result:
    """How a prompt ended and everything the server said about it."""

    prompt_id: str
    status: Literal["success", "error", "interrupted"]
    events: tuple[Event, ...]
    outputs: dict[str, dict[str, Any]]
    """Node id -> what the node gave its user interface, as in ComfyUI's history."""

    def of_type(self, event_type: str) -> list[dict[str, Any]]:
        """Data of all events of one type, in order."""
        return [event.data for event in self.events if event.type == event_type]

    @property
    def executed(self) -> list[str]:
        """Ids of the nodes that started executing, in order; cached ones are not among them."""
        return [data["node"] for data in self.of_type("executing") if data["node"] is not None]

    @property
    def cached(self) -> list[str]:
        """Ids of the nodes whose results were taken from an earlier prompt."""
        return [node for data in self.of_type("execution_cached") for node in data["nodes"]]

    @property
    def error(self) -> dict[str, Any] | None:
        """Data of the error event (node_id, exception_type, exception_message, traceback)."""
        return next(iter(self.of_type("execution_error")), None)

    @property
    def seconds(self) -> float:
        """From the first event to the last."""
        return self.events[-1].time - self.events[0].time

    def images(self, node_id: str | int) -> list[dict[str, str]]:
        """References to the images a node saved or previewed, for ``ComfyServer.read_image``."""
        images = self.outputs.get(str(node_id), {}).get("images", [])
        return [dict(image) for image in images]

    def texts(self, node_id: str | int) -> list[str]:
        """Texts a node showed under itself."""
        return [str(text) for text in self.outputs.get(str(node_id), {}).get("text", [])]


class ComfyClient:
    """One session with a ComfyUI server; not to be shared by threads."""

    def __init__(self, port: int) -> None:
        """Remember the address; ``connect`` makes the connection."""
        self.port = port
        self.client_id = uuid.uuid4().hex
        self._http = requests.Session()
        self._http.trust_env = False  # a proxy cannot reach this machine's own ports
        self._socket: websocket.WebSocket | None = None
        self._reader: threading.Thread | None = None
        self._events: list[Event] = []
        self._changed = threading.Condition()
        self._closed_because: str | None = None

    @property
    def url(self) -> str:
        """Address of the web page."""
        return f"http://127.0.0.1:{self.port}"

    def log(self) -> str:
        """What the server has printed so far, as far as this side can know."""
        return ""

    def is_ready(self) -> bool:
        """The server answers."""
        try:
            self._http.get(f"{self.url}/system_stats", timeout=HTTP_TIMEOUT_S)
        except requests.ConnectionError:
            return False
        return True

    def connect(self) -> None:
        """Start listening to the server's messages."""
        self._socket = websocket.create_connection(
            f"ws://127.0.0.1:{self.port}/ws?clientId={self.client_id}",
            timeout=HTTP_TIMEOUT_S,
            http_no_proxy=["127.0.0.1"],
        )
        # Without this flag previews come without the prompt and node they belong to.
        flags = {"type": "feature_flags", "data": {"supports_preview_metadata": True}}
        self._socket.send(json.dumps(flags))
        self._socket.settimeout(None)
        self._reader = threading.Thread(target=self._read_events, args=(self._socket,), daemon=True)
        self._reader.start()

    def close(self) -> None:
        """Stop listening."""
        if self._socket is not None:
            self._socket.close()
        if self._reader is not None:
            self._reader.join(HTTP_TIMEOUT_S)
        self._http.close()

    def object_info(self, node_id: str | None = None) -> dict[str, Any]:
        """Schema of one node as the web page gets it, or of all nodes by id.

        Raises:
            KeyError: There is no such node.
        """
        if node_id is None:
            return self._get_json("/object_info")
        schema: dict[str, Any] = self._get_json(f"/object_info/{node_id}")[node_id]
        return schema

    def upload_image(self, image: str | os.PathLike[str] | np.ndarray, name: str = "") -> str:
        """Put an image into the input folder.

        Args:
            image: A file, sent as it is, or pixels: (H, W), (H, W, 3) or (H, W, 4), uint8, RGB(A).
            name: File name to give it. Default: that of the file, or ``image.png``.

        Returns:
            The name for LoadImage's ``image``; differs from ``name`` if that was taken.
        """
        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8:
                raise TypeError(f"image: expected uint8 pixels, got {image.dtype}. Convert them.")
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "PNG")
            name, content = name or "image.png", buffer.getvalue()
        else:
            path = Path(image)
            name, content = name or path.name, path.read_bytes()
        response = self._request("POST", "/upload/image", files={"image": (name, content)})
        return str(response.json()["name"])

    def queue(self, prompt: Prompt) -> str:
        """Queue a graph in API format and return its prompt id.

        Raises:
            PromptRejectedError: The graph is not valid.
        """
        response = self._request(
            "POST",
            "/prompt",
            accept=(200, 400),
            json={"prompt": prompt, "client_id": self.client_id},
        )
        answer = response.json()
        if response.status_code != 200:
            node_errors = answer.get("node_errors") or {}
            message = f"Prompt rejected: {answer.get('error')}"
            if node_errors:
                message += "\n" + json.dumps(node_errors, indent=2)
            raise PromptRejectedError(message, node_errors)
        return str(answer["prompt_id"])

    def wait(self, prompt_id: str, timeout: float = RUN_TIMEOUT_S) -> Result:
        """Wait until a prompt has ended, in whatever way.

        Raises:
            TimeoutError: It did not within ``timeout`` seconds; it is interrupted then.
            ComfyServerError: The server died.
        """
        try:
            self.wait_event(
                prompt_id, "executing", timeout, where=lambda data: data["node"] is None
            )
        except TimeoutError:
            self.interrupt()
            raise
        with self._changed:
            events = tuple(event for event in self._events if event.prompt_id == prompt_id)
        types = {event.type for event in events}
        status: Literal["success", "error", "interrupted"] = "success"
        if "execution_interrupted" in types:
            status = "interrupted"
        elif "execution_success" not in types:
            status = "error"
        return Result(prompt_id, status, events, self.history(prompt_id)["outputs"])

    def run(self, prompt: Prompt, timeout: float = RUN_TIMEOUT_S) -> Result:
        """Queue a graph, wait for it and expect success.

        Raises:
            PromptRejectedError: The graph is not valid.
            PromptFailedError: It ended in an error or was interrupted.
        """
        result = self.wait(self.queue(prompt), timeout)
        if result.status != "success":
            message = f"Prompt ended with status {result.status!r}."
            if result.error is not None:
                message += (
                    f" Node {result.error['node_id']} ({result.error['node_type']}): "
                    f"{result.error['exception_type']}: {result.error['exception_message']}\n"
                    + "".join(result.error["traceback"])
                )
            raise PromptFailedError(message)
        return result

    def wait_event(
        self,
        prompt_id: str,
        event_type: str,
        timeout: float = RUN_TIMEOUT_S,
        where: Callable[[dict[str, Any]], bool] = lambda data: True,
    ) -> Event:
        """Wait for the first event of a prompt that has this type and fulfils ``where``.

        Raises:
            TimeoutError: None came within ``timeout`` seconds.
            ComfyServerError: The server died.
        """
        deadline = time.monotonic() + timeout
        seen = 0
        with self._changed:
            while True:
                for event in self._events[seen:]:
                    if (
                        event.prompt_id == prompt_id
                        and event.type == event_type
                        and where(event.data)
                    ):
                        return event
                seen = len(self._events)
                if self._closed_because is not None:
                    raise ComfyServerError(
                        f"The server went away ({self._closed_because}).{self._log_tail()}"
                    )
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    raise TimeoutError(
                        f"No {event_type!r} event of prompt {prompt_id} within {timeout:.0f} s."
                        f"{self._log_tail()}"
                    )
                self._changed.wait(remaining)

    def interrupt(self, prompt_id: str | None = None) -> None:
        """Cancel the running prompt, or only this one if it is the running one."""
        self._request("POST", "/interrupt", json={"prompt_id": prompt_id} if prompt_id else {})

    def history(self, prompt_id: str) -> dict[str, Any]:
        """ComfyUI's record of a finished prompt.

        Raises:
            KeyError: The prompt has not finished.
        """
        record: dict[str, Any] = self._get_json(f"/history/{prompt_id}")[prompt_id]
        return record

    def fetch_image(self, reference: Mapping[str, str]) -> bytes:
        """The file behind an image reference of ``Result.images``."""
        keys = ("filename", "subfolder", "type")
        parameters = {key: reference[key] for key in keys if key in reference}
        return self._request("GET", "/view", params=parameters).content

    def read_image(self, reference: Mapping[str, str]) -> np.ndarray:
        """Pixels behind an image reference: (H, W, C) uint8, RGB or RGBA."""
        with Image.open(io.BytesIO(self.fetch_image(reference))) as image:
            return np.asarray(image if image.mode == "RGBA" else image.convert("RGB"))

    def set_settings(self, settings: Mapping[str, Any]) -> None:
        """Change settings of the web page, as its settings dialog does."""
        self._request("POST", "/settings", json=dict(settings))

    def get_text(self, path: str) -> str:
        """What the server answers to a path, as its web page would ask for it."""
        return self._request("GET", path).text

    def _log_tail(self) -> str:
        log = self.log()
        return f" End of its log:\n{log[-LOG_TAIL_CHARS:]}" if log else ""

    def _read_events(self, connection: websocket.WebSocket) -> None:
        running: str | None = None
        reason = "it closed the connection"
        try:
            while True:
                message = connection.recv()
                if not message:
                    break
                event = _parse_event(message, running)
                if event.type == "execution_start":
                    running = event.prompt_id
                with self._changed:
                    self._events.append(event)
                    self._changed.notify_all()
        except (OSError, websocket.WebSocketException) as error:
            reason = f"{type(error).__name__}: {error}"
        with self._changed:
            self._closed_because = reason
            self._changed.notify_all()

    def _get_json(self, path: str) -> dict[str, Any]:
        content = self._request("GET", path).json()
        if not isinstance(content, dict):
            raise ComfyServerError(f"{path}: expected a JSON object, got {content!r:.200}.")
        return content

    def _request(
        self, method: str, path: str, accept: tuple[int, ...] = (200,), **keywords: Any
    ) -> requests.Response:
        try:
            response = self._http.request(
                method, self.url + path, timeout=HTTP_TIMEOUT_S, **keywords
            )
        except requests.RequestException as error:
            raise ComfyServerError(f"{method} {path}: {error}.{self._log_tail()}") from error
        if response.status_code not in accept:
            raise ComfyServerError(
                f"{method} {path}: expected status {accept}, got {response.status_code}: "
                f"{response.text[:500]}.{self._log_tail()}"
            )
        return response


def _parse_event(message: str | bytes, running: str | None) -> Event:
    now = time.monotonic()
    if isinstance(message, str):
        content = json.loads(message)
        return Event(content["type"], content["data"] or {}, now)
    code = int.from_bytes(message[:4], "big")
    if code not in (_BINARY_TEXT, _BINARY_PREVIEW_WITH_METADATA):
        return Event("binary", {"prompt_id": running, "code": code, "content": message[4:]}, now)
    length = int.from_bytes(message[4:8], "big")
    head, rest = message[8 : 8 + length].decode(), message[8 + length :]
    if code == _BINARY_TEXT:
        data = {"prompt_id": running, "node": head, "text": rest.decode()}
        return Event("progress_text", data, now)
    return Event("preview", {**json.loads(head), "image": rest}, now)
