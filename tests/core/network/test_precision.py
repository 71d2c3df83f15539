"""Half precision: what is kept and computed in which dtype, and how far it is from float32."""

import pytest
import torch

from gpen_core.network import bands, generator
from gpen_core.network.build import build_model
from gpen_core.network.config import GpenConfig
from gpen_core.network.precision import arithmetic_dtype, dtype_at, full_float32
from gpen_core.network.synthetic import random_state_dict
from support import reference_gpen
from support.metrics import relative_l2
from support.networks import random_crops
from support.stand_in_gpu import DEVICE, stand_in_gpu

CONFIG = GpenConfig(512, 2, 0.0625)
ADDED = GpenConfig(256, 2, 0.0625, concat=False, style_dim=64)
FULL_WIDTH_512 = GpenConfig(512, 2, 1)
MAX_ERROR = {torch.float16: 3e-3, torch.bfloat16: 1e-2}


@pytest.mark.parametrize(
    ("resolution", "dtype", "expected"),
    [
        (4, torch.bfloat16, torch.float16),
        (128, torch.bfloat16, torch.float16),
        (256, torch.bfloat16, torch.bfloat16),
        (4, torch.float16, torch.float16),
        (256, torch.float16, torch.float16),
        (4, torch.float32, torch.float32),
    ],
)
def test_bfloat16_is_float16_up_to_128_pixels(resolution, dtype, expected):
    assert dtype_at(resolution, dtype) == expected


def test_network_in_bfloat16_keeps_each_resolution_in_its_dtype():
    network = build_model(random_state_dict(CONFIG), torch.bfloat16)
    assert network.dtype == torch.bfloat16
    coarse, fine = [torch.float16] * 6, [torch.bfloat16] * 2
    assert [block.weight.dtype for block in network.encoder] == fine + coarse
    assert [to_rgb.bias.dtype for to_rgb in network.to_rgbs] == coarse + fine
    convs = [torch.float16] * 11 + [torch.bfloat16] * 4
    assert [conv.weight.dtype for conv in network.convs] == convs
    assert all(layer.weight.dtype == torch.float32 for layer in (network.code, *network.style))


@pytest.mark.parametrize("dtype", MAX_ERROR, ids=str)
@pytest.mark.parametrize("config", [CONFIG, ADDED], ids=["concatenated", "added"])
def test_network_on_a_device_computes_in_what_it_keeps(config, dtype):
    state_dict, crops = random_state_dict(config), random_crops(config, 2)
    expected = build_model(state_dict)(crops)
    maps = []
    with stand_in_gpu():
        network = build_model(state_dict, dtype).to(DEVICE)
        layers = [*network.encoder, *network.convs]
        for layer in layers:
            layer.register_forward_hook(
                lambda layer, _, y: maps.append((layer, y.rows(0, 1).dtype))
            )
        restored = network(crops.to(DEVICE)).cpu()
    assert maps == [(layer, layer.weight.dtype) for layer in layers]
    assert relative_l2(restored, expected) <= MAX_ERROR[dtype]


@pytest.mark.parametrize("config", [CONFIG, ADDED], ids=["concatenated", "added"])
def test_float16_on_a_cpu_is_float32_with_rounded_weights(config):
    state_dict, crops = random_state_dict(config), random_crops(config, 2)
    halves = build_model(state_dict, torch.float16)
    rounded = build_model(state_dict)
    rounded.load_state_dict({name: value.float() for name, value in halves.state_dict().items()})
    assert relative_l2(halves(crops), rounded(crops)) <= 1e-6


def test_maps_on_a_cpu_are_kept_in_what_is_computed_in(monkeypatch):
    kept = []
    stored = bands.stored

    def note(x):
        kept.append((x.shape[2], x.dtype))
        return stored(x)

    monkeypatch.setattr(bands, "stored", note)
    monkeypatch.setattr(generator, "stored", note)
    monkeypatch.setattr(bands, "BAND_BYTES", 1)
    build_model(random_state_dict(CONFIG), torch.bfloat16)(random_crops(CONFIG))
    encoded = [(256 >> i, torch.float32 if i else torch.bfloat16) for i in range(7)]
    crop, constant = (512, torch.float32), (4, torch.float16)
    assert kept == [crop, *encoded, constant, *reversed(encoded)]


def test_arithmetic_is_in_the_dtype_of_the_weight_elsewhere():
    half = torch.zeros(1, dtype=torch.float16)
    assert arithmetic_dtype(half) == torch.float32
    assert arithmetic_dtype(half.to("meta")) == torch.float16
    assert arithmetic_dtype(half.bfloat16()) == torch.bfloat16
    assert arithmetic_dtype(half.double()) == torch.float64


def test_bfloat16_of_full_width_is_as_exact_as_promised():
    # Were all of it bfloat16, this one of several networks would be off by 2.2e-2.
    state_dict = reference_gpen.moved_state_dict(FULL_WIDTH_512)
    crops = random_crops(FULL_WIDTH_512, seed=2)
    expected = build_model(state_dict)(crops)
    restored = build_model(state_dict, torch.bfloat16)(crops)
    assert relative_l2(restored, expected) <= MAX_ERROR[torch.bfloat16]


@pytest.fixture
def cudnn():
    """Its settings, which are PyTorch's again afterwards."""
    allowed = torch.backends.cudnn.allow_tf32
    yield torch.backends.cudnn
    torch.backends.cudnn.allow_tf32 = allowed


@pytest.mark.parametrize("allowed", [True, False])
def test_full_float32_gives_back_what_it_found_even_after_an_error(cudnn, allowed):
    cudnn.allow_tf32 = allowed
    seen = []

    def fail():
        seen.append(cudnn.allow_tf32)
        raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"), full_float32(DEVICE):
        fail()
    assert seen == [False]
    assert cudnn.allow_tf32 == allowed


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="PyTorch before 2.9")
@pytest.mark.parametrize("precisions", [("ieee", "tf32"), ("tf32", "ieee")])
def test_full_float32_leaves_alone_what_the_host_chose_for_each_kind_of_layer(cudnn, precisions):
    cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision = precisions
    with full_float32(DEVICE):
        assert (cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision) == precisions
    assert (cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision) == precisions
