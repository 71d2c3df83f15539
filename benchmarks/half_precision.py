"""How far the network in half precision is from itself in float32.

    python benchmarks/half_precision.py [--sizes 256 512] [--seeds 4]

Relative L2 error with random weights of the published shapes, one face of noise: over several
networks, for one and the next differ by a factor of three. "On a device" is what a GPU computes
without kernels, computed on the CPU, where float16 takes minutes; "on a CPU" is its own way.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

# Appended, so that the pack's nodes/ shadows nothing.
sys.path.append(str(Path(__file__).resolve().parent.parent))
sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

from gpen_core import DTYPES, SUPPORTED_SIZES, GpenConfig, build_model
from gpen_core.network import synthetic
from support import reference_gpen
from support.metrics import relative_l2
from support.networks import random_crops, restore_on_stand_in

PUBLISHED = {size: GpenConfig.published(size) for size in SUPPORTED_SIZES}
HALVES = {name: dtype for name, dtype in DTYPES.items() if dtype.itemsize == 2}
WEIGHTS = {
    "synthetic": synthetic.random_state_dict,
    "reference_gpen": reference_gpen.moved_state_dict,
}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--seeds", type=int, default=4, help="networks of each kind")
    arguments = parser.parse_args()
    ways = ("on a device", "on a CPU")
    titles = [
        "size",
        "weights",
        "dtype",
        *(f"{way}, {n}" for way in ways for n in ("rms", "worst")),
    ]
    print(f"| {' | '.join(titles)} |\n{'|---' * len(titles)}|")
    for size in arguments.sizes:
        for name, draw_weights in WEIGHTS.items():
            errors = torch.tensor(
                [
                    _errors(draw_weights(PUBLISHED[size], seed), PUBLISHED[size])
                    for seed in range(arguments.seeds)
                ]
            )  # [seeds, dtypes, ways]
            columns = torch.stack((errors.square().mean(0).sqrt(), errors.amax(0)), dim=2)
            for dtype, row in zip(HALVES, columns.flatten(1), strict=True):
                cells = " | ".join(f"{value:.1e}".replace("e-0", "e-") for value in row.tolist())
                print(f"| {size} | `{name}` | {dtype} | {cells} |", flush=True)


def _errors(state_dict: dict[str, torch.Tensor], config: GpenConfig) -> list[list[float]]:
    """Of one network in each dtype: on a device, and on a CPU."""
    crops = random_crops(config)
    expected = build_model(state_dict)(crops)
    errors = []
    for dtype in HALVES.values():
        on_device = restore_on_stand_in(state_dict, dtype, crops)
        on_cpu = build_model(state_dict, dtype)(crops)
        errors.append([relative_l2(restored, expected) for restored in (on_device, on_cpu)])
    return errors


if __name__ == "__main__":
    main()
