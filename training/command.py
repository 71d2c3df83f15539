"""The command ``train``: its arguments, and what they stand for."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from gpen_core import GpenConfig
from gpen_core.errors import GpenError

from .run import Plan, train
from .trainer import Recipe

DESCRIPTION = """\
Train a small GPEN network on a folder of photos, or go on training a GPEN checkpoint (--start).
The same command goes on from where an earlier one was stopped, with Ctrl-C or otherwise.
"""
_DEFAULTS = Recipe(pictures=100_000)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add every argument of the command."""
    parser.add_argument("photos", type=Path, help="folder of photos with a face each")
    parser.add_argument(
        "--output", type=Path, default=Path("run"), metavar="DIR", help="folder of the run: run"
    )
    parser.add_argument("--name", default="GPEN-small-256", help="of the network and its file")
    parser.add_argument("--start", type=Path, metavar="FILE", help="GPEN checkpoint to go on from")
    parser.add_argument("--narrow", type=float, default=0.25, help="width of a new network: 0.25")
    parser.add_argument("--held-out", type=int, default=40, help="photos not trained on: 40")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=int, help="of the CPU; default: all")
    recipe = parser.add_argument_group("recipe")
    for field in dataclasses.fields(Recipe):
        default = getattr(_DEFAULTS, field.name)
        name = f"--{field.name.replace('_', '-')}"
        recipe.add_argument(name, type=type(default), default=default, help=f"{default:g}")


def run(options: argparse.Namespace) -> int:
    """Train as the arguments say; the exit status is 0."""
    if options.threads:
        torch.set_num_threads(options.threads)
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    plan = Plan(
        photos=options.photos,
        output=options.output,
        name=options.name,
        config=GpenConfig(256, 1, options.narrow, n_mlp=4, style_dim=256),
        start=options.start,
        held_out=options.held_out,
        device=device,
    )
    fields = (field.name for field in dataclasses.fields(Recipe))
    path = train(plan, Recipe(**{name: getattr(options, name) for name in fields}))
    print(f"{path}: {path.stat().st_size:,} bytes")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 1 with the reason on stderr if it cannot."""
    parser = argparse.ArgumentParser(prog="python -m training", description=DESCRIPTION)
    add_arguments(parser)
    try:
        return run(parser.parse_args(arguments))
    except (GpenError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
