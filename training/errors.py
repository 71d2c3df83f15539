"""What ``training`` raises on purpose."""

from __future__ import annotations

from gpen_core import GpenError


class TrainingError(GpenError, ValueError):
    """A run that cannot start. The message says what to do."""
