"""Numbers on the command line, checked before anything is loaded."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def whole(lowest: int) -> Callable[[str], int]:
    """Reads whole numbers from ``lowest`` on."""

    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < lowest:
            raise argparse.ArgumentTypeError(
                f"expected a whole number of at least {lowest}, got {text!r}. "
                f"Give {lowest} or more, in digits."
            )
        return int(text)

    return number


def share(text: str) -> float:
    """Reads a number from 0 to 1."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(
            f"expected a number from 0 to 1, got {text!r}. Give a decimal, such as 0.5."
        )
    return number
