"""Weights read out of ONNX exports, against the state dicts that the exports were made from."""

import math
import re
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxsim
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from gpen_core.checkpoints.checkpoint import load_state_dict
from gpen_core.checkpoints.onnx.weights import read_onnx_state_dict
from gpen_core.errors import (
    CheckpointError,
    CheckpointMismatchError,
    CheckpointNotFoundError,
    CheckpointReadError,
    NotGpenError,
)
from gpen_core.network.config import GpenConfig, expected_shapes
from gpen_core.network.detect import detect_config
from support import reference_gpen
from support.onnx_export import convert_to_fp16, export_onnx, rename_everything
from support.reference_gpen import ReferenceGpen, random_state_dict, static_shape

TOLERANCE = {torch.float32: 1e-6, torch.float16: 1e-3}

SMALL = GpenConfig(256, channel_multiplier=1, narrow=1 / 64, n_mlp=3, style_dim=12)
ADDING = GpenConfig(512, channel_multiplier=2, narrow=1 / 64, n_mlp=1, style_dim=12, concat=False)
EXPORTS = {
    "concat-11": (SMALL, {"opset": 11}),
    "add-13": (ADDING, {"opset": 13, "dynamic_batch": True}),
    "concat-17": (SMALL, {"opset": 17}),
    "unfolded-15": (SMALL, {"opset": 15, "fold_constants": False}),
}


def published(config: GpenConfig) -> dict[str, torch.Tensor]:
    """Random weights, the FIR filters too, so that one flipped or swapped for another shows."""
    state_dict = random_state_dict(config, seed=config.size)
    generator = torch.Generator().manual_seed(1)
    for name in state_dict:
        if name.endswith(".kernel"):
            state_dict[name] = torch.rand(4, 4, generator=generator)
    return state_dict


