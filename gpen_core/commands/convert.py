"""``convert IN OUT.safetensors``: write a checkpoint as .safetensors."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .. import convert_checkpoint


def add_to(commands: Any) -> None:
    """Add the command to the parser's subparsers."""
    parser = commands.add_parser("convert")
    parser.add_argument("input", type=Path, help="checkpoint of any format")
    parser.add_argument("output", type=Path, help="must end in .safetensors")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Convert and say what was written."""
    config = convert_checkpoint(options.input, options.output)
    n_bytes = options.output.stat().st_size
    print(f"{options.output}: GPEN-{config.size}, {n_bytes:,} bytes")
    return 0
