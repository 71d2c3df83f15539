"""Files that are no GPEN network, or a damaged one."""

import re

import onnx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from gpen_core.checkpoints.checkpoint import load_state_dict
from gpen_core.checkpoints.onnx.weights import read_onnx_state_dict
from gpen_core.errors import (
    CheckpointError,
    CheckpointMismatchError,
    CheckpointNotFoundError,
    CheckpointReadError,
    NotGpenError,
)
from gpen_core.network.config import expected_shapes
from gpen_core.network.detect import detect_config
from support.onnx_edits import (
    add_scalar,
    change,
    consumers_of,
    initializer,
    insert,
    node_named,
    nodes_of,
    producer_of,
)
from support.onnx_export import export_onnx
from support.onnx_networks import SMALL, published


def missing_cases(model: onnx.ModelProto) -> dict[str, str]:
    """Initializers that the network cannot do without, by the published name of each."""
    graph = {tensor.name for tensor in model.graph.initializer if tensor.dims[2:] != [4, 4]}
    cases = {name: name for name in graph if name in published(SMALL)}
    for node in model.graph.node:
        scope = node.output[0].replace("/", ".")
        for position, name in enumerate(node.input):
            if name not in graph or node.op_type not in ("Conv", "Gemm", "Mul"):
                continue
            if match := re.search(r"style\.style\.(\d+)\.", scope):
                layer = f"generator.style.{match[1]}"
            elif match := re.search(r"(generator\.\S+?)\.conv\.modulation", scope):
                layer = f"{match[1]}.conv.modulation"
            elif match := re.search(r"(ecd\d\.0)\.([01])\.Conv", scope):
                layer = f"{match[1]}.{int(match[2]) + (position == 2)}"
            elif match := re.search(r"(generator\.\S+?\.conv)\.Mul", scope):
                layer = match[1]
            else:
                continue
            suffix = "weight" if position < 2 else "bias"
            cases[name] = f"{layer}.{suffix}"
    return cases


@pytest.mark.parametrize("is_simplified", [False, True], ids=["raw", "simplified"])
def test_missing_weight_is_named(small, simplified, tmp_path, is_simplified):
    path = tmp_path / "model.onnx"
    whole = simplified if is_simplified else small
    cases = missing_cases(whole)
    assert len(cases) > 80
    if not is_simplified:  # which takes longer, and differs where tensors have their own names
        cases = {name: wanted for name, wanted in cases.items() if name == wanted}
        assert len(cases) > 20
        cases = {"generator.input.input": "generator.input.input", **cases}
    for name, wanted in list(cases.items())[::2]:
        model = onnx.ModelProto()
        model.CopyFrom(whole)
        model.graph.initializer.remove(initializer(model, name))
        path.write_bytes(model.SerializeToString())
        with pytest.raises(CheckpointMismatchError, match=re.escape(repr(wanted))):
            read_onnx_state_dict(path)


@pytest.mark.parametrize("layer", ["ecd0.0.1", "ecd6.0.2", "style.1", "convs.2/activate"])
def test_missing_factor_is_not_taken_for_one(small, read, layer):
    """Otherwise the layers behind it would come out wrong by sqrt(2), and nobody would know."""
    (scaled,) = [n for n in nodes_of(small, "Mul") if n.output[0].endswith(f"{layer}/Mul_output_0")]
    scaled.input[1] = "nowhere"

    with pytest.raises(CheckpointMismatchError, match=r"model\.onnx.*'nowhere'"):
        read(small)


def test_weight_of_wrong_shape_is_named(simplified, read):
    gemm = next(g for g in nodes_of(simplified, "Gemm") if "convs.3" in g.output[0])
    change(simplified, gemm.input[1], lambda w: w[:-1])
    change(simplified, gemm.input[2], lambda b: b[:-1])
    with pytest.raises(CheckpointMismatchError, match=r"generator\.convs\.3\.conv\.modulation"):
        read(simplified)


def test_factor_that_no_weight_can_hold_is_refused(simplified, read):
    """A normalised convolution of features half as large is another network."""
    conv = next(
        c
        for c in nodes_of(simplified, "Conv")
        if c.output[0].startswith("/generator/convs.5/conv/Conv")
    )
    conv.input[0] = insert(simplified, conv, "Mul", conv.input[0], add_scalar(simplified, 0.5))

    with pytest.raises(CheckpointMismatchError, match=r"convs\.5\.conv\.weight.*0\.5000 times"):
        read(simplified)


def test_other_slope_is_refused(simplified, read):
    for node in nodes_of(simplified, "LeakyRelu"):
        node.attribute[0].f = 0.1
    with pytest.raises(NotGpenError):
        read(simplified)


def test_features_of_the_wrong_resolution_are_refused(simplified, read):
    injections = [n for n in nodes_of(simplified, "Mul") if "/noise/" in n.output[0]]
    by_conv = {re.search(r"/(conv\S+)/noise", n.output[0])[1]: n for n in injections}
    by_conv["convs.4"].input[1] = by_conv["convs.6"].input[1]
    with pytest.raises(CheckpointMismatchError, match=r"generator\.convs\.4\.noise\.weight"):
        read(simplified)


def test_code_made_from_another_map_is_refused(simplified, read):
    flattened = producer_of(simplified, node_named(simplified, "/final_linear").input[0])
    flattened.input[0] = node_named(simplified, "/ecd5/ecd5.0/ecd5.0.2/Mul").output[0]
    with pytest.raises(CheckpointMismatchError, match=r"ecd6\.0\.1\.weight"):
        read(simplified)


