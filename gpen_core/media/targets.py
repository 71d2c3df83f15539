"""What may be written to."""

from __future__ import annotations

from pathlib import Path

from ..errors import MediaError


def check_other_file(source: str | Path, target: str | Path) -> None:
    """Check that a target is not the source itself, by whatever path.

    Raises:
        MediaError: It is; it would be overwritten.
    """
    target = Path(target)
    if target.exists() and target.samefile(source):
        raise MediaError(
            f"target: expected another file than the source, got {target} for both. "
            "Name a file that does not exist yet."
        )
