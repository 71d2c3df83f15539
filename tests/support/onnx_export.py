"""Export the reference network to ONNX in the ways the files in the wild were made."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxsim
import torch
from onnx import numpy_helper
from torch import nn


def export_onnx(
    network: nn.Module,
    path: Path,
    *,
    size: int,
    opset: int = 17,
    fp16: bool = False,
    simplify: bool = False,
    fold_constants: bool = True,
    dynamic_batch: bool = False,
    weights_as_inputs: bool = False,
) -> Path:
    """Trace ``network`` on one (1, 3, size, size) image with the legacy exporter.

    Args:
        network: Module of one image input and one image output.
        path: File to write.
        size: Height and width of the traced image.
        opset: Version of the operator set, 10 to 17.
        fp16: Store float tensors as float16, with casts at both ends of the graph.
        simplify: Run onnxsim over the result.
        fold_constants: Let the exporter evaluate constant subgraphs.
        dynamic_batch: Leave the batch axis of input and output open.
        weights_as_inputs: List the weights among the inputs too, as files of IR version 3 do.
    """
    axes = {"input": {0: "batch"}, "output": {0: "batch"}} if dynamic_batch else None
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(1, 3, size, size),),
            path,
            dynamo=False,
            opset_version=opset,
            do_constant_folding=fold_constants,
            input_names=["input"],
            output_names=["output"],
            dynamic_axes=axes,
            keep_initializers_as_inputs=weights_as_inputs,
        )
    if simplify or fp16:
        model = onnx.load(path)
        if simplify:
            model, _ = onnxsim.simplify(model)
        if fp16:
            convert_to_fp16(model)
        onnx.save(model, path)
    return path


def convert_to_fp16(model: onnx.ModelProto) -> None:
    """Turn every float32 tensor of the graph into float16, keeping input and output float32."""
    graph = model.graph
    for tensor in graph.initializer:
        _halve(tensor)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                _halve(attribute.t)
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == 1:
                attribute.i = onnx.TensorProto.FLOAT16
    del graph.value_info[:]
    (first,), (last,) = graph.input, graph.output
    for node in graph.node:
        node.input[:] = ["image_fp16" if name == first.name else name for name in node.input]
        node.output[:] = ["result_fp16" if name == last.name else name for name in node.output]
    half, full = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    graph.node.insert(0, onnx.helper.make_node("Cast", [first.name], ["image_fp16"], to=half))
    graph.node.append(onnx.helper.make_node("Cast", ["result_fp16"], [last.name], to=full))


def rename_everything(model: onnx.ModelProto, seed: int = 0) -> None:
    """Give every value and node of the graph a meaningless name, and shuffle the initializers."""
    graph, rng = model.graph, np.random.default_rng(seed)
    names: dict[str, str] = {"": ""}

    def renamed(name: str) -> str:
        return names.setdefault(name, f"v{rng.integers(1 << 62):x}")

    for node in graph.node:
        node.name = f"n{rng.integers(1 << 62):x}"
        node.input[:] = [renamed(name) for name in node.input]
        node.output[:] = [renamed(name) for name in node.output]
    for value in [*graph.initializer, *graph.input, *graph.output]:
        value.name = renamed(value.name)
    del graph.value_info[:]
    tensors = list(graph.initializer)
    del graph.initializer[:]
    graph.initializer.extend(tensors[i] for i in rng.permutation(len(tensors)))


def _halve(tensor: onnx.TensorProto) -> None:
    if tensor.data_type == onnx.TensorProto.FLOAT:
        values = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
