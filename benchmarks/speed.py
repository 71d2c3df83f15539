"""How fast the network is, beside the plain formulation and onnxruntime in the same run.

    python benchmarks/speed.py [--sizes 512 2048] [--rounds 3] [--json FILE]
    python benchmarks/speed.py --processor-time        # on a machine that is busy with other things
    python benchmarks/speed.py --device cuda --dtypes fp32 fp16 bf16 --batches 1 8

The weights are random, of the published widths. Every contender runs in a process of its own, from
a file; a round times each of them once, so that what disturbs the machine hits all alike, and the
median of the rounds is printed. Peak memory is that of the whole process on a CPU, PyTorch and
weights and loading included, and what PyTorch allocated on CUDA. ``error`` is the relative L2
distance to the plain formulation in float32.

The floor is the least time that the arithmetic or the memory allows. On a CPU: the operations of
direct convolution (``costs.py``), over the best rate of a 2048 x 2048 matrix product and of a 3x3
convolution of 512 channels, measured in every round; where the network multiplies less
(``winograd.py``) it may come below. On CUDA: the bytes that the fused network moves
(``traffic.py``), over the bandwidth of copying 1 GiB. With ``--processor-time`` everything runs on
one thread and is timed by what it computed for, which other programs change little.

A ratio to plain or onnxruntime says how many times faster a row is; a ratio to the floor, how many
times the floor it takes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import torch
from contenders import (
    Contender,
    Worker,
    measure_rate,
    write_checkpoints,
)
from costs import arithmetic_flop
from traffic import bytes_moved

from gpen_core import DTYPES, GpenConfig


@dataclass(frozen=True)
class Row:
    """A line of the table, and of the JSON file."""

    name: str
    device: str
    size: int
    dtype: str
    batch: int
    ms_per_face: float
    faces_per_second: float
    peak_memory_gb: float
    error: float | None
    times_plain: float | None
    times_onnxruntime: float | None
    of_floor: float


def main() -> None:
    """Time all that was asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 2048])
    parser.add_argument("--dtypes", choices=list(DTYPES), nargs="+", default=["fp32"])
    parser.add_argument("--batches", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--processor-time", action="store_true", help="one thread, by its time")
    parser.add_argument("--compile", action="store_true", help="add torch.compile of ours")
    parser.add_argument("--only-ours", action="store_true", help="without plain and onnxruntime")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args()
    if options.processor_time:
        options.threads = 1

    rows: list[Row] = []
    print(_HEADER, flush=True)
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            for row in _time_size(size, options, Path(folder)):
                rows.append(row)
                print(_line(row), flush=True)
    machine = _machine(options)
    print(f"\n{machine}")
    if options.json:
        document = {"machine": machine, "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(document, indent=1) + "\n")


def _time_size(size: int, options: argparse.Namespace, folder: Path) -> list[Row]:
    config = GpenConfig.published(size)
    on_cpu = options.device == "cpu"
    write_checkpoints(config, folder, onnx=on_cpu and not options.only_ours)
    kinds = [("ours", dtype) for dtype in options.dtypes]
    if options.compile:
        kinds += [("compiled", dtype) for dtype in options.dtypes]
    if not options.only_ours:
        kinds += [("plain", dtype) for dtype in options.dtypes if dtype != "bf16"]
        kinds += [("onnxruntime", "fp32")] if on_cpu else []
    contenders = [
        Contender(
            name,
            config,
            options.device,
            dtype,
            batch,
            folder,
            options.threads,
            options.processor_time,
        )
        for batch in options.batches
        for name, dtype in kinds
    ]
    workers = [Worker(contender) for contender in contenders]
    rates = []
    for _ in range(options.rounds):
        rates.append(measure_rate(options.device, options.threads, options.processor_time))
        for worker in workers:
            worker.time_once()
    for worker in workers:
        worker.finish()
    return [_row(worker, workers, statistics.median(rates)) for worker in workers]


def _row(worker: Worker, workers: list[Worker], rate: float) -> Row:
    job = worker.contender
    config, dtype = job.config, DTYPES[job.dtype]
    if job.device == "cpu":
        floor = job.batch * arithmetic_flop(config) / rate
    else:
        floor = bytes_moved(config, dtype.itemsize, job.batch) / rate

    def times(name: str) -> float | None:
        peers = [w for w in workers if w.contender.name == name and w.contender.batch == job.batch]
        same = [w for w in peers if w.contender.dtype == job.dtype] or peers
        return same[0].median_seconds / worker.median_seconds if same else None

    plain = [w for w in workers if (w.contender.name, w.contender.dtype) == ("plain", "fp32")]
    reference = next((w for w in plain if w.contender.batch == job.batch), None)
    return Row(
        name=job.name,
        device=job.device,
        size=config.size,
        dtype=job.dtype,
        batch=job.batch,
        ms_per_face=worker.median_seconds / job.batch * 1000,
        faces_per_second=job.batch / worker.median_seconds,
        peak_memory_gb=worker.peak_bytes / 1e9,
        error=None if reference is None else _error(worker, reference),
        times_plain=times("plain"),
        times_onnxruntime=times("onnxruntime"),
        of_floor=worker.median_seconds / floor,
    )


def _error(worker: Worker, reference: Worker) -> float:
    actual, expected = (np.load(w.contender.output).astype(float) for w in (worker, reference))
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))


_HEADER = (
    f"{'network':<12}{'device':>7}{'size':>6}{'dtype':>6}{'batch':>6}{'ms/face':>10}{'faces/s':>9}"
    f"{'peak GB':>9}{'error':>9}{'x plain':>9}{'x onnxrt':>9}{'of floor':>9}"
)


def _line(row: Row) -> str:
    def ratio(value: float | None) -> str:
        return "" if value is None else f"{value:.2f}"

    error = "" if row.error is None else f"{row.error:.0e}"
    return (
        f"{row.name:<12}{row.device:>7}{row.size:>6}{row.dtype:>6}{row.batch:>6}"
        f"{row.ms_per_face:>10.4g}{row.faces_per_second:>9.3g}{row.peak_memory_gb:>9.2f}{error:>9}"
        f"{ratio(row.times_plain):>9}{ratio(row.times_onnxruntime):>9}{row.of_floor:>9.2f}"
    )


def _machine(options: argparse.Namespace) -> str:
    now = datetime.now(timezone.utc).date().isoformat()
    device = f"{options.threads} cores of a CPU"
    if options.device == "cuda":
        device = torch.cuda.get_device_name()
    elif options.processor_time:
        device = "processor time of one core of a CPU"
    return f"{now}, {device}, PyTorch {torch.__version__}"


if __name__ == "__main__":
    main()
