"""What follows work while it is done: progress, preview and interruption."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


def _nothing(*_: object) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Monitor:
    """Callbacks of long work; each does nothing unless it is given."""

    on_progress: Callable[[int, int], None] = _nothing
    """Called after each chunk of work with the number of steps done and of all."""
    on_crop: Callable[[Tensor], None] = _nothing
    """Called with each restored crop, to be looked at but not changed: (3, S, S) float32 RGB in
    [0, 1] on the model's device."""
    check_interrupt: Callable[[], None] = _nothing
    """Called before each chunk of work; what it raises ends the work."""

    def without_progress(self) -> Monitor:
        """For a part of the work whose steps do not count: interruption alone."""
        return Monitor(check_interrupt=self.check_interrupt)


SILENT = Monitor()
"""Follows nothing."""
