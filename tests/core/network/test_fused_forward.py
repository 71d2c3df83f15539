"""The network and its layers by way of the kernels, and by way of their twins in their place."""

import pytest
import torch

from gpen_core.network import layers
from gpen_core.network.build import build_model
from gpen_core.network.config import GpenConfig
from gpen_core.network.fused import forward, twins
from gpen_core.network.layers import EncoderBlock, StyledConv, ToRgb, upsample_rgb
from gpen_core.network.synthetic import random_state_dict
from support.metrics import relative_l2
from support.networks import random_crops, restore_on_stand_in

MAX_ERROR = {torch.float32: 3e-6, torch.float16: 3e-3, torch.bfloat16: 1e-2}
CONCATENATED = GpenConfig(256, 1, 0.125)
ADDED = GpenConfig(256, 2, 0.0625, concat=False, style_dim=64)


def use_kernels(monkeypatch, kernels):
    monkeypatch.setattr(layers, "uses_kernels", lambda x: True)
    monkeypatch.setattr(forward, "kernels", lambda: kernels)


def interpreted_kernels():
    pytest.importorskip("triton")
    if torch.cuda.is_available():
        pytest.skip("the compiled kernels are tested in tests/gpu")
    from gpen_core.network.fused import kernels

    return kernels


def randomized(module):
    for weight in module.parameters():
        weight.normal_()
    if isinstance(module, StyledConv):
        weight = module.weight.transpose(0, 1) if module.upsample else module.weight
        module.energy.copy_(weight.square().sum(dim=(2, 3)))
        module.epsilon.fill_(1e-8)
        module.injection_strength = -0.6
    return module


@pytest.mark.parametrize("config", [CONCATENATED, ADDED], ids=["concatenated", "added"])
@pytest.mark.parametrize("dtype", MAX_ERROR, ids=str)
@pytest.mark.parametrize("n_faces", [1, 3])
def test_fused_network_agrees_with_the_eager_one_in_float32(monkeypatch, config, dtype, n_faces):
    state_dict = random_state_dict(config)
    crops = random_crops(config, n_faces)
    expected = build_model(state_dict)(crops)
    use_kernels(monkeypatch, twins)
    restored = restore_on_stand_in(state_dict, dtype, crops)
    assert relative_l2(restored, expected) <= MAX_ERROR[dtype]


@pytest.mark.parametrize("downsample", [False, True])
def test_encoder_block_of_kernels_agrees_with_the_eager_one(monkeypatch, downsample):
    kernels = interpreted_kernels()
    torch.manual_seed(0)
    block = randomized(EncoderBlock(3, 5, downsample, torch.float32))
    x = twins.channels_last(torch.randn(2, 3, 8, 8))
    expected = block(x)
    use_kernels(monkeypatch, kernels)
    assert relative_l2(block(x), expected) <= 1e-6


@pytest.mark.parametrize("upsample", [False, True])
@pytest.mark.parametrize("concat", [False, True])
@pytest.mark.parametrize("size", [2, 8])  # the weight is larger than the map, and smaller
def test_styled_conv_of_kernels_agrees_with_the_eager_one(monkeypatch, upsample, concat, size):
    kernels = interpreted_kernels()
    torch.manual_seed(0)
    conv = randomized(StyledConv(5, 6, 16, upsample, concat, torch.float32))
    x, style = twins.channels_last(torch.randn(2, 5, size, size)), torch.randn(2, 16)
    out_size = 2 * size if upsample else size
    features = twins.channels_last(torch.randn(2, 6, out_size, out_size))
    expected = conv(x, style, features)
    use_kernels(monkeypatch, kernels)
    restored = conv(x, style, features)
    assert restored.shape == expected.shape
    assert relative_l2(restored, expected) <= 1e-6


def test_to_rgb_of_kernels_agrees_with_the_eager_one(monkeypatch):
    kernels = interpreted_kernels()
    torch.manual_seed(0)
    to_rgb = randomized(ToRgb(5, 16, torch.float32))
    x, style = twins.channels_last(torch.randn(2, 5, 8, 8)), torch.randn(2, 16)
    previous = torch.randn(2, 3, 4, 4)
    expected = to_rgb(x, style) + upsample_rgb(previous)
    use_kernels(monkeypatch, kernels)
    assert relative_l2(to_rgb(x, style, previous), expected) <= 1e-6
