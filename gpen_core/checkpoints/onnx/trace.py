"""Follows the values of an ONNX graph backwards, past everything that only rearranges or scales.

The walk knows no names: what a tensor is follows from the operations that it meets. Positive
factors are collected on the way, because leaky ReLU lets them through.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...network.config import LEAKY_SLOPE
from .constants import Constants
from .graph import OnnxGraph, OnnxNode

_FIR_SIZE = (4, 4)
REARRANGING = frozenset(
    {
        "Cast",
        "CastLike",
        "Clip",
        "Dropout",
        "Expand",
        "Flatten",
        "Gather",
        "Identity",
        "Pad",
        "Reshape",
        "Slice",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
    }
)
_POINTWISE = frozenset(
    {
        "Abs",
        "Add",
        "Cast",
        "Greater",
        "GreaterOrEqual",
        "Identity",
        "LeakyRelu",
        "Less",
        "LessOrEqual",
        "Max",
        "Min",
        "Mul",
        "Neg",
        "Not",
        "PRelu",
        "Relu",
        "Sub",
        "Where",
    }
)
# What stands between the mean of squares and the factor that normalises.
_NORMALISING = REARRANGING | {"Add", "Div", "Max", "Mul", "Pow", "Reciprocal", "Sqrt"}
_MAX_POINTWISE_NODES = 12
_SLOPE_TOLERANCE = 1e-3
_MAX_NORMALISING_NODES = 24


class UnmatchedError(Exception):
    """A part of the network is not where it should be."""

    def __init__(self, weight_name: str, expected: str, got: str, is_missing: bool = False) -> None:
        super().__init__(f"{weight_name}: expected {expected}, got {got}")
        self.weight_name = weight_name
        self.expected = expected
        self.got = got
        self.is_missing = is_missing
        """The operation is there, but nothing in the file makes one of its inputs."""


@dataclass(frozen=True)
class Traced:
    """Where a walk ended: the value it began at is ``gain * value + shift``."""

    value: str
    gain: float = 1.0
    shift: Tensor | None = None
    """(C,), or (1,) if the same for all channels."""


class Tracer:
    """Questions about one graph."""

    def __init__(self, graph: OnnxGraph) -> None:
        self.graph = graph
        self.constants = Constants(graph)

    def describe(self, value: str) -> str:
        """What makes a value, for error messages."""
        node = self.graph.producers.get(value)
        if node is not None:
            return f"{node.op_type or 'an unnamed operation'} (making {value!r})"
        if value in self.graph.inputs:
            return f"the graph's input {value!r}"
        return f"the tensor {value!r}" if value in self.graph.tensors else f"nothing for {value!r}"

    def node(self, value: str, weight_name: str, *op_types: str) -> OnnxNode:
        """The node that makes a value, which must be of one of the types.

        Raises:
            UnmatchedError: It is of another type, or there is none.
        """
        node = self.graph.producers.get(value)
        if node is None or node.op_type not in op_types or len(node.inputs) < 2:
            raise UnmatchedError(weight_name, " or ".join(op_types), self.describe(value))
        return node

    def tensor(self, value: str, weight_name: str) -> Tensor:
        """A constant value.

        Raises:
            UnmatchedError: It is not constant.
        """
        if not self.constants.is_constant(value):
            # What is no signal either comes from nowhere, or from an operation on tensors alone.
            is_missing = not self.constants.is_signal(value)
            raise UnmatchedError(weight_name, "a constant", self.describe(value), is_missing)
        return self.constants.evaluate(value)

    def is_missing(self, value: str) -> bool:
        """Nothing in the file makes the value."""
        known = (self.graph.tensors, self.graph.inputs, self.graph.producers)
        return not any(value in names for names in known)

    def trace(self, value: str, weight_name: str | None, past_shifts: bool = True) -> Traced:
        """Walk back past rearranging operations and past scaling and shifting by constants.

        Args:
            value: Where to begin.
            weight_name: What the caller looks for on the way, for the error message. None to walk
                past operands that are nowhere in the file.
            past_shifts: False to stop before anything is added.

        Raises:
            UnmatchedError: Such an operand was met.
        """
        gain, shift = 1.0, None
        while not self.constants.is_constant(value):
            node = self.graph.producers.get(value)
            if node is None or not node.inputs:
                break
            if node.op_type in REARRANGING:
                value = node.inputs[0]
                continue
            operands = self._arithmetic_operands(node)
            if operands is None or (node.op_type in ("Add", "Sub") and not past_shifts):
                break
            signal, constant = operands
            if self.is_missing(constant):
                if weight_name is not None:
                    raise UnmatchedError(weight_name, "a constant", self.describe(constant), True)
            elif node.op_type in ("Add", "Sub"):
                offset = self.constants.evaluate(constant)
                if offset.numel() != max(offset.shape, default=1):
                    break  # not one number a channel
                offset = offset.flatten() * (gain if node.op_type == "Add" else -gain)
                shift = offset if shift is None else shift + offset
            else:
                factor = uniform(self.constants.evaluate(constant))
                if factor is None or (factor == 0 and node.op_type == "Div"):
                    break
                gain = gain * factor if node.op_type == "Mul" else gain / factor
            value = signal
        return Traced(value, gain, shift)

    def leaky_relu(self, value: str) -> tuple[str, float] | None:
        """What goes into a leaky ReLU, and its gain for positive values; None for anything else.

        It may be one node or several, so it is recognised by what it does to 1 and to -1.
        """
        frontier = {value}
        for _ in range(_MAX_POINTWISE_NODES):
            latest = max(frontier, key=self._position)
            node = self.graph.producers.get(latest)
            if node is None or node.op_type not in _POINTWISE:
                return None
            signals = self.constants.signals(node)
            others = set(filter(None, node.inputs)).difference(signals)
            if not all(map(self.constants.is_constant, others)):
                return None
            frontier.remove(latest)
            frontier.update(signals)
            if not frontier:
                return None
            if len(frontier) > 1:
                continue
            (source,) = frontier
            above, below = self._response(value, source, 1.0), self._response(value, source, -1.0)
            if above and below and abs(below / above + LEAKY_SLOPE) < _SLOPE_TOLERANCE:
                return source, above
        return None

    def fir(self, value: str) -> OnnxNode | None:
        """The convolution with a FIR filter that makes a value, if it is one."""
        node = self.graph.producers.get(value)
        if node is None or node.op_type not in ("Conv", "ConvTranspose") or len(node.inputs) < 2:
            return None
        size = node.integers("kernel_shape")
        if size is None and self.constants.is_constant(node.inputs[1]):
            size = tuple(self.constants.evaluate(node.inputs[1]).shape[2:])
        return node if size == _FIR_SIZE else None

    def normalised(self, value: str) -> str | None:
        """The value whose squares are averaged, if ``value`` is a factor made from their mean."""
        for _ in range(_MAX_NORMALISING_NODES):
            node = self.graph.producers.get(value)
            if node is None:
                return None
            signals = self.constants.signals(node)
            if len(signals) != 1:
                return None
            value = signals[0]
            if node.op_type.startswith("Reduce"):
                square = self.graph.producers.get(value)
                is_square = square is not None and square.op_type in ("Pow", "Mul")
                return square.inputs[0] if square is not None and is_square else value
            if node.op_type not in _NORMALISING:
                return None
        return None

    def unnormalised(self, value: str) -> tuple[str, str] | None:
        """For a value multiplied or divided by a normalising factor: the value, and the squared."""
        node = self.graph.producers.get(value)
        if node is None or node.op_type not in ("Mul", "Div") or len(node.inputs) != 2:
            return None
        first, second = node.inputs
        squared = self.normalised(second)
        if squared is not None:
            return first, squared
        squared = self.normalised(first) if node.op_type == "Mul" else None
        return None if squared is None else (second, squared)

    def _arithmetic_operands(self, node: OnnxNode) -> tuple[str, str] | None:
        """The signal and the other operand, where that one is constant or missing."""
        if node.op_type not in ("Add", "Sub", "Mul", "Div") or len(node.inputs) != 2:
            return None
        first, second = node.inputs
        if self.constants.is_constant(second) or self.is_missing(second):
            return first, second
        commutes = node.op_type in ("Add", "Mul")
        if commutes and (self.constants.is_constant(first) or self.is_missing(first)):
            return second, first
        return None

    def _position(self, value: str) -> int:
        node = self.graph.producers.get(value)
        return -1 if node is None else node.index

    def _response(self, value: str, source: str, level: float) -> float | None:
        return uniform(self.constants.evaluate(value, {source: torch.tensor(level)}))


def uniform(tensor: Tensor) -> float | None:
    """The number that fills a tensor, or None if its elements differ."""
    if not tensor.numel():
        return None
    first = tensor.flatten()[0]
    return float(first) if bool((tensor == first).all()) else None


def spread(values: Tensor, length: int, weight_name: str) -> Tensor:
    """One value for each channel, given as many or one for all.

    Raises:
        UnmatchedError: There is another number of them.
    """
    if values.numel() not in (1, length):
        raise UnmatchedError(weight_name, f"{length} values", str(values.numel()))
    return values.flatten().expand(length)
