"""Weights read out of ONNX exports, against the state dicts that the exports were made from."""

import warnings
from pathlib import Path

import onnx
import onnxsim
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto

from gpen_core.checkpoints.checkpoint import load_state_dict
from gpen_core.errors import CheckpointMismatchError
from gpen_core.network.detect import detect_config
from support import reference_gpen
from support.onnx_edits import add_scalar, consumers_of, insert, node_named
from support.onnx_export import convert_to_fp16, export_onnx, rename_everything
from support.onnx_networks import (
    EXPORTS,
    SMALL,
    TOLERANCE,
    assert_same_weights,
    network_of,
    published,
)
from support.reference_gpen import static_shape


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
    assert_same_weights(load_state_dict(path), published(SMALL), TOLERANCE[torch.float16])


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

    assert_same_weights(load_state_dict(tmp_path / "optimised.onnx"), published(SMALL))


@pytest.mark.parametrize("is_simplified", [False, True], ids=["raw", "simplified"])
def test_names_in_the_graph_do_not_matter(small, simplified, read, is_simplified):
    model = simplified if is_simplified else small
    rename_everything(model)
    assert not any("generator" in tensor.name for tensor in model.graph.initializer)

    assert_same_weights(read(model), published(SMALL))


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

    assert_same_weights(load_state_dict(path), published(SMALL))
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
