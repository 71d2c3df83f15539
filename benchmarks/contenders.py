"""The networks that are timed, each in a process of its own so that its memory can be told."""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

# Appended, so that the pack's nodes/ shadows nothing.
sys.path.append(str(Path(__file__).resolve().parent.parent))
sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

import gpen_core
from gpen_core import DTYPES, GpenConfig, random_state_dict
from support.onnx_export import export_onnx
from support.reference_gpen import ReferenceGpen

CUDA_REPEATS = 20


@dataclass(frozen=True)
class Contender:
    """One row of the table."""

    name: str
    """ours, plain, onnxruntime or compiled."""
    config: GpenConfig
    device: str
    dtype: str
    batch: int
    folder: Path
    """Where checkpoints and outputs lie."""
    threads: int
    processor_time: bool
    """Time what the process computed for, not what passed."""

    @property
    def checkpoint(self) -> Path:
        """The random weights as a file."""
        return self.folder / f"{self.config.size}.safetensors"

    @property
    def output(self) -> Path:
        """Where the first result is kept."""
        return self.folder / f"{self.name}_{self.config.size}_{self.dtype}_{self.batch}.npy"


class Worker:
    """A contender in its process: built and run once, then timed whenever asked."""

    def __init__(self, contender: Contender) -> None:
        self.contender = contender
        self.seconds: list[float] = []
        self.peak_bytes = 0
        context = multiprocessing.get_context("spawn")
        self._connection, far_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(contender, far_end), daemon=True)
        self._process.start()
        far_end.close()
        self._connection.recv()

    def time_once(self) -> None:
        """One more measurement."""
        self._connection.send("run")
        self.seconds.append(self._connection.recv())

    def finish(self) -> None:
        """End the process and note its peak memory."""
        self._connection.send("finish")
        self.peak_bytes = self._connection.recv()
        self._process.join()

    @property
    def median_seconds(self) -> float:
        """The middle of the measurements."""
        return statistics.median(self.seconds)


def random_crops(size: int, batch: int) -> Tensor:
    """(batch, 3, size, size) float32 in [-1, 1], the same for every contender."""
    generator = torch.Generator().manual_seed(1)
    return torch.rand(batch, 3, size, size, generator=generator) * 2 - 1


def write_checkpoints(config: GpenConfig, folder: Path, onnx: bool) -> None:
    """Write random weights as .safetensors and, traced from the plain network, as .onnx."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_write_checkpoints, args=(config, folder, onnx))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"writing the checkpoints of {config.size} failed")


def _write_checkpoints(config: GpenConfig, folder: Path, onnx: bool) -> None:
    state_dict = random_state_dict(config)
    gpen_core.save_checkpoint(state_dict, folder / f"{config.size}.safetensors")
    if onnx:
        network = ReferenceGpen(config).eval()
        network.load_state_dict(state_dict)
        export_onnx(network, folder / f"{config.size}.onnx", size=config.size)


def _serve(contender: Contender, connection: Connection) -> None:
    torch.set_num_threads(contender.threads)
    torch.set_grad_enabled(False)
    crops = random_crops(contender.config.size, contender.batch)
    run = _BUILDERS[contender.name](contender, crops)
    np.save(contender.output, run())
    connection.send("ready")
    cuda = contender.device == "cuda"
    clock = time.process_time if contender.processor_time else time.perf_counter
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    while connection.recv() == "run":
        if cuda:
            connection.send(_device_seconds(run))
        else:
            started = clock()
            run()
            connection.send(clock() - started)
    if cuda:
        connection.send(torch.cuda.max_memory_allocated())
    else:
        connection.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def _device_seconds(run: Callable[[], object]) -> float:
    """Median seconds on the device of one run, by CUDA events."""
    durations = []
    for _ in range(CUDA_REPEATS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        end.synchronize()
        durations.append(start.elapsed_time(end) / 1000)
    return statistics.median(durations)


class _TorchRun:
    """A network with its crops on the device. Converted to numpy on the first run only."""

    def __init__(self, network: Callable[[Tensor], Tensor], crops: Tensor) -> None:
        self.network, self.crops = network, crops
        self.first = True

    def __call__(self) -> np.ndarray | None:
        result = self.network(self.crops)
        if not self.first:
            return None
        self.first = False
        return result.float().cpu().numpy()


def _ours(contender: Contender, crops: Tensor) -> _TorchRun:
    network = gpen_core.load_model(contender.checkpoint, contender.device, DTYPES[contender.dtype])
    return _TorchRun(network, crops.to(contender.device))


def _compiled(contender: Contender, crops: Tensor) -> _TorchRun:
    run = _ours(contender, crops)
    return _TorchRun(torch.compile(run.network, dynamic=False), run.crops)


def _plain(contender: Contender, crops: Tensor) -> _TorchRun:
    network = ReferenceGpen(contender.config)
    network.load_state_dict(gpen_core.load_state_dict(contender.checkpoint))
    dtype = DTYPES[contender.dtype]
    network = network.eval().to(contender.device, dtype)
    return _TorchRun(network, crops.to(contender.device, dtype))


def _onnxruntime(contender: Contender, crops: Tensor) -> Callable[[], np.ndarray]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = contender.threads
    session = onnxruntime.InferenceSession(
        contender.folder / f"{contender.config.size}.onnx",
        options,
        providers=["CPUExecutionProvider"],
    )
    feed = {"input": crops.numpy()}
    return lambda: session.run(None, feed)[0]


def measure_rate(device: str, threads: int, processor_time: bool) -> float:
    """Operations a second on a CPU, bytes a second on CUDA; see ``floor`` in ``speed.py``."""
    torch.set_num_threads(threads)
    if device == "cuda":
        source = torch.empty(2**28, device=device)
        target = torch.empty_like(source)
        target.copy_(source)
        return 2 * source.nbytes / _device_seconds(lambda: target.copy_(source))
    side = 2048
    a, b = torch.rand(2, side, side).unbind()
    x = torch.rand(1, 512, 64, 64).contiguous(memory_format=torch.channels_last)
    weight = torch.rand(512, 512, 3, 3).contiguous(memory_format=torch.channels_last)
    clock = time.process_time if processor_time else time.perf_counter
    rates = []
    for flop, run in (
        (2 * side**3, lambda: a @ b),
        (2 * weight.numel() * 64**2, lambda: torch.conv2d(x, weight, padding=1)),
    ):
        run()
        for _ in range(3):
            started = clock()
            run()
            rates.append(flop / (clock() - started))
    return max(rates)


_BUILDERS: dict[str, Callable[[Contender, Tensor], Callable[[], np.ndarray | None]]] = {
    "ours": _ours,
    "compiled": _compiled,
    "plain": _plain,
    "onnxruntime": _onnxruntime,
}
