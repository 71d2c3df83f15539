"""A real ComfyUI process in a private base directory.

Example::

    with ComfyServer(models=[Path("models")]) as server:
        name = server.upload_image("photo.png")
        result = server.run({"1": {"class_type": "LoadImage", "inputs": {"image": name}}, ...})
        pixels = server.read_image(result.images("2")[0])
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from comfy_client import ComfyClient, ComfyServerError
from environment import BUNDLED_HOST, REPOSITORY, host_folder

PACK_NAME = "gpen_face_restore"
MODEL_FOLDERS = ("facerestore_models", "gpen", "facedetection", "upscale_models")
"""Subfolders of a ComfyUI models folder that the pack reads; they need not exist."""

START_TIMEOUT_S = 300.0
STOP_TIMEOUT_S = 10.0
POLL_INTERVAL_S = 0.1


class ComfyServer(ComfyClient):
    """A ComfyUI process with the pack in it, and a client of it; a context manager.

    Nothing is written into the host's folder: custom nodes, input, output, user data and the
    database lie in a private base directory that goes when the server stops.
    """

    def __init__(
        self,
        *,
        host: Path | None = None,
        models: Sequence[Path] = (),
        packs: Mapping[str, Path] | None = None,
        arguments: Sequence[str] = ("--cpu",),
        variables: Mapping[str, str] | None = None,
        start_timeout_s: float = START_TIMEOUT_S,
    ) -> None:
        """Prepare a server; entering the context starts it.

        Args:
            host: Folder of the ComfyUI. None: the one named by COMFYUI_DIR, or the bundled one.
            models: ComfyUI models folders; the first is searched first. Only read.
            packs: Custom node packs, name -> folder. None: this repository.
            arguments: Further command line arguments of ComfyUI.
            variables: Further environment variables of the server.
            start_timeout_s: How long the start may take, in seconds.
        """
        super().__init__(_free_port())
        self.host = host if host is not None else host_folder()
        self.models = [folder.resolve() for folder in models]
        self.packs = dict(packs) if packs is not None else {PACK_NAME: REPOSITORY}
        self.arguments = list(arguments)
        self.variables = dict(variables or {})
        self.start_timeout_s = start_timeout_s
        self.base_directory = Path(tempfile.mkdtemp(prefix="comfyui-base-"))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ComfyServer:
        try:
            self._wait_until_ready(self._start())
            self.connect()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._process is not None:
            _kill_group(self._process)
        self.close()
        shutil.rmtree(self.base_directory, ignore_errors=True)

    def log(self) -> str:
        """Everything the server has printed so far."""
        return self._log_file.read_text("utf-8", errors="replace")

    @property
    def _log_file(self) -> Path:
        return self.base_directory / "server.log"

    def _start(self) -> subprocess.Popen[bytes]:
        if not (self.host / "main.py").is_file():
            raise ComfyServerError(
                f"host: expected a ComfyUI in {self.host}, got none. Run 'make setup' first."
            )
        base = self.base_directory
        (base / "input").mkdir()
        (base / "custom_nodes").mkdir()
        for name, folder in self.packs.items():
            (base / "custom_nodes" / name).symlink_to(folder.resolve(), target_is_directory=True)
        command = [
            *(sys.executable, "main.py", "--port", str(self.port), "--disable-auto-launch"),
            *("--base-directory", str(base)),
            *("--database-url", f"sqlite:///{base / 'comfyui.db'}"),
            "--disable-api-nodes",
            *self.arguments,
        ]
        if self.models:
            paths = base / "model_paths.yaml"
            paths.write_text(json.dumps(self._model_paths(), indent=2), "utf-8")  # JSON is YAML
            command += ["--extra-model-paths-config", str(paths)]
        variables = {**os.environ, "PYTHONUNBUFFERED": "1"}
        # With the repository on the path the pack's nodes/ would shadow ComfyUI's nodes.py.
        variables.pop("PYTHONPATH", None)
        if self.host != BUNDLED_HOST:
            variables["PYTHONDONTWRITEBYTECODE"] = "1"  # not even caches in a user's ComfyUI
        with self._log_file.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.host,
                env={**variables, **self.variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        return self._process

    def _model_paths(self) -> dict[str, dict[str, str]]:
        configuration = {}
        for number, folder in enumerate(self.models):
            found = [entry.name for entry in sorted(folder.iterdir()) if entry.is_dir()]
            names = dict.fromkeys([*MODEL_FOLDERS, *found])
            configuration[f"models_{number}"] = {
                "base_path": str(folder),
                **{name: name for name in names},
            }
        return configuration

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self.start_timeout_s
        while not self.is_ready():
            if process.poll() is not None:
                raise ComfyServerError(
                    f"ComfyUI in {self.host} ended with status {process.returncode} while "
                    f"starting.{self._log_tail()}"
                )
            if time.monotonic() > deadline:
                raise ComfyServerError(
                    f"ComfyUI in {self.host} did not answer within {self.start_timeout_s:.0f} s."
                    f"{self._log_tail()}"
                )
            time.sleep(POLL_INTERVAL_S)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _die_with_parent() -> None:
    """Without this a killed test run would leave its server behind."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and everything it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_TIMEOUT_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
