"""Weights read out of graphs that were rewritten without changing what they compute."""

import math

import numpy as np
import pytest
from onnx import TensorProto, helper

from gpen_core.checkpoints.checkpoint import load_state_dict
from support.onnx_edits import (
    add_scalar,
    change,
    consumers_of,
    encoder_convs,
    initializer,
    insert,
    nodes_of,
    producer_of,
)
from support.onnx_networks import SMALL, assert_same_weights, published


def test_weight_scales_left_in_the_graph_behind_the_convolution(simplified, read):
    for conv in encoder_convs(simplified):
        weight, bias = conv.input[1:3]
        scale = 1 / math.sqrt(np.prod(initializer(simplified, weight).dims[1:]))
        change(simplified, weight, lambda w, scale=scale: (w / scale).astype(np.float32))
        change(simplified, bias, lambda b: b.reshape(-1, 1, 1))
        del conv.input[2]
        (after,) = consumers_of(simplified, conv.output[0])
        scaled = insert(simplified, after, "Mul", conv.output[0], add_scalar(simplified, scale))
        after.input[0] = insert(simplified, after, "Add", bias, scaled)

    assert_same_weights(read(simplified), published(SMALL))


def test_matrices_stored_and_multiplied_in_other_ways(simplified, read):
    gemms = nodes_of(simplified, "Gemm")
    assert len(gemms) > 20
    for i, gemm in enumerate(gemms):
        matrix, bias = gemm.input[1:3]
        attributes = {a.name: helper.get_attribute_value(a) for a in gemm.attribute}
        is_transposed = attributes.get("transB", 0)
        del gemm.attribute[:]
        if i % 3 == 0:
            change(simplified, matrix, lambda w: w.T)
            change(simplified, bias, lambda b: (b / 4).reshape(1, -1))
            settings = {"transB": 1 - is_transposed, "alpha": 1.0, "beta": 4.0}
        elif i % 3 == 1:
            change(simplified, matrix, lambda w: w / 2)
            settings = {"transB": is_transposed, "alpha": 2.0, "beta": 1.0}
        else:
            if is_transposed:
                change(simplified, matrix, lambda w: w.T)
            product = insert(simplified, gemm, "MatMul", gemm.input[0], matrix)
            gemm.op_type, settings = "Add", {}
            gemm.input[:] = [bias, product]
        gemm.attribute.extend(helper.make_attribute(*item) for item in settings.items())

    assert_same_weights(read(simplified), published(SMALL))


def test_matrix_on_the_left_of_the_code(simplified, read):
    gemm = next(g for g in nodes_of(simplified, "Gemm") if "style.2" in g.output[0])
    del gemm.attribute[:]
    column = insert(simplified, gemm, "Transpose", gemm.input[0], perm=[1, 0])
    change(simplified, gemm.input[2], lambda b: b.reshape(-1, 1))
    output = gemm.output[0]
    gemm.input[:] = [gemm.input[1], column, gemm.input[2]]
    gemm.attribute.append(helper.make_attribute("transA", 1))
    gemm.output[0] = "column"
    after = consumers_of(simplified, output)[0]
    position = list(simplified.graph.node).index(after)
    back = helper.make_node("Transpose", ["column"], [output], perm=[1, 0])
    simplified.graph.node.insert(position, back)

    assert_same_weights(read(simplified), published(SMALL))


def test_sqrt2_moved_from_the_activations_into_the_next_layers(simplified, read):
    """Of the style network and the code, whose layers have one reader each."""
    for gemm in nodes_of(simplified, "Gemm"):
        if "modulation" in gemm.output[0] or "final_linear" in gemm.output[0]:
            continue
        source = producer_of(simplified, gemm.input[0])
        if any(name.startswith("/generator/style/style.0") for name in source.input):
            continue
        assert source.op_type == "Mul"
        gemm.input[0] = next(name for name in source.input if "LeakyRelu" in name)
        change(simplified, gemm.input[1], lambda w: (w * math.sqrt(2)).astype(np.float32))

    assert_same_weights(read(simplified), published(SMALL))


