"""How far the network in half precision is from itself in float32, on a CPU.

    python benchmarks/half_precision.py [--sizes 256 512]

Relative L2 error with random weights of the published shapes, one face. "Fused" is the way of a
GPU, with the plain PyTorch that defines the kernels in their place. float16 takes a CPU minutes.
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

PUBLISHED = {256: GpenConfig(256, 1, 0.5), **{s: GpenConfig(s, 2, 1) for s in (512, 1024, 2048)}}
WEIGHTS = {
    "synthetic": synthetic.random_state_dict,
    "reference_gpen": reference_gpen.random_state_dict,
}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512])
    print("| size | weights | dtype | eager | fused |\n|---|---|---|---|---|")
    for size in parser.parse_args().sizes:
        crops = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1
        for name, random_state_dict in WEIGHTS.items():
            state_dict = random_state_dict(PUBLISHED[size])
            expected = GpenGenerator.from_state_dict(state_dict)(crops)
            for dtype in (torch.float16, torch.bfloat16):
                network = GpenGenerator.from_state_dict(state_dict, dtype)
                eager = relative_l2(network(crops), expected)
                with (
                    patch.object(layers, "uses_kernels", lambda x: True),
                    patch.object(forward, "kernels", lambda: twins),
                ):
                    fused = relative_l2(network(crops), expected)
                print(f"| {size} | {name} | {dtype} | {eager:.1e} | {fused:.1e} |", flush=True)


if __name__ == "__main__":
    main()
