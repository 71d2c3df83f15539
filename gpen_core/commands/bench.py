"""``bench``: how fast the network is on this machine."""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from .. import (
    DTYPES,
    SUPPORTED_SIZES,
    GpenConfig,
    GpenGenerator,
    build_model,
    load_model,
    random_state_dict,
)


def add_to(commands: Any) -> None:
    """Add the command to the parser's subparsers."""
    parser = commands.add_parser("bench")
    parser.add_argument(
        "--model", type=Path, help="a checkpoint; without one, random weights of each size"
    )
    parser.add_argument("--size", type=int, nargs="+", choices=SUPPORTED_SIZES, help="default: all")
    parser.add_argument("--device", help="such as cpu, cuda or mps; default: cuda if there is one")
    parser.add_argument("--dtype", choices=list(DTYPES), nargs="+", help="default: fp32 on a CPU")
    parser.add_argument("--batch", type=_count, default=1, help="faces at once; default: 1")
    parser.add_argument("--runs", type=_count, default=3, help="their median is shown; default: 3")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print a line for each size and dtype."""
    device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtypes = options.dtype or (["fp32"] if device.type == "cpu" else list(DTYPES))
    print(f"PyTorch {torch.__version__}, {_describe(device)}, {options.batch} at once")
    print(f"{'size':>6}{'dtype':>7}{'ms/face':>10}{'faces/s':>9}")
    for size in [None] if options.model else options.size or SUPPORTED_SIZES:
        for dtype in dtypes:
            network = _network(size, options.model, DTYPES[dtype]).to(device)
            seconds = _median_seconds(network, device, options.batch, options.runs)
            per_face = seconds / options.batch
            print(
                f"{network.config.size:>6}{dtype:>7}{per_face * 1000:>10.4g}{1 / per_face:>9.3g}",
                flush=True,
            )
    return 0


def _network(size: int | None, model: Path | None, dtype: torch.dtype) -> GpenGenerator:
    if model is not None:
        return load_model(model, dtype=dtype)
    assert size is not None
    return build_model(random_state_dict(GpenConfig.published(size)), dtype)


def _median_seconds(network: GpenGenerator, device: torch.device, batch: int, runs: int) -> float:
    size = network.config.size
    crops = torch.rand(batch, 3, size, size, device=device) * 2 - 1
    seconds = []
    for _ in range(1 + runs):
        started = time.perf_counter()
        restored = network(crops)
        float(restored[0, 0, 0, 0])  # waits until the device is done
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])  # the first warms up


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, got {text}")
    return number


def _describe(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return f"{torch.get_num_threads()} threads of a CPU"
    return str(device)
