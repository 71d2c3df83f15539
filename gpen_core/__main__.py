"""The command line: ``python -m gpen_core COMMAND``, one of ``commands/``."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from . import __version__

COMMANDS = {
    "restore": "restore the faces in pictures, folders and videos",
    "compare": "measure how alike two pictures are",
    "degrade": "damage pictures on purpose, to test or train restorers",
    "download": "download a published model file, or list them",
    "info": "describe a checkpoint",
    "convert": "write a checkpoint as .safetensors",
    "bench": "time the network on this machine",
    "train": "train a small network, or a checkpoint of yours, on a folder of photos",
}
"""What each module of ``commands/`` does; only the one that is used is imported."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: the command's own, or 1 where a file cannot be read or written, with the
        reason on stderr.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    options = make_parser(arguments[0] if arguments else "").parse_args(arguments)
    from . import GpenError  # here, because it brings in PyTorch

    try:
        return int(options.run(options))
    except (GpenError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


def make_parser(command: str) -> argparse.ArgumentParser:
    """The parser of one command, or without one of that name a list of them all."""
    parser = argparse.ArgumentParser(
        prog="gpen" if Path(sys.argv[0]).stem == "gpen" else "python -m gpen_core",
        description="Blind face restoration with GPEN.",
        epilog="COMMAND --help describes the options of a command.",
    )
    parser.add_argument("--version", action="version", version=f"gpen {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    if command in COMMANDS:
        importlib.import_module(f".commands.{command}", __package__).add_to(commands)
    else:
        for name, what in COMMANDS.items():
            commands.add_parser(name, help=what)
    return parser


if __name__ == "__main__":
    sys.exit(main())