def test_image_made_from_other_features_is_refused(simplified, read):
    shown = node_named(simplified, "/generator/to_rgbs.2/conv/Conv")
    shown.input[0] = node_named(simplified, "/generator/convs.3/activate/Mul").output[0]
    with pytest.raises(CheckpointMismatchError, match=r"generator\.to_rgbs\.2"):
        read(simplified)


def test_two_style_vectors_are_refused(simplified, read):
    gemm = node_named(simplified, "/generator/convs.4/conv/modulation")
    gemm.input[0] = node_named(simplified, "/generator/style/style.2/Mul").output[0]
    with pytest.raises(CheckpointMismatchError, match=r"generator\.convs\.4\.conv\.modulation"):
        read(simplified)


def test_layer_before_the_encoder_is_refused(simplified, read):
    first = consumers_of(simplified, "input")[0]
    first.input[0] = insert(simplified, first, "Relu", "input")
    with pytest.raises(CheckpointMismatchError, match=r"'the image', got Relu"):
        read(simplified)


def test_factor_from_nowhere_before_a_filter_of_the_encoder_is_refused(simplified, read):
    first = node_named(simplified, "/ecd3/ecd3.0/ecd3.0.0/")
    first.input[0] = insert(simplified, first, "Mul", first.input[0], "nowhere")
    with pytest.raises(CheckpointMismatchError, match=r"ecd3\.0\.1\.weight.*'nowhere'"):
        read(simplified)


def test_missing_filter_is_refused(simplified, read):
    """An upsampling that does not filter is another network, however alike its weights are."""
    transposed = nodes_of(simplified, "ConvTranspose")[2]
    injection = next(n for n in nodes_of(simplified, "Concat") if "convs.4/" in n.output[0])
    injection.input[0] = transposed.output[0]
    with pytest.raises(CheckpointMismatchError, match=r"generator\.convs\.4\.conv\.blur\.kernel"):
        read(simplified)


def test_generator_without_encoder_is_not_gpen(simplified, read):
    injections = [n for n in nodes_of(simplified, "Mul") if "/noise/" in n.output[0]]
    for node in injections:
        node.input[1] = add_scalar(simplified, 1.0)
    with pytest.raises(NotGpenError, match="expected the graph of a GPEN network"):
        read(simplified)


def test_convolutional_network_is_not_gpen(tmp_path):
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 3, 3)
    )
    path = export_onnx(network, tmp_path / "tiny.onnx", size=8)
    with pytest.raises(
        NotGpenError, match=r"tiny\.onnx: .*3 nodes \(2 Conv, 1 Relu\).*\[1, 3, 8, 8\]"
    ):
        read_onnx_state_dict(path)


def test_graph_of_one_node_is_not_gpen(read):
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", values[:1], values[1:])
    with pytest.raises(NotGpenError):
        read(helper.make_model(graph))


def test_missing_and_other_files_are_refused(tmp_path):
    with pytest.raises(CheckpointNotFoundError):
        read_onnx_state_dict(tmp_path / "no.onnx")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointReadError):
        read_onnx_state_dict(tmp_path / "other.pth")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(0, 1 << 30), st.integers(0, 255)), max_size=20),
    kept=st.floats(0.05, 1) | st.just(1.0),
)
def test_damaged_file_ends_in_a_checkpoint_error_or_a_state_dict(exported, tmp_path, changes, kept):
    data = bytearray(exported("concat-17").read_bytes())
    for position, byte in changes:
        data[position % len(data)] = byte
    path = tmp_path / "damaged.onnx"
    path.write_bytes(data[: int(len(data) * kept)])
    try:
        assert_shapes(load_state_dict(path))
    except CheckpointError as error:
        assert "damaged.onnx" in str(error)  # noqa: PT017


REWIRINGS = ("input", "op_type", "remove input", "shape", "type", "attribute", "data")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_rewired_graph_ends_in_a_checkpoint_error_or_a_state_dict(simplified_bytes, tmp_path, data):
    model = onnx.ModelProto.FromString(simplified_bytes)
    graph = model.graph
    names = [t.name for t in graph.initializer] + [o for n in graph.node for o in n.output]
    for kind in data.draw(st.lists(st.sampled_from(REWIRINGS), min_size=1, max_size=3)):
        node = graph.node[data.draw(st.integers(0, len(graph.node) - 1))]
        tensor = graph.initializer[data.draw(st.integers(0, len(graph.initializer) - 1))]
        amount = data.draw(st.sampled_from([-1, 0, 1, 2, 3, 5, 8, 1 << 40, 1 << 62]))
        if kind == "input" and node.input:
            i = data.draw(st.integers(0, len(node.input) - 1))
            node.input[i] = data.draw(st.sampled_from([*names, ""]))
        elif kind == "op_type":
            node.op_type = data.draw(st.sampled_from(sorted({n.op_type for n in graph.node})))
        elif kind == "remove input" and node.input:
            del node.input[data.draw(st.integers(0, len(node.input) - 1))]
        elif kind == "shape" and tensor.dims:
            tensor.dims[data.draw(st.integers(0, len(tensor.dims) - 1))] = amount
        elif kind == "type":
            tensor.data_type = data.draw(st.integers(0, 24))
        elif kind == "attribute" and node.attribute and node.attribute[0].ints:
            node.attribute[0].ints[0] = amount
        elif kind == "data":
            tensor.raw_data = tensor.raw_data[: amount % (len(tensor.raw_data) + 1)]
    path = tmp_path / "rewired.onnx"
    path.write_bytes(model.SerializeToString())
    try:
        assert_shapes(load_state_dict(path))
    except CheckpointError as error:
        assert "rewired.onnx" in str(error)  # noqa: PT017


def assert_shapes(state_dict) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in state_dict.items()}
    assert shapes == expected_shapes(detect_config(state_dict))
