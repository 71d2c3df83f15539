"""``download NAME``: fetch a published model file, or list them."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .. import (
    KNOWN_MODELS,
    MIRROR_VARIABLE,
    Monitor,
    UnreachableError,
    download,
    find_known,
    target_path,
)

UNKNOWN_NAME = 2
UNREACHABLE = 3
CANCELLED = 130


def add_to(commands: Any) -> None:
    """Add the command to the parser's subparsers."""
    parser = commands.add_parser(
        "download",
        description="Fetch a published model file and check it; without a name, list them.",
        epilog=(
            "Exit status: 0 the file exists; 1 the download failed; 2 no file of that name is "
            "known; 3 no connection; 130 cancelled, and the same command continues from there."
        ),
    )
    parser.add_argument("name", nargs="?", help="file name, such as GPEN-BFR-512.onnx")
    parser.add_argument(
        "--list", action="store_true", help="print every file with its address and SHA-256"
    )
    parser.add_argument(
        "--to", type=Path, default=Path(), metavar="FOLDER", help="default: this folder"
    )
    parser.add_argument(
        "--mirror",
        default=os.environ.get(MIRROR_VARIABLE),
        metavar="URL",
        help=f"replaces scheme and host of the address; default: ${MIRROR_VARIABLE}",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Download a file, or print the list."""
    if options.list or options.name is None:
        _print_list()
        return 0
    model = find_known(options.name)
    if model is None:
        print(
            f"name: expected a published file, got {options.name}. Run download --list to see all.",
            file=sys.stderr,
        )
        return UNKNOWN_NAME
    if target_path(model.filename, options.to).is_file():
        print(f"{options.to / model.filename}: already there")
        return 0
    try:
        with _progress(model.filename) as monitor:
            path = download(model, options.to, mirror=options.mirror, monitor=monitor)
    except UnreachableError as error:
        print(error, file=sys.stderr)
        return UNREACHABLE
    except KeyboardInterrupt:
        print("Cancelled. The same command continues from here.", file=sys.stderr)
        return CANCELLED
    checked = "SHA-256 as published" if model.sha256 else "no published hash; tensors only"
    print(f"{path}: {path.stat().st_size:,} bytes, {checked}")
    print(f"Licence: {model.license}")
    return 0


def _print_list() -> None:
    for model in KNOWN_MODELS:
        size = f"{model.n_bytes / 1e6:.0f} MB" if model.n_bytes else "?"
        print(f"{model.filename:<34} {size:>6}  {model.license}")
        print(f"    {model.url}")
        for sha256 in model.hashes or ("not published",):
            print(f"    SHA-256 {sha256}")


@contextmanager
def _progress(name: str) -> Iterator[Monitor]:
    try:
        from tqdm import tqdm
    except ImportError:
        yield Monitor()
        return
    with tqdm(desc=name, unit="B", unit_scale=True, disable=None) as bar:

        def update(done: int, total: int) -> None:
            bar.total = total or None
            bar.update(done - bar.n)

        yield Monitor(update)
