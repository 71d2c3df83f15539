"""Tells the constant values of an ONNX graph from those that carry the image, and evaluates them.

Exporters and optimisers fold constant arithmetic into the stored tensors to different degrees.
Evaluating whatever is left of it makes raw and simplified graphs look the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import CheckpointReadError
from .graph import DTYPES, OnnxGraph, OnnxNode
from .wire import WireError

MAX_DEPTH = 64
MAX_CONSTANT_ELEMENTS = 1 << 26

# What operations raise on operands that do not fit them. KeyError: one was left out.
_EVALUATION_ERRORS = (
    IndexError,
    KeyError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
)

Operation = Callable[[OnnxNode, list[Tensor]], Tensor]


class Constants:
    """What is known of the values of a graph without running it.

    A value is *constant* if it follows from the stored tensors by the operations below, a *signal*
    if it depends on what is in the graph's inputs, and neither if it depends on their shapes only
    or if nothing in the file makes it.
    """

    def __init__(self, graph: OnnxGraph) -> None:
        self._graph = graph
        self._depths = dict.fromkeys(graph.tensors, 0)
        self._signals = set(graph.inputs)
        # An export at most rescales each weight a few times; more is an attempt to fill memory.
        stored_bytes = sum(tensor.data_bytes for tensor in graph.tensors.values())
        self._budget = 8 * stored_bytes + MAX_CONSTANT_ELEMENTS
        for node in graph.nodes:
            self._classify(node)

    def is_constant(self, value: str) -> bool:
        """The value can be evaluated."""
        return value in self._depths

    def is_signal(self, value: str) -> bool:
        """The value depends on the image."""
        return value in self._signals

    def signals(self, node: OnnxNode) -> list[str]:
        """The inputs of a node that depend on the image."""
        return [value for value in node.inputs if value in self._signals]

    def evaluate(self, value: str, given: Mapping[str, Tensor] | None = None) -> Tensor:
        """Evaluate a constant value, or one that follows from constants and ``given`` ones.

        Returns:
            A tensor of any shape; float16 and bfloat16 become float32.

        Raises:
            CheckpointReadError: An operation does not fit its operands, or makes too much.
        """
        try:
            return self._evaluate(value, dict(given or {}))
        except WireError as error:
            raise CheckpointReadError(
                f"{self._graph.name}: expected {error.expected}, got {error.got}. "
                "The file is damaged; download it again."
            ) from error
        except _EVALUATION_ERRORS as error:
            raise CheckpointReadError(
                f"{self._graph.name}: expected constants that can be evaluated, got an error at "
                f"{value!r} ({error}). The file is damaged; download it again."
            ) from error

    def _classify(self, node: OnnxNode) -> None:
        inputs = _operands(node)
        if node.op_type in _OPERATIONS and all(value in self._depths for value in inputs):
            depth = 1 + max((self._depths[value] for value in inputs), default=0)
            if depth <= MAX_DEPTH and len(node.outputs) == 1:
                self._depths[node.outputs[0]] = depth
        elif node.op_type not in ("Shape", "Size") and self.signals(node):
            self._signals.update(filter(None, node.outputs))

    def _evaluate(self, value: str, known: dict[str, Tensor]) -> Tensor:
        if value in known:
            return known[value]
        if value in self._graph.tensors:
            result = self._graph.tensor(value)
        else:
            node = self._graph.producers[value]
            operation = _OPERATIONS[node.op_type]
            result = operation(node, [self._evaluate(item, known) for item in _operands(node)])
        self._budget -= result.numel()
        if self._budget < 0:
            raise WireError("constants in proportion to the file", "far more")
        if result.dtype in (torch.float16, torch.bfloat16):
            result = result.float()
        known[value] = result
        return result


def _operands(node: OnnxNode) -> list[str]:
    """The inputs without those left out at the end. One left out before it is the empty name."""
    inputs = list(node.inputs)
    while inputs and not inputs[-1]:
        inputs.pop()
    return inputs


def _check_size(shape: Sequence[int]) -> None:
    if math.prod(shape) > MAX_CONSTANT_ELEMENTS:
        raise WireError(f"constants of at most {MAX_CONSTANT_ELEMENTS} elements", tuple(shape))


def _integers(values: Tensor) -> list[int]:
    return [int(item) for item in values.flatten().tolist()]


def _elementwise(function: Callable[..., Any]) -> Operation:
    def operation(node: OnnxNode, inputs: list[Tensor]) -> Tensor:
        _check_size(np.broadcast_shapes(*(item.shape for item in inputs)))
        result: Tensor = function(*inputs)
        return result

    return operation


def _divide(dividend: Tensor, divisor: Tensor) -> Tensor:
    if dividend.is_floating_point() or divisor.is_floating_point():
        return dividend / divisor
    return torch.div(dividend, divisor, rounding_mode="trunc")


def _largest(first: Tensor, *rest: Tensor) -> Tensor:
    for item in rest:
        first = torch.maximum(first, item)
    return first


def _smallest(first: Tensor, *rest: Tensor) -> Tensor:
    for item in rest:
        first = torch.minimum(first, item)
    return first


def _prelu(values: Tensor, slope: Tensor) -> Tensor:
    return torch.where(values < 0, values * slope, values)


def _leaky_relu(node: OnnxNode, inputs: list[Tensor]) -> Tensor:
    return torch.nn.functional.leaky_relu(inputs[0], node.number("alpha", 0.01))


def _cast(node: OnnxNode, inputs: list[Tensor]) -> Tensor:
    return inputs[0].to(DTYPES.get(node.integer("to", 1), torch.float32))


def _reshape(node: OnnxNode, inputs: list[Tensor]) -> Tensor:
    values, shape = inputs[0], _integers(inputs[1])
    if not node.integer("allowzero", 0):
        shape = [values.shape[i] if length == 0 else length for i, length in enumerate(shape)]
    return values.reshape(shape)


def _flatten(node: OnnxNode, inputs: list[Tensor]) -> Tensor:
    shape = inputs[0].shape
    axis = node.integer("axis", 1)  # from -rank up to rank, as a slice counts
    return inputs[0].reshape(shape[:axis].numel(), shape[axis:].numel())


def _transpose(node: OnnxNode, inputs: list[Tensor]) -> Tensor:
    return inputs[0].permute(node.integers("perm") or tuple(reversed(range(inputs[0].ndim))))


def _axes(node: OnnxNode, inputs: list[Tensor], rank: int) -> list[int] | None:
    """Axes as an input (opset 13 on) or an attribute, counted from the front."""
    axes = _integers(inputs[1]) if len(inputs) > 1 else node.integers("axes")
    return None if axes is None else sorted(axis % rank for axis in axes)


def _squeeze(node: OnnxNode, inputs: list[Tensor]) -> Tensor:
    axes = _axes(node, inputs, inputs[0].ndim)
    return inputs[0].squeeze() if axes is None else inputs[0].squeeze(axes)


def _unsqueeze(node: OnnxNode, inputs: list[Tensor]) -> Tensor:
    n_axes = inputs[1].numel() if len(inputs) > 1 else len(node.integers("axes") or ())
    values = inputs[0]
    for axis in _axes(node, inputs, values.ndim + n_axes) or ():
        values = values.unsqueeze(axis)
    return values


def _expand(node: OnnxNode, inputs: list[Tensor]) -> Tensor:
    shape = np.broadcast_shapes(inputs[0].shape, tuple(_integers(inputs[1])))
    _check_size(shape)
    return inputs[0].expand(shape)


def _tile(node: OnnxNode, inputs: list[Tensor]) -> Tensor:
    repeats = _integers(inputs[1])
    _check_size([length * n for length, n in zip(inputs[0].shape, repeats, strict=True)])
    return inputs[0].repeat(repeats)


def _concat(node: OnnxNode, inputs: list[Tensor]) -> Tensor:
    _check_size([sum(item.numel() for item in inputs)])
    return torch.cat(inputs, node.integer("axis", 0))


def _shape(node: OnnxNode, inputs: list[Tensor]) -> Tensor:
    start, end = node.integer("start", 0), node.attributes.get("end")
    return torch.tensor(inputs[0].shape[start : end if isinstance(end, int) else None])


def _constant_of_shape(node: OnnxNode, inputs: list[Tensor]) -> Tensor:
    value = node.attributes.get("value")
    fill = torch.zeros(1) if value is None or isinstance(value, _NUMBERS) else value.to_torch()
    shape = _integers(inputs[0])
    _check_size(shape)
    return fill.reshape(()).expand(shape)


def _gather(node: OnnxNode, inputs: list[Tensor]) -> Tensor:
    values, indices = inputs
    axis = node.integer("axis", 0) % values.ndim
    shape = (*values.shape[:axis], *indices.shape, *values.shape[axis + 1 :])
    _check_size(shape)
    flat = torch.where(indices < 0, indices + values.shape[axis], indices).flatten().long()
    return values.index_select(axis, flat).reshape(shape)


def _slice(node: OnnxNode, inputs: list[Tensor]) -> Tensor:
    values = inputs[0]
    starts, ends, *rest = (_integers(item) for item in inputs[1:])
    axes = rest[0] if rest else list(range(len(starts)))
    steps = rest[1] if len(rest) > 1 else [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        kept = range(*slice(start, end, step).indices(values.shape[axis]))
        values = values.index_select(axis, torch.tensor(kept, dtype=torch.int64))
    return values


_NUMBERS = (int, float, bytes, tuple)
_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "Abs": torch.abs,
    "Add": torch.add,
    "Div": _divide,
    "Equal": torch.eq,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "Identity": torch.clone,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "Max": _largest,
    "Min": _smallest,
    "Mul": torch.mul,
    "Neg": torch.neg,
    "Not": torch.logical_not,
    "PRelu": _prelu,
    "Pow": torch.pow,
    "Reciprocal": torch.reciprocal,
    "Relu": torch.relu,
    "Sqrt": torch.sqrt,
    "Sub": torch.sub,
    "Where": torch.where,
}
_OPERATIONS: dict[str, Operation] = {
    **{name: _elementwise(function) for name, function in _ELEMENTWISE.items()},
    "Cast": _cast,
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "LeakyRelu": _leaky_relu,
    "Reshape": _reshape,
    "Shape": _shape,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
