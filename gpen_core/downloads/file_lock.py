"""A lock between processes for a file, whose own lock file lies elsewhere: it stays for good."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock


@contextlib.contextmanager
def locked(path: Path, wait: Callable[[], None]) -> Iterator[None]:
    """Hold a lock that other processes and threads of this user ask for by the same path.

    Args:
        path: What is locked; nothing is written there.
        wait: Called while another holds it, before each new try; it sleeps, or raises to give up.
    """
    lock = filelock.FileLock(_lock_file(path))
    while True:
        try:
            lock.acquire(timeout=0)
            break
        except filelock.Timeout:
            wait()
    try:
        yield
    finally:
        lock.release()


def _lock_file(path: Path) -> Path:
    # One user may not write to the file of another, and such a file would bar them for ever.
    user = os.getuid() if hasattr(os, "getuid") else ""
    digest = hashlib.sha256(f"{user}:{path.resolve()}".encode()).hexdigest()
    return Path(tempfile.gettempdir()) / f"gpen-{digest[:32]}.lock"
