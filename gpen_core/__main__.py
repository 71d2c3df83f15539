"""The command line: ``python -m gpen_core info FILE`` and ``convert IN OUT.safetensors``."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from .checkpoints.checkpoint import convert_checkpoint, load_state_dict, read_notice
from .checkpoints.registry import GPEN_MODELS
from .errors import GpenError
from .network.config import detect_config


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: 0, or 1 where a file cannot be read or written, with the reason on stderr.
    """
    parser = argparse.ArgumentParser(prog="python -m gpen_core", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    info = commands.add_parser("info", help="say what a checkpoint is")
    info.add_argument("file", type=Path)
    info.add_argument("--json", action="store_true", help="print JSON")
    info.set_defaults(run=lambda options: _info(options.file, options.json))

    convert = commands.add_parser("convert", help="write a checkpoint as .safetensors")
    convert.add_argument("input", type=Path)
    convert.add_argument("output", type=Path, help="must end in .safetensors")
    convert.set_defaults(run=lambda options: _convert(options.input, options.output))

    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except (GpenError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _info(file: Path, as_json: bool) -> None:
    state_dict = load_state_dict(file)
    found: dict[str, object] = {
        "file": str(file),
        **detect_config(state_dict, file.name).to_dict(),
        "parameters": sum(v.numel() for k, v in state_dict.items() if not k.endswith(".kernel")),
        "dtype": "/".join(
            sorted({str(v.dtype).removeprefix("torch.") for v in state_dict.values()})
        ),
        "sha256": _sha256(file),
    }
    known = next((model for model in GPEN_MODELS if model.sha256 == found["sha256"]), None)
    found["published_as"] = known.filename if known else None
    notice = read_notice(file)
    if notice:
        found["notice"] = notice
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        shown = "unknown file" if name == "published_as" and value is None else value
        print(f"{name:<20} {shown}")


def _convert(source: Path, target: Path) -> None:
    config = convert_checkpoint(source, target)
    print(f"{target}: GPEN-{config.size}, {target.stat().st_size:,} bytes")


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
