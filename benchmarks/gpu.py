"""The network on a CUDA device: first the checks, then how long it takes and what it takes.

    python benchmarks/gpu.py [--sizes 256 512 1024 2048] [--skip-checks] [--output FILE]

Writes what it prints below the heading "On a GPU" of benchmarks/results/gpu.md. Needs PyTorch for
CUDA, safetensors, numpy and pytest. The weights are random, of the published shapes. "Plain fp32"
is what PyTorch makes of float32 by default: its convolutions round to TF32.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import torch
from torch import Tensor

# Appended, so that the pack's nodes/ shadows nothing.
sys.path.append(str(Path(__file__).resolve().parent.parent))
sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

import around_device
from traffic import bytes_moved, copy_bandwidth

from gpen_core import DTYPES, SUPPORTED_SIZES, GpenConfig, build_model, random_state_dict
from gpen_core.network import ops
from gpen_core.network.ops.dispatch import EAGER_VARIABLE
from support.reference_gpen import ReferenceGpen

REPOSITORY = Path(__file__).resolve().parent.parent
RESULTS = REPOSITORY / "benchmarks" / "results" / "gpu.md"
HEADING = "## On a GPU\n"
PUBLISHED = {size: GpenConfig.published(size) for size in SUPPORTED_SIZES}
HALVES = {name: dtype for name, dtype in DTYPES.items() if dtype.itemsize == 2}
BATCHES = (1, 8)

FUSED, EAGER = "fused", "eager"
PLAIN_FP32, PLAIN_FP16 = "plain fp32", "plain fp16"

COLUMNS = ["size", "dtype", "batch", "way", "ms/face", "faces/s", "peak GB"]
COLUMNS += ["times plain fp32", "times floor"]

GOAL_MS = {256: 0.6, 512: 1.5, 1024: 3.0, 2048: 6.0}
GOAL_PEAK_GB = 1.5
GOAL_BATCH_GAIN = 1.3
AROUND_SIZE = 2048


@dataclass(frozen=True)
class Row:
    """One measurement."""

    size: int
    dtype: str
    batch: int
    way: str
    ms: float | None
    """Median device time of a whole batch; None where it did not fit into the memory."""
    peak: int
    """Most bytes that tensors took at once, weights, input and output included."""
    floor_ms: float

    def cells(self, plain_ms: float | None) -> list[str]:
        """As the table shows it."""
        face = [str(self.size), self.dtype, str(self.batch), self.way]
        if self.ms is None:
            return [*face, "out of memory", "", "", "", ""]
        ms = self.ms / self.batch
        ratio = "" if plain_ms is None else f"{plain_ms / ms:.1f}"
        return [
            *face,
            f"{ms:.3f}",
            f"{1e3 / ms:.0f}",
            f"{self.peak / 2**30:.2f}",
            ratio,
            f"{self.ms / self.floor_ms:.1f}",
        ]


def main() -> int:
    """Check, measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=sorted(PUBLISHED))
    parser.add_argument("--skip-checks", action="store_true", help="only measure")
    parser.add_argument(
        "--cudnn-benchmark", action="store_true", help="let cuDNN try its algorithms first"
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="file to write into")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("No CUDA device: nothing was run.", file=sys.stderr)
        return 1
    torch.backends.cudnn.benchmark = options.cudnn_benchmark
    cudnn = "on" if options.cudnn_benchmark else "off"
    checks = "not run" if options.skip_checks else run_checks()
    device = torch.device("cuda", torch.cuda.current_device())
    bandwidth = copy_bandwidth(device)
    rows = [row for size in options.sizes for row in measure_size(size, device, bandwidth)]
    settings = (
        f"{date.today().isoformat()}, {describe(device)}. A copy moves {bandwidth / 1e9:.0f} GB/s. "
        f"cuDNN's benchmark is {cudnn}. Random weights of the published shapes; median device time "
        "by CUDA events. The floor is the time to read and write the map of each step once."
    )
    report = "\n".join(
        [
            HEADING,
            settings,
            "",
            f"Checks (`tests/gpu`, `tests/core/network/ops/test_fused.py`): {checks}.",
            "",
            *table(rows),
            "",
            *goals(rows),
            "",
            f"Pre- and post-processing at {AROUND_SIZE}: `restore_faces` on an image on the "
            "device, with a copy in the network's place. Of the first two 1 ms at most is wanted.",
            "",
            *measure_around(device),
            "",
        ]
    )
    print(report)
    before = options.output.read_text(encoding="utf-8") if options.output.exists() else ""
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(before.partition(HEADING)[0] + report, encoding="utf-8")
    return 0 if options.skip_checks or "failed" not in checks else 1


def describe(device: torch.device) -> str:
    """Device and versions."""
    kernels = "with Triton " + _triton_version()
    return f"{torch.cuda.get_device_name(device)}, PyTorch {torch.__version__}, {kernels}"


def _triton_version() -> str:
    try:
        import triton
    except ImportError:
        return "missing"
    return str(triton.__version__)


