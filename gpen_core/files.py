"""Files that appear under their name only once they are complete."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def complete_file(target: Path) -> Iterator[Path]:
    """Give a path to write to, and rename what was written to ``target`` at the end.

    Whatever ends the block early leaves ``target`` as it was. The path is hidden, beside the
    target, of the same suffix and the same each time: what a killed process left there is
    overwritten by the next.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.stem}.partial{target.suffix}")
    try:
        yield partial
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
