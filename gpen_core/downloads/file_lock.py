"""A lock between processes that leaves nothing behind.

``filelock``, which PyTorch brings, keeps its file on POSIX for good; beside a user's models that is
litter. The system gives the lock back when a process dies.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextlib.contextmanager
def locked(path: Path, wait: Callable[[], None]) -> Iterator[None]:
    """Hold a lock that other processes and threads ask for by the same path.

    Args:
        path: The lock's file; it is made, and goes when the lock does.
        wait: Called while another holds it, before each new try; it sleeps, or raises to give up.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if _try_lock(descriptor) and _is_still_there(descriptor, path):
                break
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        wait()
    try:
        yield
    finally:
        if sys.platform == "win32":
            os.close(descriptor)
            with contextlib.suppress(OSError):  # another process has it open: now it is theirs
                path.unlink()
        else:
            path.unlink(missing_ok=True)  # before the lock is given back
            os.close(descriptor)


def _is_still_there(descriptor: int, path: Path) -> bool:
    """Not so if the one who held the lock removed the file after it was opened here."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