def network_of(config: GpenConfig) -> ReferenceGpen:
    network = ReferenceGpen(config)
    network.load_state_dict(published(config))
    return network.eval()


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Path of one of EXPORTS, made once."""
    folder = tmp_path_factory.mktemp("onnx")

    def export(name: str) -> Path:
        config, options = EXPORTS[name]
        path = folder / f"{name}.onnx"
        if not path.exists():
            export_onnx(network_of(config), path, size=config.size, **options)
        return path

    return export


@pytest.fixture
def small(exported) -> onnx.ModelProto:
    """A fresh copy of one export to operate on."""
    return onnx.load(exported("concat-17"))


@pytest.fixture(scope="session")
def simplified_bytes(exported) -> bytes:
    return onnxsim.simplify(onnx.load(exported("concat-17")))[0].SerializeToString()


@pytest.fixture
def simplified(simplified_bytes) -> onnx.ModelProto:
    """The same after onnxsim."""
    return onnx.ModelProto.FromString(simplified_bytes)


@pytest.fixture
def read(tmp_path):
    def read_model(model: onnx.ModelProto) -> dict[str, torch.Tensor]:
        onnx.save(model, tmp_path / "model.onnx")
        return load_state_dict(tmp_path / "model.onnx")

    return read_model


def assert_same_weights(actual, wanted, tolerance: float = TOLERANCE[torch.float32]) -> None:
    assert set(actual) == set(expected_shapes(detect_config(actual)))
    assert set(actual) == set(wanted)
    for name, tensor in actual.items():
        assert tensor.dtype == torch.float32, name
        assert tensor.shape == wanted[name].shape, name
        assert tensor.is_contiguous(), name
        error = float((tensor - wanted[name]).norm() / wanted[name].norm())
        assert error <= tolerance, f"{name} is off by {error:.2e}"


# --- Exports as they are found ---------------------------------------------------------------


@pytest.mark.parametrize("is_simplified", [False, True], ids=["raw", "simplified"])
def test_golden_export_of_authors_network_equals_its_checkpoint(test_data, read, is_simplified):
    golden = test_data / "golden"
    wanted = torch.load(golden / "gpen_256_cm1_narrow0125.pth", weights_only=True)
    model = onnx.load(golden / "gpen_256_cm1_narrow0125.onnx")
    if is_simplified:
        model, _ = onnxsim.simplify(model)

    assert_same_weights(read(model), wanted)


@pytest.mark.parametrize("name", EXPORTS)
@pytest.mark.parametrize("is_simplified", [False, True], ids=["raw", "simplified"])
def test_export_equals_the_state_dict_it_was_made_from(exported, read, name, is_simplified):
    config, _ = EXPORTS[name]
    model = onnx.load(exported(name))
    if is_simplified:
        model, _ = onnxsim.simplify(model)

    state_dict = read(model)

    assert_same_weights(state_dict, published(config))
    found = detect_config(state_dict)
    assert (found.size, found.n_mlp, found.style_dim, found.concat) == (
        config.size,
        config.n_mlp,
        config.style_dim,
        config.concat,
    )


@pytest.mark.parametrize("is_simplified", [False, True], ids=["raw", "simplified"])
def test_float16_export_equals_the_state_dict_to_float16(small, simplified, read, is_simplified):
    model = simplified if is_simplified else small
    convert_to_fp16(model)
    types = {tensor.data_type for tensor in model.graph.initializer}
    assert TensorProto.FLOAT16 in types
    assert TensorProto.FLOAT not in types

    assert_same_weights(read(model), published(SMALL), TOLERANCE[torch.float16])


def test_export_of_half_network_equals_the_state_dict_to_float16(tmp_path):
    path = tmp_path / "half.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network_of(SMALL).half(),
            (torch.zeros(1, 3, 256, 256, dtype=torch.float16),),
            path,
            dynamo=False,
            opset_version=17,
        )
    assert_same_weights(read_onnx_state_dict(path), published(SMALL), TOLERANCE[torch.float16])


@pytest.mark.parametrize("level", ["BASIC", "EXTENDED"])
def test_graph_saved_by_onnxruntime_equals_the_state_dict(exported, tmp_path, level):
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = getattr(
        onnxruntime.GraphOptimizationLevel, f"ORT_ENABLE_{level}"
    )
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(exported("concat-17"), options, providers=["CPUExecutionProvider"])

    assert_same_weights(read_onnx_state_dict(tmp_path / "optimised.onnx"), published(SMALL))


@pytest.mark.parametrize("is_simplified", [False, True], ids=["raw", "simplified"])
def test_names_in_the_graph_do_not_matter(small, simplified, read, is_simplified):
    model = simplified if is_simplified else small
    rename_everything(model)
    assert not any("generator" in tensor.name for tensor in model.graph.initializer)

    assert_same_weights(read(model), published(SMALL))


# --- Other formulations of the same network --------------------------------------------------


def depthwise_upfirdn2d(images, kernel, up, pads):
    batch, channels, height, width = static_shape(images)
    images = images.reshape(batch, channels, height, 1, width, 1)
    images = F.pad(images, (0, up - 1, 0, 0, 0, up - 1))
    images = F.pad(images.reshape(batch, channels, height * up, width * up), (*pads, *pads))
    kernel = torch.flip(kernel, (0, 1))[None, None].expand(channels, 1, 4, 4)
    return F.conv2d(images, kernel, groups=channels)


def transposed_upfirdn2d(images, kernel, up, pads):
    if up == 1:
        return depthwise_upfirdn2d(images, kernel, up, pads)
    channels = static_shape(images)[1]
    kernel = kernel[None, None].expand(channels, 1, 4, 4)
    return F.conv_transpose2d(images, kernel, stride=2, padding=1, groups=channels)


def forward_with_modulated_activations(self, images, style):
    """What people put in for TensorRT, which wants convolutions to have constant weights."""
    batch, in_chs = static_shape(images)[:2]
    style = self.modulation(style)
    weight = self.weight[0].transpose(0, 1) if self.upsample else self.weight[0]
    images = self.scale * images * style.view(batch, in_chs, 1, 1)
    if self.upsample:
        images = F.conv_transpose2d(images, weight, stride=2)
    else:
        images = F.conv2d(images, weight, padding=self.weight.shape[-1] // 2)
    if self.demodulate:
        weight = self.scale * self.weight * style.view(batch, 1, in_chs, 1, 1)
        images = images * torch.rsqrt(weight.pow(2).sum((2, 3, 4)) + 1e-8)[:, :, None, None]
    return self.blur(images) if self.upsample else images


def forward_with_weights_transposed_first(self, images, style):
    """The transposition before ``ConvTranspose``, folded into the stored weight."""
    if not self.upsample:
        return plain_forward(self, images, style)
    batch, in_chs = static_shape(images)[:2]
    style = self.modulation(style).view(batch, in_chs, 1, 1, 1)
    weight = (self.scale * self.weight).transpose(1, 2) * style  # [B, I, O, k, k]
    weight = weight * torch.rsqrt((weight * weight).sum((1, 3, 4), keepdim=True) + 1e-8)
    return self.blur(F.conv_transpose2d(images, weight[0], stride=2))


plain_forward = reference_gpen.ModulatedConv.forward
VARIANTS = {
    "modulated activations": (
        transposed_upfirdn2d,
        forward_with_modulated_activations,
        {"fold_constants": False, "dynamic_batch": True},
    ),
    "transposed weights": (depthwise_upfirdn2d, forward_with_weights_transposed_first, {}),
}


@pytest.fixture(scope="session")
def exported_variant(tmp_path_factory):
    """Path of an export of one of VARIANTS, made once."""
    folder = tmp_path_factory.mktemp("variants")

    def export(variant: str) -> Path:
        path = folder / f"{variant}.onnx"
        if path.exists():
            return path
        upfirdn2d, forward, options = VARIANTS[variant]
        network = network_of(SMALL)
        images = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0)) * 2 - 1
        with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
            wanted = network(images)
            patch.setattr(reference_gpen, "upfirdn2d", upfirdn2d)
            patch.setattr(reference_gpen.ModulatedConv, "forward", forward)
            assert (network(images) - wanted).norm() <= 1e-5 * wanted.norm()
            return export_onnx(network, path, size=256, **options)

    return export


@pytest.mark.parametrize("variant", VARIANTS)
def test_other_formulations_equal_the_state_dict(exported_variant, variant, read):
    path = exported_variant(variant)

    assert_same_weights(read_onnx_state_dict(path), published(SMALL))
    assert_same_weights(read(onnxsim.simplify(onnx.load(path))[0]), published(SMALL))


@pytest.mark.parametrize("op_type", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("is_behind", [False, True])
def test_shift_inside_of_the_norm_is_refused(exported_variant, read, op_type, is_behind):
    """No published tensor stands there, so that reading on would lose it."""
    model = onnx.load(exported_variant("modulated activations"))
    scope = "/generator/convs.2/conv/" if op_type == "ConvTranspose" else "/generator/convs.3/conv/"
    conv = node_named(model, f"{scope}{op_type}")
    one = add_scalar(model, 1.0)
    if is_behind:
        (after,) = consumers_of(model, conv.output[0])
        after.input[0] = insert(model, after, "Add", conv.output[0], one)
    else:
        conv.input[0] = insert(model, conv, "Add", conv.input[0], one)
    with pytest.raises(CheckpointMismatchError, match=r"generator\.convs\.[23]\."):
        read(model)


# --- Graphs rewritten without changing what they compute -------------------------------------


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
    state_dict = read_onnx_state_dict(path)
    with path.open("r+b") as file:
        file.write(b"\0" * path.stat().st_size)

    assert_same_weights(state_dict, published(SMALL))
    pointers = [tensor.untyped_storage().data_ptr() for tensor in state_dict.values()]
    assert len(set(pointers)) == len(pointers)


# --- Files that are refused ------------------------------------------------------------------


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


def node_named(model: onnx.ModelProto, output: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.output[0].startswith(output))


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
