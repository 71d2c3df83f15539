"""ONNX files as converters and older exporters leave them."""

import random

import onnx
import pytest
import torch
from onnxruntime.transformers.float16 import convert_float_to_float16

from gpen_core.checkpoints.checkpoint import load_state_dict
from gpen_core.network.config import SUPPORTED_SIZES, GpenConfig
from support.onnx_export import export_onnx
from support.onnx_networks import SMALL, network_of, published

# As narrow as each size may be: a channel at full resolution.
NARROW = {256: 1 / 64, 512: 1 / 64, 1024: 1 / 32, 2048: 1 / 16}


def small_config(size: int) -> GpenConfig:
    return GpenConfig(size, 2, NARROW[size], n_mlp=2, style_dim=12)


def assert_weights_are(wanted: dict, actual: dict, tolerance: float = 1e-6) -> None:
    assert set(actual) == set(wanted)
    for name, tensor in actual.items():
        torch.testing.assert_close(tensor, wanted[name], atol=tolerance, rtol=tolerance, msg=name)


@pytest.mark.parametrize("keep_io_types", [False, True])
def test_a_file_that_onnxruntime_made_half_precision_is_read(small, read, keep_io_types):
    half = convert_float_to_float16(small, keep_io_types=keep_io_types)
    assert_weights_are(published(SMALL), read(half), 1e-3)


def test_nodes_in_any_order_make_the_same_weights(small, read):
    nodes = list(small.graph.node)
    random.Random(0).shuffle(nodes)  # noqa: S311
    del small.graph.node[:]
    small.graph.node.extend(nodes)
    assert_weights_are(published(SMALL), read(small))


@pytest.mark.parametrize("size", SUPPORTED_SIZES)
def test_the_oldest_form_is_read_at_every_size(tmp_path, size):
    """Opset 10, with the weights among the inputs: as the published files are."""
    network = network_of(small_config(size))
    path = export_onnx(network, tmp_path / "a.onnx", size=size, opset=10, weights_as_inputs=True)
    inputs = {value.name for value in onnx.load(path).graph.input}
    assert len(inputs) > 50
    assert_weights_are(network.state_dict(), load_state_dict(path))


@pytest.mark.parametrize("name", ["generator.conv1", "generator.convs.4", "generator.convs.5"])
def test_a_layer_that_injects_nothing_is_read(tmp_path, name):
    network = network_of(small_config(256))
    network.get_parameter(f"{name}.noise.weight").data.zero_()
    path = export_onnx(network, tmp_path / "a.onnx", size=256)
    assert_weights_are(network.state_dict(), load_state_dict(path))
