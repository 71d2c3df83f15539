"""The reader of ONNX files, against the ``onnx`` package and against damaged and hostile files."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from gpen_core.checkpoints.onnx.graph import MAX_RANK, OnnxGraph, OnnxNode, read_onnx_graph
from gpen_core.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    CheckpointReadError,
    UnsafeCheckpointError,
)

GOLDEN = "golden/gpen_256_cm1_narrow0125.onnx"


def model_of(nodes, tensors=(), inputs=("x",), outputs=("y",)) -> onnx.ModelProto:
    def value(name):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, "height", 8])

    graph = helper.make_graph(
        list(nodes), "g", [*map(value, inputs)], [*map(value, outputs)], list(tensors)
    )
    return helper.make_model(graph)


def read(model: onnx.ModelProto | bytes, folder: Path, name: str = "model.onnx") -> OnnxGraph:
    data = model if isinstance(model, bytes) else model.SerializeToString()
    (folder / name).write_bytes(data)
    return read_onnx_graph(folder / name)


def small_model() -> onnx.ModelProto:
    tensors = [
        numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3), "w"),
        helper.make_tensor("b", TensorProto.FLOAT16, [3], [1.5, -2.0, 0.25]),
        helper.make_tensor("i", TensorProto.INT64, [2], [-1, 1 << 40]),
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"], name="first"),
        helper.make_node("Conv", ["m", "w", "b"], ["c"], kernel_shape=[3, 3], mode="SAME"),
        helper.make_node("LeakyRelu", ["c"], ["y"], alpha=0.2),
    ]
    return model_of(nodes, tensors)


# --- Agreement with the onnx package ---------------------------------------------------------


def test_read_onnx_graph_of_golden_file_agrees_with_onnx_package(test_data):
    expected = onnx.load(test_data / GOLDEN).graph
    graph = read_onnx_graph(test_data / GOLDEN)

    constants = {node.output[0]: node for node in expected.node if node.op_type == "Constant"}
    tensors = {tensor.name: tensor for tensor in expected.initializer}
    tensors |= {name: node.attribute[0].t for name, node in constants.items()}
    assert set(graph.tensors) == set(tensors)
    for name, tensor in tensors.items():
        actual = graph.tensor(name).numpy()
        wanted = numpy_helper.to_array(tensor)
        assert actual.dtype == wanted.dtype
        np.testing.assert_array_equal(actual, wanted)

    nodes = [node for node in expected.node if node.op_type != "Constant"]
    assert len(graph.nodes) == len(nodes)
    for i, (actual_node, wanted_node) in enumerate(zip(graph.nodes, nodes, strict=True)):
        assert_same_node(actual_node, wanted_node)
        assert actual_node.index == i
    assert graph.inputs == {"input": (1, 3, 256, 256)}
    assert graph.outputs == ["output"]


def assert_same_node(actual: OnnxNode, wanted: onnx.NodeProto) -> None:
    assert actual.op_type == wanted.op_type
    assert actual.inputs == tuple(wanted.input)
    assert actual.outputs == tuple(wanted.output)
    attributes = {a.name: helper.get_attribute_value(a) for a in wanted.attribute}
    assert set(actual.attributes) == set(attributes)
    for name, value in attributes.items():
        if isinstance(value, TensorProto):
            found = actual.attributes[name].to_torch().numpy()
            np.testing.assert_array_equal(found, numpy_helper.to_array(value))
        else:
            wanted_value = tuple(value) if isinstance(value, list) else value
            assert actual.attributes[name] == wanted_value


def test_read_onnx_graph_links_values_to_what_makes_them(tmp_path):
    graph = read(small_model(), tmp_path)

    assert [graph.producers[name].op_type for name in ("m", "c", "y")] == [
        "MatMul",
        "Conv",
        "LeakyRelu",
    ]
    assert graph.producers["c"].integers("kernel_shape") == (3, 3)
    assert graph.producers["c"].integers("pads") is None
    assert graph.producers["y"].number("alpha", 0.01) == pytest.approx(0.2)
    assert graph.producers["m"].integer("transB", 7) == 7
    assert graph.inputs == {"x": (1, 3, 0, 8)}


@pytest.mark.parametrize(
    ("data_type", "values"),
    [
        (TensorProto.FLOAT, [0.5, -1e30, 3.0]),
        (TensorProto.DOUBLE, [0.5, -1e300, 3.0]),
        (TensorProto.FLOAT16, [0.5, -65504.0, 6e-8]),
        (TensorProto.BFLOAT16, [0.5, -3.0, 2.0**100]),
        (TensorProto.INT64, [-(1 << 63), (1 << 63) - 1, 5]),
        (TensorProto.INT32, [-(1 << 31), (1 << 31) - 1, 5]),
        (TensorProto.INT16, [-(1 << 15), (1 << 15) - 1, 5]),
        (TensorProto.INT8, [-128, 127, 5]),
        (TensorProto.UINT8, [0, 255, 5]),
        (TensorProto.BOOL, [True, False, True]),
    ],
)
@pytest.mark.parametrize("is_raw", [False, True])
def test_tensor_of_every_type_and_storage_agrees_with_onnx_package(
    tmp_path, data_type, values, is_raw
):
    # Two elements more than one, so that packed fields and 2-D shapes are both exercised.
    tensor = helper.make_tensor("t", data_type, [3, 2], values + values[::-1])
    wanted = numpy_helper.to_array(tensor)
    if is_raw:
        tensor = numpy_helper.from_array(wanted, "t")
    assert tensor.HasField("raw_data") == is_raw

    graph = read(model_of([helper.make_node("Identity", ["x"], ["y"])], [tensor]), tmp_path)

    actual = graph.tensor("t")
    assert actual.shape == (3, 2)
    assert actual.double().tolist() == wanted.astype(np.float64).tolist()


@pytest.mark.parametrize("padding", range(8))
def test_tensor_is_aligned_and_writable_wherever_it_lies_in_the_file(tmp_path, padding):
    model = small_model()
    model.producer_name = "p" * padding
    graph = read(model, tmp_path)

    weight = graph.tensor("w")
    assert weight.data_ptr() % weight.element_size() == 0
    weight += 1
    assert graph.tensor("w").flatten().tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("attribute", "wanted"),
    [
        ({"value_float": 1.5}, 1.5),
        ({"value_int": -3}, -3),
        ({"value_floats": [1.5, 2.5]}, [1.5, 2.5]),
        ({"value_ints": [1, -2]}, [1, -2]),
        ({"value": helper.make_tensor("", TensorProto.FLOAT, [2], [1.0, 2.0])}, [1.0, 2.0]),
    ],
)
def test_constant_nodes_of_every_kind_become_tensors(tmp_path, attribute, wanted):
    nodes = [
        helper.make_node("Constant", [], ["k"], **attribute),
        helper.make_node("Mul", ["x", "k"], ["y"]),
    ]
    graph = read(model_of(nodes), tmp_path)

    assert graph.tensor("k").tolist() == wanted
    assert [node.op_type for node in graph.nodes] == ["Mul"]


def test_initializers_listed_as_inputs_are_not_inputs(tmp_path):
    model = model_of(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [helper.make_tensor("w", TensorProto.FLOAT, [1], [2.0])],
        inputs=("x", "w"),
    )
    assert set(read(model, tmp_path).inputs) == {"x"}


def test_nodes_merged_by_onnxruntime_are_taken_apart(tmp_path):
    node = helper.make_node(
        "FusedConv",
        ["x", "w"],
        ["y"],
        domain="com.microsoft",
        activation="LeakyRelu",
        activation_params=[0.2],
        kernel_shape=[3, 3],
    )
    graph = read(model_of([node]), tmp_path)

    conv, activation = graph.nodes
    assert (conv.op_type, conv.inputs, conv.integers("kernel_shape")) == (
        "Conv",
        ("x", "w"),
        (3, 3),
    )
    assert (activation.op_type, activation.outputs) == ("LeakyRelu", ("y",))
    assert activation.number("alpha", 0) == pytest.approx(0.2)
    assert activation.inputs == conv.outputs
    assert activation.index > conv.index


# --- Files that are refused ------------------------------------------------------------------


def test_read_onnx_graph_of_missing_file_says_where_it_looked(tmp_path):
    with pytest.raises(CheckpointNotFoundError, match=r"missing\.onnx"):
        read_onnx_graph(tmp_path / "missing.onnx")


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 64, b"not a model\n" * 50, b"PK\x03\x04" + b"a" * 99]
)
def test_read_onnx_graph_of_other_kinds_of_file_is_refused(tmp_path, data):
    with pytest.raises(CheckpointReadError, match=r"model\.onnx: expected"):
        read(data, tmp_path)


def test_read_onnx_graph_of_folder_is_refused(tmp_path):
    with pytest.raises(CheckpointReadError, match="expected a readable ONNX file"):
        read_onnx_graph(tmp_path)


def test_truncated_file_is_refused_at_every_length(tmp_path):
    model = small_model()
    data = model.SerializeToString()
    # After the graph comes the version of the operator set, which is not read.
    unread = sum(2 + opset.ByteSize() for opset in model.opset_import)
    assert len(read(data[:-unread], tmp_path).nodes) == 3
    for length in range(len(data) - unread):
        with pytest.raises(CheckpointReadError, match=r"cut\.onnx"):
            read(data[:length], tmp_path, "cut.onnx")


def test_truncated_golden_file_is_refused(tmp_path, test_data):
    data = (test_data / GOLDEN).read_bytes()
    for length in [1, 100, 70_000, 200_000, len(data) // 2, len(data) - 100]:
        with pytest.raises(CheckpointReadError, match=r"cut\.onnx"):
            read(data[:length], tmp_path, "cut.onnx")


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=9))
def test_damaged_bytes_end_in_a_checkpoint_error_or_a_graph(tmp_path, changes):
    data = bytearray(small_model().SerializeToString())
    for position, byte in changes:
        data[position % len(data)] = byte
    try:
        graph = read(bytes(data), tmp_path)
        for name in graph.tensors:
            graph.tensor(name)
    except CheckpointError as error:
        assert "model.onnx" in str(error)  # noqa: PT017


def test_external_data_is_refused_and_not_opened(tmp_path, monkeypatch):
    (tmp_path / "weights.bin").write_bytes(b"\0" * 64)
    model = small_model()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    opened = []
    real_open = Path.open
    monkeypatch.setattr(
        Path, "open", lambda path, *a, **k: opened.append(path.name) or real_open(path, *a, **k)
    )

    with pytest.raises(UnsafeCheckpointError, match=r"model\.onnx.*'w'.*another file"):
        read_onnx_graph(tmp_path / "model.onnx")
    assert opened == ["model.onnx"]


@pytest.mark.parametrize("mark", ["location", "field"])
def test_external_data_of_constant_node_is_refused(tmp_path, mark):
    tensor = TensorProto(name="t", dims=[1], data_type=1)
    if mark == "location":
        tensor.data_location = TensorProto.EXTERNAL
    else:
        tensor.external_data.add(key="location", value="/etc/passwd")
    nodes = [helper.make_node("Constant", [], ["k"], value=tensor)]
    with pytest.raises(UnsafeCheckpointError):
        read(model_of([*nodes, helper.make_node("Mul", ["x", "k"], ["y"])]), tmp_path)


@pytest.mark.parametrize(
    "nodes",
    [
        [("Add", ["x", "b"], ["a"]), ("Add", ["a", "x"], ["b"])],
        [("Relu", ["y"], ["y"])],
    ],
)
def test_values_made_from_themselves_are_refused(tmp_path, nodes):
    model = model_of([helper.make_node(*node) for node in nodes], [])
    with pytest.raises(CheckpointReadError, match="made before their use, got a circle"):
        read(model, tmp_path)


def test_nodes_are_put_in_order(tmp_path):
    nodes = [("Relu", ["b"], ["y"]), ("Abs", ["a"], ["b"]), ("Neg", ["x"], ["a"])]
    graph = read(model_of([helper.make_node(*node) for node in nodes], []), tmp_path)
    assert [(node.op_type, node.index) for node in graph.nodes] == [
        ("Neg", 0),
        ("Abs", 1),
        ("Relu", 2),
    ]
    assert graph.producers["b"] is graph.nodes[1]


@pytest.mark.parametrize(
    "nodes",
    [
        [("Relu", ["x"], ["y"]), ("Abs", ["x"], ["y"])],
        [("Relu", ["x"], ["w"])],  # also an initializer
    ],
)
def test_values_made_twice_are_refused(tmp_path, nodes):
    model = model_of(
        [helper.make_node(*node) for node in nodes], [small_model().graph.initializer[0]]
    )
    with pytest.raises(CheckpointReadError, match="values made once"):
        read(model, tmp_path)


@pytest.mark.parametrize(
    ("dims", "raw", "message"),
    [
        ([4], b"\0" * 12, "expected 4 elements"),
        ([1 << 31], b"\0" * 12, "expected 2147483648 elements"),
        ([1 << 40], b"\0" * 12, "possible shape"),
        ([1 << 62, 1 << 62], b"", "possible shape"),
        ([-3], b"\0" * 12, "possible shape"),
        ([1] * (MAX_RANK + 1), b"\0" * 4, "possible shape"),
        ([3], b"\0" * 13, "4 bytes"),
    ],
)
def test_tensor_whose_data_does_not_fit_its_shape_is_refused(tmp_path, dims, raw, message):
    tensor = TensorProto(name="t", dims=dims, data_type=1, raw_data=raw)
    model = model_of([helper.make_node("Relu", ["x"], ["y"])], [tensor])
    with pytest.raises(CheckpointReadError, match=message):
        read(model, tmp_path).tensor("t")


def test_tensor_of_strings_is_refused_by_name(tmp_path):
    tensor = helper.make_tensor("t", TensorProto.STRING, [1], [b"a"])
    graph = read(model_of([helper.make_node("Relu", ["x"], ["y"])], [tensor]), tmp_path)
    with pytest.raises(CheckpointReadError, match=r"model\.onnx.*'t'.*data type 8"):
        graph.tensor("t")


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 11,  # a tag that does not end
        b"\x3a\xff\xff\xff\xff\x0f" + b"\0" * 8,  # a length of 4 GiB
        b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # a length of 2**64 - 1
        b"\x3b",  # a group, which protocol buffers gave up
        b"\x3d\0\0",  # a number of 4 bytes with 2
    ],
)
def test_malformed_wire_format_is_refused(tmp_path, data):
    with pytest.raises(CheckpointReadError):
        read(data, tmp_path)


def test_overlong_names_are_refused(tmp_path):
    model = model_of([helper.make_node("Relu", ["x" * 5000], ["y"])])
    with pytest.raises(CheckpointReadError, match="name of at most"):
        read(model, tmp_path)


def test_reading_decodes_nothing_before_it_is_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "frombuffer", lambda *a, **k: pytest.fail("decoded a tensor"))
    assert set(read(small_model(), tmp_path).tensors) == {"w", "b", "i"}
