import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gpen_core.errors import TensorSpecError
from gpen_core.network import ops
from gpen_core.network.build import build_model
from gpen_core.network.config import GpenConfig
from gpen_core.network.generator import GpenGenerator
from gpen_core.network.synthetic import random_state_dict
from support.golden import load_golden
from support.metrics import relative_l2
from support.networks import random_crops, restore_on_stand_in
from support.reference_gpen import ReferenceGpen

GOLDEN = ["gpen_256_cm1_narrow0125", "gpen_512_cm2_narrow00625"]
MAX_ERROR = {torch.float32: 1e-5, torch.float16: 3e-3, torch.bfloat16: 1e-2}

VARIANTS = [
    GpenConfig(256, 1, 0.125),
    GpenConfig(256, 2, 0.0625, concat=False),
    GpenConfig(256, 1.5, 0.1, n_mlp=3, style_dim=48),
    GpenConfig(512, 2, 0.0625),
    GpenConfig(1024, 2, 0.0625, style_dim=64),
]


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("dtype", MAX_ERROR, ids=str)
def test_forward_agrees_with_the_golden_outputs(test_data, name, dtype):
    state_dict, crops, expected = load_golden(test_data, name)
    restored = build_model(state_dict, dtype)(crops)
    assert restored.dtype == torch.float32
    assert relative_l2(restored, expected) <= MAX_ERROR[dtype]


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_on_a_device_agrees_with_the_golden_outputs(test_data, name, dtype):
    state_dict, crops, expected = load_golden(test_data, name)
    restored = restore_on_stand_in(state_dict, dtype, crops)
    assert relative_l2(restored, expected) <= MAX_ERROR[dtype]


@pytest.mark.parametrize("config", VARIANTS, ids=str)
def test_forward_agrees_with_the_published_formulation(config):
    state_dict = random_state_dict(config)
    reference = ReferenceGpen(config)
    reference.load_state_dict(state_dict)
    crops = random_crops(config)
    with torch.no_grad():
        expected = reference(crops)
    assert relative_l2(build_model(state_dict)(crops), expected) <= 1e-5


def test_forward_on_a_device_convolves_float32_without_tf32_and_leaves_the_host_as_it_was(
    monkeypatch,
):
    config = GpenConfig(256, 1, 0.125)
    network = build_model(random_state_dict(config)).to("meta")
    allowed, run = set(), ops.dispatcher.run

    def note(*arguments):
        allowed.add(torch.backends.cudnn.allow_tf32)
        return run(*arguments)

    monkeypatch.setattr(ops.dispatcher, "run", note)
    assert torch.backends.cudnn.allow_tf32
    network(random_crops(config).to("meta"))
    assert allowed == {False}
    assert torch.backends.cudnn.allow_tf32


def test_forward_of_a_batch_equals_single_runs():
    config = GpenConfig(256, 1, 0.125)
    network = build_model(random_state_dict(config))
    crops = random_crops(config, 3)
    singles = torch.cat([network(crop[None]) for crop in crops])
    # The order of additions inside a convolution depends on the batch, so not to the bit.
    assert relative_l2(network(crops), singles) <= 3e-6


@pytest.mark.parametrize("config", VARIANTS, ids=str)
def test_forward_in_bands_agrees_with_whole_maps(config, monkeypatch):
    network = build_model(random_state_dict(config))
    crops = random_crops(config, 2)
    monkeypatch.setattr("gpen_core.network.bands.BAND_BYTES", 2**40)
    whole = network(crops)
    row_bytes = 4 * config.injected_width * config.channels(config.size) * config.size
    # Bands of an odd number of rows that leaves a rest, at every resolution but the smallest.
    monkeypatch.setattr("gpen_core.network.bands.BAND_BYTES", 7 * row_bytes)
    assert relative_l2(network(crops), whole) <= 1e-5


