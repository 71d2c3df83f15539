"""The command ``train``: its arguments, and what they stand for."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from gpen_core import GpenConfig, GpenError

from .run import Plan, train
from .trainer import Recipe

DESCRIPTION = """\
Train a small GPEN network on a folder of photos, or continue training a GPEN checkpoint (--start).
The same command continues where an earlier one was stopped, with Ctrl-C or otherwise.
"""
EPILOG = """\
A few hundred sharp photos are enough. A picture takes about 0.3 CPU seconds on a recent server
core. The network is in the folder of the run when it ends, or when it is stopped.
"""
RECIPE_HELP = {
    "pictures": "number of faces seen, each time in another view with other damage",
    "batch": "faces in a step",
    "kernel_rate": "how far a step moves the 3x3 kernels",
    "learning_rate": "of all other weights",
    "cooldown": "share of the run at its end over which the rates fall to zero",
    "detail_from": "share of the run after which fine detail counts",
    "energy": "weight of its strength; more is sharper and less true",
    "texture": "weight of the discriminator; 0 is without",
    "critic_rate": "learning rate of the discriminator",
    "average_over": "half-life, in pictures, of the average of the weights",
    "seed": "of everything random",
}
"""A line for each field of ``Recipe``."""
_DEFAULTS = Recipe(pictures=100_000)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add every argument of the command."""
    parser.add_argument("photos", type=Path, help="folder of photos with one face each")
    parser.add_argument(
        "--output", type=Path, default=Path("run"), metavar="DIR", help="folder of the run: run"
    )
    parser.add_argument("--name", default="GPEN-small-256", help="of the network and its file")
    parser.add_argument("--start", type=Path, metavar="FILE", help="GPEN checkpoint to start from")
    parser.add_argument("--narrow", type=float, default=0.25, help="width of a new network: 0.25")
    parser.add_argument("--held-out", type=int, default=40, help="photos not trained on: 40")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=int, help="of the CPU; default: all")
    recipe = parser.add_argument_group("recipe")
    for field in dataclasses.fields(Recipe):
        default = getattr(_DEFAULTS, field.name)
        name = f"--{field.name.replace('_', '-')}"
        text = f"{RECIPE_HELP[field.name]}: {default:g}"
        recipe.add_argument(name, type=type(default), default=default, metavar="N", help=text)


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
    parser = argparse.ArgumentParser(
        prog="python -m training", description=DESCRIPTION, epilog=EPILOG
    )
    add_arguments(parser)
    try:
        return run(parser.parse_args(arguments))
    except (GpenError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