def test_sqrt2_moved_from_behind_each_leaky_relu_to_before_it(simplified, read):
    activations = nodes_of(simplified, "LeakyRelu")
    assert len(activations) == 7 + 1 + 3 + 13
    for activation in activations:
        (scaled,) = consumers_of(simplified, activation.output[0])
        root = next(name for name in scaled.input if name != activation.output[0])
        activation.input[0] = insert(simplified, activation, "Mul", root, activation.input[0])
        scaled.op_type = "Identity"
        scaled.input[:] = [activation.output[0]]

    assert_same_weights(read(simplified), published(SMALL))


DECOMPOSITIONS = {
    "PRelu": [("PRelu", "x", "slope")],
    "Max": [("Mul", "x", "slope"), ("Max", "x", "0")],
    "Where": [("Greater", "x", "zero"), ("Mul", "x", "slope"), ("Where", "0", "x", "1")],
    "Relu": [("Relu", "x"), ("Neg", "x"), ("Relu", "1"), ("Mul", "2", "slope"), ("Sub", "0", "3")],
    "Abs": [("Mul", "x", "sum"), ("Abs", "x"), ("Mul", "1", "difference"), ("Add", "0", "2")],
}


@pytest.mark.parametrize("decomposition", DECOMPOSITIONS)
def test_leaky_relu_made_of_other_operations(simplified, read, decomposition):
    scalars = {"slope": 0.2, "zero": 0.0, "sum": 0.6, "difference": 0.4}
    names = {name: add_scalar(simplified, value) for name, value in scalars.items()}
    for activation in nodes_of(simplified, "LeakyRelu"):
        made = {**names, "x": activation.input[0]}
        *steps, (op_type, *operands) = DECOMPOSITIONS[decomposition]
        for i, (step, *inputs) in enumerate(steps):
            made[str(i)] = insert(simplified, activation, step, *(made[name] for name in inputs))
        activation.op_type = op_type
        activation.input[:] = [made[name] for name in operands]
        del activation.attribute[:]

    assert_same_weights(read(simplified), published(SMALL))


def test_factor_before_a_convolution_of_the_encoder(simplified, read):
    for conv in encoder_convs(simplified)[1:]:
        two = add_scalar(simplified, 2.0)
        conv.input[0] = insert(simplified, conv, "Div", conv.input[0], two)
        change(simplified, conv.input[1], lambda w: w * 2)

    assert_same_weights(read(simplified), published(SMALL))


def test_conversions_of_range_around_the_network_are_left_out(small, read):
    first = consumers_of(small, "input")[0]
    two, one = add_scalar(small, 2.0), add_scalar(small, -1.0)
    doubled = insert(small, first, "Mul", "input", two)
    first.input[0] = insert(small, first, "Add", doubled, one)
    last = producer_of(small, "output")
    last.output[0] = "signed"
    half = add_scalar(small, 0.5)
    small.graph.node.append(helper.make_node("Mul", ["signed", half], ["halved"]))
    small.graph.node.append(helper.make_node("Add", ["halved", half], ["shifted"]))
    zero, top = add_scalar(small, 0.0), add_scalar(small, 1.0)
    small.graph.node.append(helper.make_node("Clip", ["shifted", zero, top], ["output"]))

    assert_same_weights(read(small), published(SMALL))


def test_double_weights_become_float32(simplified, read):
    for tensor in simplified.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            change(simplified, tensor.name, lambda values: values.astype(np.float64))

    assert_same_weights(read(simplified), published(SMALL))


def test_weights_do_not_depend_on_the_file_any_more(exported, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(exported("concat-17").read_bytes())
    state_dict = load_state_dict(path)
    with path.open("r+b") as file:
        file.write(b"\0" * path.stat().st_size)

    assert_same_weights(state_dict, published(SMALL))
    pointers = [tensor.untyped_storage().data_ptr() for tensor in state_dict.values()]
    assert len(set(pointers)) == len(pointers)