def test_forward_on_a_cpu_needs_less_memory_than_two_maps_of_full_size():
    pytest.importorskip("resource")  # not on Windows
    config = GpenConfig(1024, 2, 0.5)
    code = (
        "import resource, torch, gpen_core\n"
        "from gpen_core.network.synthetic import random_state_dict\n"
        f"config = gpen_core.GpenConfig({config.size}, 2, {config.narrow})\n"
        "network = gpen_core.build_model(random_state_dict(config))\n"
        "crop = torch.zeros(1, 3, config.size, config.size)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "network(crop)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    repository = Path(__file__).resolve().parents[3]
    output = subprocess.run(  # noqa: S603 our own interpreter
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True
    ).stdout
    full_map = 2 * config.channels(1024) * 1024**2 * 4
    assert int(output) * 1024 < 2 * full_map + 100e6


def with_large_styles(state_dict):
    for key in state_dict:
        if key.startswith("generator.conv") and key.endswith("modulation.bias"):
            state_dict[key] *= 1e5


def with_large_and_small_filters(state_dict):
    for key in state_dict:
        if key.startswith("generator.conv") and key.endswith("conv.weight"):
            state_dict[key][:, ::2] *= 1e6
            state_dict[key][:, 1::2] *= 1e-2


def with_a_loud_encoder(state_dict):
    # 1e3 times as large at 128 pixels as at 256, and a million times at the next.
    for key in ("ecd1.0.1.weight", "ecd2.0.1.weight"):
        state_dict[key] *= 1e3
    state_dict["ecd1.0.2.bias"] *= 1e3
    for key in state_dict:  # what the decoder makes of it is ordinary again
        if key.startswith("generator.conv") and key.endswith("noise.weight"):
            state_dict[key] *= 1e-6
    state_dict["final_linear.0.weight"] *= 1e-6


def with_a_quiet_encoder(state_dict):
    for key in ("ecd0.0.0.weight", "ecd0.0.1.bias", "ecd1.0.2.bias", "ecd2.0.2.bias"):
        state_dict[key] *= 1e-7
    for key in ("ecd3.0.2.bias", "ecd4.0.2.bias", "ecd5.0.2.bias", "ecd6.0.2.bias"):
        state_dict[key] *= 1e-7
    for key in state_dict:
        if key.startswith("generator.conv") and key.endswith("noise.weight"):
            state_dict[key] *= 1e7
    state_dict["final_linear.0.weight"] *= 1e7


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "distort",
    [with_large_styles, with_large_and_small_filters, with_a_loud_encoder, with_a_quiet_encoder],
)
def test_half_precision_does_not_overflow_with_extreme_weights(distort, dtype):
    config = GpenConfig(256, 1, 0.125)
    state_dict = random_state_dict(config)
    distort(state_dict)
    crops = random_crops(config)
    reference = ReferenceGpen(config)
    reference.load_state_dict(state_dict)
    with torch.no_grad():
        expected = reference(crops)
    assert relative_l2(build_model(state_dict)(crops), expected) <= 1e-5
    restored = restore_on_stand_in(state_dict, dtype, crops)
    assert relative_l2(restored, expected) <= MAX_ERROR[dtype]


@pytest.mark.parametrize("shape", [(1, 3, 512, 512), (1, 1, 256, 256), (3, 256, 256), (1, 4, 8, 8)])
def test_forward_refuses_other_shapes(shape):
    network = build_model(random_state_dict(GpenConfig(256, 1, 0.125)))
    with pytest.raises(TensorSpecError, match=r"expected \(N, 3, 256, 256\)"):
        network(torch.zeros(shape))


def test_forward_of_no_crops_is_no_crops():
    network = build_model(random_state_dict(GpenConfig(256, 1, 0.125)))
    assert network(torch.zeros(0, 3, 256, 256)).shape == (0, 3, 256, 256)


def test_forward_keeps_the_dtype_of_the_crops_and_leaves_them_alone():
    config = GpenConfig(256, 1, 0.125)
    network = build_model(random_state_dict(config))
    crops = random_crops(config).double()
    before = crops.clone()
    assert network(crops).dtype == torch.float64
    assert torch.equal(crops, before)


def test_state_dict_of_the_network_is_all_of_it():
    config = GpenConfig(256, 1, 0.125)
    network = build_model(random_state_dict(config))
    copy = GpenGenerator(config).eval()
    copy.load_state_dict(network.state_dict())
    crops = random_crops(config)
    assert torch.equal(copy(crops), network(crops))
