"""``train PHOTOS``: train a network on a folder of photos; the work is that of ``training/``."""

from __future__ import annotations

import argparse
import importlib
from types import ModuleType
from typing import Any

_PACKAGES = ("gpen_training", "training")
"""What ``training/`` is called where it is installed, and in the repository."""


def add_to(commands: Any) -> None:
    """Add the command to the parser's subparsers; without training/ it ends with an error."""
    parser: argparse.ArgumentParser = commands.add_parser("train")
    training = _find_training()
    if training is None:
        parser.error("expected the folder training/, got none. Install gpen from its repository.")
    parser.description, parser.epilog = training.DESCRIPTION, training.EPILOG
    training.add_arguments(parser)
    parser.set_defaults(run=training.run)


def _find_training() -> ModuleType | None:
    for package in _PACKAGES:
        try:
            return importlib.import_module(f"{package}.command")
        except ModuleNotFoundError as error:
            if error.name not in (package, f"{package}.command"):
                raise
    return None
