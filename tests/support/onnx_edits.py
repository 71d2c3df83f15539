"""Parts of an ONNX graph found and changed."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def producer_of(model: onnx.ModelProto, value: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if value in node.output)


def consumers_of(model: onnx.ModelProto, value: str) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if value in node.input]


def nodes_of(model: onnx.ModelProto, *op_types: str) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type in op_types]


def initializer(model: onnx.ModelProto, name: str) -> TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def change(model: onnx.ModelProto, name: str, function) -> None:
    tensor = initializer(model, name)
    values = np.ascontiguousarray(function(numpy_helper.to_array(tensor)))
    tensor.CopyFrom(numpy_helper.from_array(values, name))


def insert(model: onnx.ModelProto, before: onnx.NodeProto, op_type: str, *inputs: str, **kw) -> str:
    """Add a node before another one and return the name of its output."""
    output = f"inserted {len(model.graph.node)}"
    position = list(model.graph.node).index(before)
    model.graph.node.insert(position, helper.make_node(op_type, inputs, [output], **kw))
    return output


def add_scalar(model: onnx.ModelProto, value: float) -> str:
    name = f"scalar {len(model.graph.initializer)}"
    model.graph.initializer.append(numpy_helper.from_array(np.float32(value), name))
    return name


def encoder_convs(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    names = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    return [
        node
        for node in nodes_of(model, "Conv")
        if len(names.get(node.input[1], ())) == 4 and tuple(names[node.input[1]][2:]) != (4, 4)
    ]


def node_named(model: onnx.ModelProto, output: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.output[0].startswith(output))
