"""Objects that a checkpoint should not hold."""

from pathlib import Path


class Bomb:
    """Pickles to a call that creates a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.marker,)
