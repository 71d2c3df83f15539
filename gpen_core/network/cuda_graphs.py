"""Replaying the network as a CUDA graph, which saves launching its kernels one by one.

A graph is tied to the shape of its input and to the addresses of the weights. It is captured when
a shape comes a second time, and dropped when the weights have moved.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import cache
from typing import Protocol

import torch
from torch import Tensor

Forward = Callable[[Tensor], Tensor]

# Beyond one face of 2048 pixels, or as many smaller ones, the device is busy longer than it takes
# to launch the kernels, and input and output kept for each graph are 100 MB.
MAX_PIXELS = 2048 * 2048


class GraphCaptureError(RuntimeError):
    """The device or a library does not let the network be captured."""


class Graph(Protocol):
    """A captured forward pass."""

    def __call__(self, crops: Tensor) -> Tensor:
        """Run it on crops of the captured shape."""

    def close(self) -> None:
        """Wait until it has run, and free what it holds."""


class GraphCache:
    """The graphs of one network, for the shapes used last.

    All share one memory pool, as large as the largest needs: one runs at a time, and none leaves
    anything in it.

    Args:
        capacity: How many shapes to remember.
        capture: What makes a graph of a forward pass, an example of its input and a pool.
    """

    def __init__(
        self,
        capacity: int = 4,
        capture: Callable[[Forward, Tensor, object], Graph] | None = None,
    ) -> None:
        self._capacity = capacity
        self._capture = capture or CudaGraph
        self._graphs: OrderedDict[tuple[object, ...], Graph | None] = OrderedDict()
        self._addresses: tuple[int, ...] = ()
        self._pool: object = None
        self._lock = threading.Lock()

    def run(self, forward: Forward, crops: Tensor, weights: Iterable[Tensor]) -> Tensor:
        """``forward(crops)``, by a graph where there is one.

        Args:
            forward: The network's pass. It must not wait for the device, nor depend on anything
                but ``crops`` and ``weights``.
            crops: (N, 3, S, S) on a CUDA device.
            weights: Every tensor that ``forward`` reads.

        Raises:
            GraphCaptureError: The pass could not be captured; nothing is kept of it.
        """
        if crops.numel() > 3 * MAX_PIXELS or not self._lock.acquire(blocking=False):
            return forward(crops)  # too large to gain, or another thread is at the buffers
        try:
            graph = self._find(forward, crops, tuple(tensor.data_ptr() for tensor in weights))
            return forward(crops) if graph is None else graph(crops)
        finally:
            self._lock.release()

    def release(self) -> bool:
        """Drop all graphs and their memory; whether there were any."""
        with self._lock:
            return self._clear()

    def __len__(self) -> int:
        """How many graphs are held."""
        return sum(graph is not None for graph in self._graphs.values())

    def _find(self, forward: Forward, crops: Tensor, addresses: tuple[int, ...]) -> Graph | None:
        if addresses != self._addresses:
            self._clear()
            self._addresses = addresses
        key = (crops.device, crops.dtype, tuple(crops.shape))
        if key not in self._graphs:
            # Once through without: kernels are compiled, and a single face is not slowed down.
            self._graphs[key] = None
            if len(self._graphs) > self._capacity:
                _close(self._graphs.popitem(last=False)[1])
            return None
        self._graphs.move_to_end(key)
        if self._graphs[key] is None:
            del self._graphs[key]
            if self._pool is None:
                self._pool = torch.cuda.graph_pool_handle()
            self._graphs[key] = self._capture(forward, crops, self._pool)
        return self._graphs[key]

    def _clear(self) -> bool:
        had_graphs = len(self) > 0
        while self._graphs:
            _close(self._graphs.popitem()[1])
        self._pool = None
        return had_graphs


class CudaGraph:
    """A forward pass captured for one shape, with buffers for its input and output.

    Raises:
        GraphCaptureError: It could not be captured.
    """

    def __init__(self, forward: Forward, crops: Tensor, pool: object) -> None:
        try:
            self._capture(forward, crops, pool)
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise GraphCaptureError(f"CUDA graph: {error}") from error

    def _capture(self, forward: Forward, crops: Tensor, pool: object) -> None:
        with torch.inference_mode(False):  # else the buffers could only be used in that mode
            self._input = torch.empty_like(crops, memory_format=torch.contiguous_format)
            self._output = torch.empty_like(self._input)
        self._graph = torch.cuda.CUDAGraph()
        self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]
        before, stream = torch.cuda.current_stream(), _side_stream(crops.device)
        stream.wait_stream(before)
        # Entered here too: after a failed capture torch.cuda.graph stays on the side stream.
        with torch.cuda.stream(stream):
            self._input.copy_(crops)
            self._output.copy_(forward(self._input))
            with torch.cuda.graph(
                self._graph,
                pool=pool,  # type: ignore[arg-type]
                stream=stream,
                capture_error_mode="thread_local",  # the host's other threads go on
            ):
                self._output.copy_(forward(self._input))
        before.wait_stream(stream)
        self._done.record()

    def __call__(self, crops: Tensor) -> Tensor:
        """Copy the crops in, replay, and copy the result out, on the current stream."""
        torch.cuda.current_stream().wait_event(self._done)
        self._input.copy_(crops)
        self._graph.replay()
        output = self._output.clone()
        self._done.record()
        return output

    def close(self) -> None:
        """Wait until it has run, and free its memory."""
        self._done.synchronize()
        self._graph.reset()


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """One for all captures: cuBLAS keeps a workspace for every stream it has seen."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _close(graph: Graph | None) -> None:
    if graph is not None:
        graph.close()
