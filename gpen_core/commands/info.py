"""``info [FILE]``: describe a checkpoint."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .. import BUNDLED_RESTORER, GPEN_MODELS, file_sha256, read_checkpoint, read_notice
from .restore_arguments import BUNDLED


def add_to(commands: Any) -> None:
    """Add the command to the parser's subparsers."""
    parser = commands.add_parser("info")
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        default=BUNDLED,
        help="a checkpoint; default: the one that comes with the package, %(default)s",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print what the file holds."""
    found = _describe(BUNDLED_RESTORER if options.file == Path(BUNDLED) else options.file)
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    for name, value in found.items():
        shown = "not published" if name == "published_as" and value is None else value
        print(f"{name:<20} {shown}")
    return 0


def _describe(file: Path) -> dict[str, object]:
    state_dict, config = read_checkpoint(file)
    found: dict[str, object] = {
        "file": str(file),
        **config.to_dict(),
        "parameters": sum(v.numel() for k, v in state_dict.items() if not k.endswith(".kernel")),
        "dtype": "/".join(
            sorted({str(v.dtype).removeprefix("torch.") for v in state_dict.values()})
        ),
        "sha256": file_sha256(file),
    }
    known = next((model for model in GPEN_MODELS if found["sha256"] in model.hashes), None)
    found["published_as"] = known.filename if known else None
    notice = read_notice(file)
    if notice:
        found["notice"] = notice
    return found
