"""Reads the graph and the tensors of an ONNX file, without the ``onnx`` package; runs nothing.

Only what is needed to find weights in a graph is read of the messages that
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto declares. The file is mapped into memory,
tensors are decoded when asked for, and no other file is ever opened.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import torch
from torch import Tensor

from ...errors import CheckpointNotFoundError, CheckpointReadError, UnsafeCheckpointError
from . import wire
from .wire import WireError

# Far above any face restorer: the published networks have some 4,000 nodes before simplification.
MAX_NODES = 200_000
MAX_RANK = 16
MAX_ELEMENTS = 1 << 33

# The numbers are those of TensorProto.DataType.
_FLOAT, _INT64 = 1, 7
DTYPES = {
    _FLOAT: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    5: torch.int16,
    6: torch.int32,
    _INT64: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
    16: torch.bfloat16,
}
_EXTERNAL = 1  # TensorProto.DataLocation


class ExternalDataError(WireError):
    """A tensor whose data lies in another file."""


@dataclass(frozen=True)
class OnnxTensor:
    """A tensor as it lies in the file, decoded by ``to_torch``."""

    name: str
    dims: tuple[int, ...]
    data_type: int
    raw: memoryview | None = None
    """Little-endian elements, if the file keeps them so."""
    fixed: tuple[memoryview, ...] = ()
    """Else the pieces of ``float_data`` or ``double_data``."""
    varints: tuple[memoryview, ...] = ()
    """Else the pieces of ``int32_data`` or ``int64_data``, each a run of varints."""

    @property
    def data_bytes(self) -> int:
        """How much of the file the data takes up."""
        raw = () if self.raw is None else (self.raw,)
        return sum(len(piece) for piece in (*raw, *self.fixed, *self.varints))

    def to_torch(self) -> Tensor:
        """A copy of the data as a tensor of its own type, shape ``dims``.

        Raises:
            WireError: The type is not one of numbers, or the data is of another length.
        """
        dtype = DTYPES.get(self.data_type)
        if dtype is None:
            raise WireError("numbers in a tensor", f"ONNX data type {self.data_type}")
        if self.raw is not None:
            flat = _from_bytes((self.raw,), dtype)
        elif self.varints:
            # Elements of 16-bit floats are their bit patterns.
            stored = torch.int16 if dtype in (torch.float16, torch.bfloat16) else dtype
            flat = torch.from_numpy(wire.decode_varints(self.varints)).to(stored).view(dtype)
        else:
            flat = _from_bytes(self.fixed, dtype)
        if flat.numel() != math.prod(self.dims):
            raise WireError(
                f"{math.prod(self.dims)} elements in a tensor of shape {self.dims}", flat.numel()
            )
        return flat.reshape(self.dims)


Attribute = int | float | bytes | OnnxTensor | tuple[int, ...] | tuple[float, ...]


@dataclass(frozen=True)
class OnnxNode:
    """One operation of the graph."""

    op_type: str
    inputs: tuple[str, ...]
    """Names of values; the empty name stands for an optional input left out."""
    outputs: tuple[str, ...]
    attributes: dict[str, Attribute]
    index: int
    """Position in the graph. Inputs are made at lower positions, so it has no cycles."""

    def integer(self, name: str, default: int) -> int:
        """An attribute that is one integer, or the default."""
        value = self.attributes.get(name)
        return value if isinstance(value, int) else default

    def number(self, name: str, default: float) -> float:
        """An attribute that is one number, or the default."""
        value = self.attributes.get(name)
        return value if isinstance(value, int | float) else default

    def integers(self, name: str) -> tuple[int, ...] | None:
        """An attribute that is a list of integers, or None."""
        value = self.attributes.get(name)
        return tuple(map(int, value)) if isinstance(value, tuple) else None


@dataclass
class OnnxGraph:
    """Nodes, tensors and the names that connect them."""

    name: str
    """What to call the file in error messages."""
    nodes: list[OnnxNode] = field(default_factory=list)
    tensors: dict[str, OnnxTensor] = field(default_factory=dict)
    """Initializers, and the outputs of ``Constant`` nodes, which are not among ``nodes``."""
    inputs: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """What is fed at run time, with its shape; an open dimension is 0."""
    outputs: list[str] = field(default_factory=list)
    producers: dict[str, OnnxNode] = field(default_factory=dict)
    """The node that makes each value."""

    def tensor(self, name: str) -> Tensor:
        """A copy of one of ``tensors``, in its own type.

        Raises:
            CheckpointReadError: The type is not one of numbers, or the data is of another length.
        """
        try:
            return self.tensors[name].to_torch()
        except WireError as error:
            raise CheckpointReadError(
                f"{self.name}: expected {error.expected} (tensor {name!r}), got {error.got}. "
                "The file is damaged or of a type that is not read; download or export it again."
            ) from error


def read_onnx_graph(path: Path) -> OnnxGraph:
    """Read the graph of an ONNX file.

    The file stays mapped as long as the graph lives; tensors made from it are copies.

    Raises:
        CheckpointNotFoundError: There is no file at the path.
        UnsafeCheckpointError: Weights lie in another file; it is not opened.
        CheckpointReadError: The file is damaged, truncated or not ONNX.
    """
    try:
        with path.open("rb") as file:
            # Copy-on-write, because torch wants writable memory; nothing is ever written.
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    except FileNotFoundError as error:
        raise CheckpointNotFoundError(
            f"{path.name}: expected a file, got none at {path}. Check the folder and the name."
        ) from error
    except (OSError, ValueError) as error:  # ValueError: an empty file cannot be mapped
        raise CheckpointReadError(
            f"{path.name}: expected a readable ONNX file, got {error}. Download it again."
        ) from error
    graph = OnnxGraph(path.name)
    try:
        for number, value in wire.fields(data):
            if number == 7:  # ModelProto.graph
                _parse_graph(wire.message(value), graph)
        _link(graph)
    except ExternalDataError as error:
        raise UnsafeCheckpointError(
            f"{path.name}: expected {error.expected}, got {error.got}, which is not opened. "
            "Save the model again with its weights embedded."
        ) from error
    except WireError as error:
        raise CheckpointReadError(
            f"{path.name}: expected {error.expected}, got {error.got}. "
            "The file is damaged, truncated or not ONNX; download it again."
        ) from error
    return graph


def _from_bytes(pieces: Sequence[memoryview], dtype: torch.dtype) -> Tensor:
    """A copy of some runs of bytes as one flat tensor. The copy aligns what the file does not."""
    data = bytearray().join(pieces)
    if not data:
        return torch.empty(0, dtype=dtype)
    if len(data) % dtype.itemsize:
        raise WireError(f"elements of {dtype.itemsize} bytes", f"{len(data)} bytes")
    if dtype == torch.bool:  # any byte but 0 and 1 would be undefined behaviour
        return torch.frombuffer(data, dtype=torch.uint8).ne(0)
    return torch.frombuffer(data, dtype=dtype)


def _parse_graph(data: memoryview, graph: OnnxGraph) -> None:
    inputs = {}
    for number, value in wire.fields(data):
        if number == 1:
            _add_node(_parse_node(wire.message(value), len(graph.nodes)), graph)
        elif number == 5:
            tensor = _parse_tensor(wire.message(value))
            graph.tensors[tensor.name] = tensor
        elif number == 11:
            name, shape = _parse_value_info(wire.message(value))
            inputs[name] = shape
        elif number == 12:
            graph.outputs.append(_parse_value_info(wire.message(value))[0])
    # Files of IR version 3 list their initializers among the inputs.
    graph.inputs = {name: dims for name, dims in inputs.items() if name not in graph.tensors}


def _add_node(node: OnnxNode, graph: OnnxGraph) -> None:
    constant = _constant_tensor(node)
    if constant is not None:
        graph.tensors[constant.name] = constant
        return
    if len(graph.nodes) >= MAX_NODES:
        raise WireError(f"at most {MAX_NODES} nodes", "more")
    graph.nodes += _unfused(node)


def _unfused(node: OnnxNode) -> list[OnnxNode]:
    """What onnxruntime has merged when it saved an optimised graph, as the two nodes it was."""
    is_fused = node.op_type in ("FusedConv", "FusedGemm") and len(node.outputs) == 1
    if not is_fused or node.attributes.get("activation") != b"LeakyRelu":
        return [node]
    values = node.attributes.get("activation_params")  # of FusedConv
    alpha = (
        values[0] if isinstance(values, tuple) and values else node.number("activation_alpha", 0)
    )
    between = f"{node.outputs[0]} before activation"
    linear = replace(node, op_type=node.op_type.removeprefix("Fused"), outputs=(between,))
    activation = OnnxNode("LeakyRelu", (between,), node.outputs, {"alpha": alpha}, node.index + 1)
    return [linear, activation]


def _constant_tensor(node: OnnxNode) -> OnnxTensor | None:
    """The tensor that a ``Constant`` node stands for, under the name of its output."""
    if node.op_type != "Constant" or len(node.outputs) != 1 or len(node.attributes) != 1:
        return None
    (name,), (value,) = node.outputs, node.attributes.values()
    if isinstance(value, OnnxTensor):
        return replace(value, name=name)
    if isinstance(value, bytes):
        return None
    numbers = value if isinstance(value, tuple) else (value,)
    code, data_type = "q", _INT64
    if any(isinstance(number, float) for number in numbers):
        code, data_type = "f", _FLOAT
    raw = memoryview(bytearray(struct.pack(f"<{len(numbers)}{code}", *numbers)))
    return OnnxTensor(name, (len(value),) if isinstance(value, tuple) else (), data_type, raw)


def _parse_node(data: memoryview, index: int) -> OnnxNode:
    op_type = ""
    inputs, outputs = [], []
    attributes = {}
    for number, value in wire.fields(data):
        if number == 1:
            inputs.append(wire.text(value))
        elif number == 2:
            outputs.append(wire.text(value))
        elif number == 4:
            op_type = wire.text(value)
        elif number == 5:
            name, attribute = _parse_attribute(wire.message(value))
            if attribute is not None:
                attributes[name] = attribute
    return OnnxNode(op_type, tuple(inputs), tuple(outputs), attributes, index)


def _parse_attribute(data: memoryview) -> tuple[str, Attribute | None]:
    """Name and value; None for what no weight depends on, such as subgraphs."""
    name, kind = "", 0
    single: Attribute | None = None
    floats: list[float] = []
    integers: list[int] = []
    for number, value in wire.fields(data):
        if number == 1:
            name = wire.text(value)
        elif number == 2:
            single = next(iter(wire.floats(value)), None)
        elif number == 3:
            single = wire.integer(value)
        elif number == 4:
            single = bytes(wire.message(value))
        elif number == 5:
            single = _parse_tensor(wire.message(value))
        elif number == 7:
            floats += wire.floats(value)
        elif number == 8:
            integers += wire.integers(value)
        elif number == 20:
            kind = wire.integer(value)
    if single is not None:
        return name, single
    if floats or kind == 6:
        return name, tuple(floats)
    return name, tuple(integers) if integers or kind == 7 else None


def _parse_tensor(data: memoryview) -> OnnxTensor:
    name, data_type, is_external = "", 0, False
    dims: list[int] = []
    raw: memoryview | None = None
    fixed: list[memoryview] = []
    varints: list[memoryview] = []
    for number, value in wire.fields(data):
        if number == 1:
            dims += wire.integers(value)
        elif number == 2:
            data_type = wire.integer(value)
        elif number in (4, 10):  # float_data, double_data
            fixed.append(wire.message(value))
        elif number in (5, 7):  # int32_data, int64_data
            varints.append(wire.encode_varint(value) if isinstance(value, int) else value)
        elif number == 8:
            name = wire.text(value)
        elif number == 9:
            raw = wire.message(value)
        elif number == 13:  # external_data
            is_external = True
        elif number == 14:  # data_location
            is_external |= wire.integer(value) == _EXTERNAL
    if is_external:
        raise ExternalDataError(
            f"tensor {name!r} to lie in this file", "a reference to another file"
        )
    if len(dims) > MAX_RANK or any(n < 0 for n in dims) or math.prod(dims) > MAX_ELEMENTS:
        raise WireError(f"a possible shape for tensor {name!r}", tuple(dims[: MAX_RANK + 1]))
    return OnnxTensor(name, tuple(dims), data_type, raw, tuple(fixed), tuple(varints))


def _parse_value_info(data: memoryview) -> tuple[str, tuple[int, ...]]:
    name = ""
    dims: list[int] = []
    for number, value in wire.fields(data):
        if number == 1:
            name = wire.text(value)
        elif number == 2:
            for dim in wire.nested(wire.message(value), 1, 2, 1):  # tensor_type.shape.dim
                lengths = [wire.integer(length) for tag, length in wire.fields(dim) if tag == 1]
                dims.append(lengths[-1] if lengths else 0)
    return name, tuple(dims)


def _link(graph: OnnxGraph) -> None:
    """Put the nodes in order, and fill ``producers``; each value must be made once."""
    if not graph.nodes or not graph.outputs:
        raise WireError("a model with a graph", "none")
    graph.nodes = _in_order(graph.nodes)
    for node in graph.nodes:
        for output in filter(None, node.outputs):
            if output in graph.producers or output in graph.tensors:
                raise WireError("values made once", f"{output!r} made twice")
            graph.producers[output] = node


def _in_order(nodes: list[OnnxNode]) -> list[OnnxNode]:
    """The nodes such that each value is made before its use, as the standard asks.

    onnxruntime's conversion to float16 appends casts at the end that belong before others.
    """
    makers = {output: node.index for node in nodes for output in node.outputs if output}
    needed = {n.index: {makers[v] for v in n.inputs if v in makers} for n in nodes}
    if all(max(before, default=-1) < index for index, before in needed.items()):
        return nodes
    try:
        order = list(TopologicalSorter(needed).static_order())
    except CycleError as error:
        raise WireError("values made before their use", "a circle of them") from error
    return [replace(nodes[old], index=new) for new, old in enumerate(order)]
