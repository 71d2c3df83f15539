"""The evaluation of constant subgraphs, against the reference evaluator of the ``onnx`` package."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from gpen_core.checkpoints.onnx.constants import MAX_CONSTANT_ELEMENTS, MAX_DEPTH, Constants
from gpen_core.checkpoints.onnx.graph import read_onnx_graph
from gpen_core.errors import CheckpointReadError

RNG = np.random.default_rng(0)
VALUES = RNG.standard_normal((2, 3, 4)).astype(np.float32)
OTHERS = RNG.standard_normal((3, 1)).astype(np.float32)
SQUARE = np.arange(16, dtype=np.float32).reshape(4, 4)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def model_of(node: onnx.NodeProto, arrays, opset: int) -> onnx.ModelProto:
    tensors = [
        numpy_helper.from_array(array, name)
        for name, array in zip(filter(None, node.input), arrays, strict=True)
    ]
    output = helper.make_tensor_value_info("y", TensorProto.UNDEFINED, None)
    graph = helper.make_graph([node], "g", [], [output], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def constants_of(model: onnx.ModelProto, folder) -> Constants:
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return Constants(read_onnx_graph(folder / "model.onnx"))


CASES = [
    ("Abs", [VALUES], {}, 13),
    ("Add", [VALUES, OTHERS], {}, 13),
    ("Cast", [VALUES * 5], {"to": TensorProto.INT64}, 13),
    ("Concat", [VALUES, VALUES[:1]], {"axis": 0}, 13),
    ("Concat", [VALUES, VALUES], {"axis": -1}, 13),
    ("ConstantOfShape", [ints(2, 3)], {"value": helper.make_tensor("", 7, [1], [4])}, 13),
    ("ConstantOfShape", [ints(2, 3)], {}, 13),
    ("Div", [VALUES, OTHERS], {}, 13),
    ("Div", [ints(7, -8, 9), ints(2, 3, 5)], {}, 13),
    ("Equal", [ints(1, 2), ints(1, 3)], {}, 13),
    ("Expand", [OTHERS, ints(2, 1, 4)], {}, 13),
    ("Flatten", [VALUES], {}, 13),
    ("Flatten", [VALUES], {"axis": -1}, 13),
    ("Gather", [VALUES, ints(2, -1)], {"axis": 1}, 13),
    ("Gather", [VALUES, np.array(1)], {}, 13),
    ("Greater", [VALUES, OTHERS], {}, 13),
    ("Identity", [VALUES], {}, 13),
    ("LeakyRelu", [VALUES], {"alpha": 0.2}, 13),
    ("LeakyRelu", [VALUES], {}, 13),
    ("Max", [VALUES, OTHERS, VALUES + 1], {}, 13),
    ("Min", [VALUES, OTHERS], {}, 13),
    ("Mul", [VALUES, OTHERS], {}, 13),
    ("Neg", [VALUES], {}, 13),
    ("PRelu", [VALUES, OTHERS], {}, 13),
    ("Pow", [np.abs(VALUES), OTHERS], {}, 13),
    ("Reciprocal", [VALUES], {}, 13),
    ("Relu", [VALUES], {}, 13),
    ("Reshape", [VALUES, ints(0, -1)], {}, 13),
    ("Shape", [VALUES], {}, 13),
    ("Shape", [VALUES], {"start": 1, "end": 2}, 15),
    ("Slice", [SQUARE, ints(1), ints(3)], {}, 13),
    ("Slice", [SQUARE, ints(-1, 0), ints(-(1 << 63), 4), ints(0, 1), ints(-1, 2)], {}, 13),
    ("Sqrt", [np.abs(VALUES)], {}, 13),
    ("Squeeze", [VALUES[:1, :, :1]], {"axes": [0, 2]}, 11),
    ("Squeeze", [VALUES[:1, :, :1], ints(-1)], {}, 13),
    ("Squeeze", [VALUES[:1, :, :1]], {}, 13),
    ("Sub", [VALUES, OTHERS], {}, 13),
    ("Tile", [SQUARE, ints(2, 3)], {}, 13),
    ("Transpose", [VALUES], {}, 13),
    ("Transpose", [VALUES], {"perm": [1, 2, 0]}, 13),
    ("Unsqueeze", [VALUES], {"axes": [0, 3]}, 11),
    ("Unsqueeze", [VALUES, ints(-1, 0)], {}, 13),
    ("Where", [VALUES > 0, VALUES, OTHERS], {}, 13),
]


@pytest.mark.parametrize(("op_type", "arrays", "attributes", "opset"), CASES)
def test_evaluate_agrees_with_reference_evaluator(tmp_path, op_type, arrays, attributes, opset):
    names = [f"i{n}" for n in range(len(arrays))]
    model = model_of(helper.make_node(op_type, names, ["y"], **attributes), arrays, opset)
    (wanted,) = ReferenceEvaluator(model).run(None, {})

    actual = constants_of(model, tmp_path).evaluate("y")

    assert tuple(actual.shape) == wanted.shape
    np.testing.assert_allclose(actual.numpy(), wanted, rtol=1e-6)


def chain(op_type: str, n_nodes: int, tensors, **attributes) -> onnx.ModelProto:
    nodes = [
        helper.make_node(op_type, [f"v{i}"] * (2 if op_type == "Concat" else 1), [f"v{i + 1}"])
        for i in range(n_nodes)
    ]
    for node in nodes:
        node.attribute.extend(helper.make_attribute(*item) for item in attributes.items())
    output = helper.make_tensor_value_info(f"v{n_nodes}", TensorProto.FLOAT, None)
    return helper.make_model(helper.make_graph(nodes, "g", [], [output], tensors))


def test_constants_tell_constants_from_signals_and_shapes(tmp_path):
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    nodes = [
        helper.make_node("Mul", ["w", "w"], ["ww"]),
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Mul", ["shape", "shape"], ["double"]),
        helper.make_node("Unknown", ["w"], ["odd"]),
        helper.make_node("Add", ["x", "ww"], ["y"]),
        helper.make_node("Clip", ["x", "", "w"], ["z"]),
    ]
    tensors = [numpy_helper.from_array(np.ones(1, np.float16), "w")]
    graph = helper.make_graph(nodes, "g", [image], [output], tensors)
    constants = constants_of(helper.make_model(graph), tmp_path)

    assert [name for name in ("w", "ww", "shape", "double", "odd", "x", "y", "nowhere")
            if constants.is_constant(name)] == ["w", "ww"]  # fmt: skip
    assert [name for name in ("w", "ww", "shape", "double", "odd", "x", "y", "z", "nowhere")
            if constants.is_signal(name)] == ["x", "y", "z"]  # fmt: skip
    assert constants.evaluate("ww").dtype == torch.float32
    # What depends on the image can be evaluated for a given image.
    assert constants.evaluate("y", {"x": torch.tensor(2.0)}).item() == 3


def test_evaluate_of_operands_that_do_not_fit_raises_read_error(tmp_path):
    node = helper.make_node("Add", ["a", "b"], ["y"])
    model = model_of(node, [np.ones(3, np.float32), np.ones(4, np.float32)], 13)
    with pytest.raises(CheckpointReadError, match=r"model\.onnx.*'y'"):
        constants_of(model, tmp_path).evaluate("y")


@pytest.mark.parametrize(
    ("op_type", "arrays"),
    [
        ("ConstantOfShape", [ints(1 << 20, 1 << 20)]),
        ("Expand", [SQUARE, ints(1 << 30, 4, 4)]),
        ("Tile", [SQUARE, ints(1 << 20, 1 << 20)]),
        ("Add", [np.ones((1, 1 << 15), np.float32), np.ones((1 << 15, 1), np.float32)]),
        ("Gather", [np.ones((1, 1 << 15), np.float32), np.zeros(1 << 15, np.int64)]),
    ],
)
def test_evaluate_of_huge_result_is_refused_without_making_it(tmp_path, op_type, arrays):
    names = [f"i{n}" for n in range(len(arrays))]
    model = model_of(helper.make_node(op_type, names, ["y"]), arrays, 13)
    with pytest.raises(CheckpointReadError, match=f"at most {MAX_CONSTANT_ELEMENTS} elements"):
        constants_of(model, tmp_path).evaluate("y")


def test_evaluate_of_long_concatenation_is_refused_without_making_it(tmp_path):
    tensor = numpy_helper.from_array(np.ones(1 << 20, np.float32), "w")
    node = helper.make_node("Concat", ["w"] * 65, ["y"], axis=0)
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    model = helper.make_model(helper.make_graph([node], "g", [], [output], [tensor]))
    with pytest.raises(CheckpointReadError, match=f"at most {MAX_CONSTANT_ELEMENTS} elements"):
        constants_of(model, tmp_path).evaluate("y")


def test_evaluate_stops_when_all_results_together_are_out_of_proportion(tmp_path):
    # Each result is small enough for itself.
    tensors = [numpy_helper.from_array(np.ones((1 << 20), np.float32), "v0")]
    constants = constants_of(chain("Neg", 10, tensors), tmp_path)
    with pytest.raises(CheckpointReadError, match="in proportion to the file"):
        [constants.evaluate("v10") for _ in range(20)]


def test_constants_of_doubling_chain_are_refused(tmp_path):
    tensors = [numpy_helper.from_array(np.ones((64, 2), np.float32), "v0")]
    constants = constants_of(chain("Concat", 40, tensors, axis=0), tmp_path)
    with pytest.raises(CheckpointReadError):
        constants.evaluate("v40")


def test_constants_nested_too_deeply_are_not_constants(tmp_path):
    tensors = [numpy_helper.from_array(np.ones(1, np.float32), "v0")]
    constants = constants_of(chain("Neg", 5000, tensors), tmp_path)
    assert constants.is_constant(f"v{MAX_DEPTH}")
    assert not constants.is_constant(f"v{MAX_DEPTH + 1}")
    assert not constants.is_constant("v5000")
