"""What the tests of downloads have in common."""

import hashlib

from gpen_core.checkpoints.registry import KnownModel

NAME = "GPEN-test.onnx"
PATH = f"/models/{NAME}"
CONTENT = bytes(range(256)) * 4096  # 1 MiB
HALF = len(CONTENT) // 2


def known(content=CONTENT, n_bytes=None, url=f"https://example.invalid{PATH}"):
    """A published file of this content at a place that there is not."""
    return KnownModel(NAME, url, hashlib.sha256(content).hexdigest(), n_bytes)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


class CancelledError(Exception):
    """What an interrupt check raises."""


def cancel_after(folder, n_bytes):
    """An interrupt check that waits for no time but for what has come."""

    def check():
        part = folder / f"{NAME}.part"
        if part.is_file() and part.stat().st_size >= n_bytes:
            raise CancelledError

    return check
