"""How far the network in half precision is from itself in float32.

    python benchmarks/half_precision.py [--sizes 256 512] [--seeds 4]

Relative L2 error with random weights of the published shapes, one face of noise: over several
networks, for one and the next differ by a factor of three. "Eager" and "fused" are the ways of a
GPU, computed on the CPU, with the plain PyTorch that defines the kernels in their place; float16
takes minutes there. "On a CPU" is its own way.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from unittest.mock import patch

import torch

# Appended, so that the pack's nodes/ shadows nothing.
sys.path.append(str(Path(__file__).resolve().parent.parent))
sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

from gpen_core.network import layers, synthetic
from gpen_core.network.config import GpenConfig
from gpen_core.network.fused import forward, twins
from gpen_core.network.generator import GpenGenerator
from support import reference_gpen
from support.metrics import relative_l2
from support.stand_in_gpu import DEVICE, stand_in_gpu

PUBLISHED = {256: GpenConfig(256, 1, 0.5), **{s: GpenConfig(s, 2, 1) for s in (512, 1024, 2048)}}
WEIGHTS = {
    "synthetic": synthetic.random_state_dict,
    "reference_gpen": reference_gpen.random_state_dict,
}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--seeds", type=int, default=4, help="networks of each kind")
    arguments = parser.parse_args()
    print("| size | weights | dtype | eager, rms | worst | fused, rms | worst | on a CPU | worst |")
    print("|---|---|---|---|---|---|---|---|---|")
    for size in arguments.sizes:
        for name, random_state_dict in WEIGHTS.items():
            networks = [random_state_dict(PUBLISHED[size], seed) for seed in range(arguments.seeds)]
            for dtype in (torch.float16, torch.bfloat16):
                errors = torch.tensor([_errors(network, size, dtype) for network in networks])
                columns = torch.stack((errors.square().mean(0).sqrt(), errors.amax(0)), dim=1)
                cells = " | ".join(f"{value:.1e}" for value in columns.flatten())
                print(f"| {size} | {name} | {dtype} | {cells} |", flush=True)


def _errors(
    state_dict: dict[str, torch.Tensor], size: int, dtype: torch.dtype
) -> tuple[float, float, float]:
    """Eager, fused, and on a CPU."""
    crops = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1
    expected = GpenGenerator.from_state_dict(state_dict)(crops)
    network = GpenGenerator.from_state_dict(state_dict, dtype)
    on_cpu = relative_l2(network(crops), expected)
    with stand_in_gpu():
        network.to(DEVICE)
        eager = network(crops.to(DEVICE)).cpu()
        with (
            patch.object(layers, "uses_kernels", lambda x: True),
            patch.object(forward, "kernels", lambda: twins),
        ):
            fused = network(crops.to(DEVICE)).cpu()
    return relative_l2(eager, expected), relative_l2(fused, expected), on_cpu


if __name__ == "__main__":
    main()
