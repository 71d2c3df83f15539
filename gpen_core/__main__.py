"""The command line: ``python -m gpen_core COMMAND``, one of ``commands/``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from . import GpenError
from .commands import bench, compare, convert, degrade, download, info, restore, train


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: the command's own, or 1 where a file cannot be read or written, with the
        reason on stderr.
    """
    parser = argparse.ArgumentParser(
        prog="python -m gpen_core", description="Blind face restoration with GPEN."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (info, convert, download, restore, degrade, compare, bench, train):
        command.add_to(commands)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except (GpenError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