def run_checks() -> str:
    """The tests that need a device, and the last line that pytest prints."""
    tests = ["tests/gpu", "tests/core/network/ops/test_fused.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-c", "tests/pytest.ini", *tests]
    done = subprocess.run(command, cwd=REPOSITORY, text=True, capture_output=True, check=False)  # noqa: S603
    print(done.stdout, done.stderr)
    last = (done.stdout.strip().splitlines() or ["pytest did not start, failed"])[-1]
    return last.strip("= ") if done.returncode == 0 else f"{last.strip('= ')} (failed)"


def measure_size(size: int, device: torch.device, bandwidth: float) -> list[Row]:
    """All ways of one size."""
    config = PUBLISHED[size]
    state_dict = random_state_dict(config)
    rows = []

    def measure(way: str, dtype: str, batch: int, network: Callable[[Tensor], Tensor]) -> None:
        itemsize = 4 if dtype == "fp32" else 2
        floor_ms = bytes_moved(config, itemsize, batch) / bandwidth * 1e3
        crops = torch.rand(batch, 3, size, size, device=device) * 2 - 1
        if way == PLAIN_FP16:
            crops = crops.half()
        ms, peak = time_and_peak(network, crops)
        rows.append(Row(size, dtype, batch, way, ms, peak, floor_ms))
        print(*rows[-1].cells(None), flush=True)

    for name, dtype in HALVES.items():
        network = build_model(state_dict, dtype).to(device)
        for batch in BATCHES:
            measure(FUSED, name, batch, network)
            os.environ[EAGER_VARIABLE] = "1"
            measure(EAGER, name, batch, network)
            del os.environ[EAGER_VARIABLE]
        if not ops.dispatcher.kernels_work(device, dtype):
            print(f"The kernels do not work in {name}: 'fused' ran eagerly.")
        del network

    plain = ReferenceGpen(config)
    plain.load_state_dict(state_dict)
    for way, name, dtype in (
        (PLAIN_FP32, "fp32", torch.float32),
        (PLAIN_FP16, "fp16", torch.float16),
    ):
        plain = plain.to(device, dtype)
        for batch in BATCHES:
            measure(way, name, batch, torch.no_grad()(plain))
    return rows


def time_and_peak(
    network: Callable[[Tensor], Tensor], crops: Tensor, n_runs: int = 30
) -> tuple[float | None, int]:
    """Median milliseconds of a pass, and the most bytes that tensors took during all of them."""
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    try:
        for _ in range(5):  # kernels are compiled
            network(crops)
        times = []
        for _ in range(n_runs):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            network(crops)
            end.record()
            end.synchronize()
            times.append(start.elapsed_time(end))
    except torch.cuda.OutOfMemoryError:
        return None, 0
    return statistics.median(times), torch.cuda.max_memory_allocated()


def measure_around(device: torch.device) -> list[str]:
    """What surrounds the network, in Markdown."""
    lines = ["| blending | ms a face |", "|---|---|"]
    for name, settings in around_device.SETTINGS.items():
        around = around_device.Around(PUBLISHED[AROUND_SIZE], settings, device)
        ms, _ = time_and_peak(around, around_device.image(device))
        lines.append(f"| {name} | {'out of memory' if ms is None else f'{ms:.2f}'} |")
    return lines


def table(rows: list[Row]) -> list[str]:
    """Everything measured, in Markdown."""
    head = [
        "size",
        "dtype",
        "batch",
        "way",
        "ms/face",
        "faces/s",
        "peak GB",
        "x plain fp32",
        "x floor",
    ]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        plain = find(rows, row.size, "fp32", row.batch, PLAIN_FP32)
        plain_ms = plain.ms / plain.batch if plain and plain.ms else None
        lines.append(row.cells(plain_ms))
    return [f"| {' | '.join(line)} |" for line in lines]


def goals(rows: list[Row]) -> list[str]:
    """What was wanted of fp16 beside what was measured."""
    lines = ["| goal in fp16 | measured | |", "|---|---|---|"]

    def add(goal: str, value: float | None, unit: str, met: bool) -> None:
        if value is None:
            lines.append(f"| {goal} | not measured | |")
        else:
            lines.append(f"| {goal} | {value:.2f} {unit} | {'met' if met else 'not met'} |")

    for size, goal in GOAL_MS.items():
        row = find(rows, size, "fp16", 1, FUSED)
        ms = row.ms if row else None
        add(f"{size}: at most {goal} ms a face", ms, "ms", ms is not None and ms <= goal)
    row = find(rows, 2048, "fp16", 1, FUSED)
    peak = row.peak / 2**30 if row and row.ms else None
    is_small = peak is not None and peak <= GOAL_PEAK_GB
    add(f"2048: peak of at most {GOAL_PEAK_GB} GB", peak, "GB", is_small)
    one, eight = (find(rows, 512, "fp16", batch, FUSED) for batch in BATCHES)
    gain = 8 * one.ms / eight.ms if one and eight and one.ms and eight.ms else None
    is_faster = gain is not None and gain >= GOAL_BATCH_GAIN
    add(f"512: batch of 8 at least {GOAL_BATCH_GAIN} times as fast", gain, "times", is_faster)
    return lines


def find(rows: list[Row], size: int, dtype: str, batch: int, way: str) -> Row | None:
    """The row of these settings."""
    wanted = (size, dtype, batch, way)
    return next((r for r in rows if (r.size, r.dtype, r.batch, r.way) == wanted), None)


if __name__ == "__main__":
    sys.exit(main())
