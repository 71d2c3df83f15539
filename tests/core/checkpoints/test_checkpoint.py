import contextlib
import json
import pickle
from pathlib import Path

import pytest
import safetensors
import torch

import gpen_core
from gpen_core.checkpoints.checkpoint import NOTICE_KEY, load_state_dict, read_notice
from gpen_core.errors import (
    CheckpointError,
    CheckpointMismatchError,
    CheckpointNotFoundError,
    CheckpointReadError,
    NotGpenError,
    UnsafeCheckpointError,
)
from gpen_core.network.config import GpenConfig
from gpen_core.network.synthetic import identity_state_dict, random_state_dict
from support.golden import load_golden
from support.hostile import Bomb
from support.metrics import relative_l2

CONFIG = GpenConfig(256, 1, 0.0625, style_dim=32)
STATE_DICT = random_state_dict(CONFIG)


def assert_same(state_dict, expected=STATE_DICT):
    assert set(state_dict) == set(expected)
    assert all(torch.equal(state_dict[key], expected[key]) for key in expected)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda d: d,
        lambda d: {"g_ema": d, "d_optim": {"step": 3}},
        lambda d: {"params_ema": d, "params": {}},
        lambda d: {"params": d},
        lambda d: {"state_dict": {"generator_ema." + key: v for key, v in d.items()}},
        lambda d: {"module." + key: value for key, value in d.items()},
    ],
    ids=["plain", "g_ema", "params_ema", "params", "generator_ema", "module"],
)
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin"])
def test_load_state_dict_unwraps_published_files(tmp_path, wrap, suffix):
    path = tmp_path / f"model{suffix}"
    torch.save(wrap(STATE_DICT), path)
    assert_same(load_state_dict(path))


@pytest.mark.parametrize(
    "config",
    [
        GpenConfig(256, 1, 0.125),
        GpenConfig(256, 2, 0.0625, concat=False),
        GpenConfig(512, 1.5, 0.05, n_mlp=2, style_dim=16),
        GpenConfig(1024, 4, 0.03125, style_dim=64),
        GpenConfig(2048, 2, 0.0625, n_mlp=5),
    ],
    ids=str,
)
def test_save_checkpoint_round_trips_through_load_model(tmp_path, config):
    path = tmp_path / "model.safetensors"
    state_dict = random_state_dict(config)
    assert gpen_core.save_checkpoint(state_dict, path) == config
    assert_same(load_state_dict(path), state_dict)
    assert gpen_core.load_model(path).config == config
    with safetensors.safe_open(path, "pt") as file:
        assert GpenConfig(**json.loads(file.metadata()["gpen_config"])) == config
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize("name", ["gpen_256_cm1_narrow0125", "gpen_512_cm2_narrow00625"])
def test_convert_checkpoint_keeps_the_golden_outputs(test_data, tmp_path, name):
    _, crops, expected = load_golden(test_data, name)
    target = tmp_path / "converted.safetensors"
    gpen_core.convert_checkpoint(test_data / "golden" / f"{name}.pth", target)
    assert relative_l2(gpen_core.load_model(target)(crops), expected) <= 1e-5


def test_load_model_reads_the_golden_onnx(test_data):
    name = "gpen_256_cm1_narrow0125"
    _, crops, expected = load_golden(test_data, name)
    model = gpen_core.load_model(test_data / "golden" / f"{name}.onnx")
    assert relative_l2(model(crops), expected) <= 1e-5


def test_converted_checkpoint_has_the_filters_that_some_files_lack_and_no_unused_noise(tmp_path):
    state_dict = {k: v for k, v in STATE_DICT.items() if not k.endswith(".kernel")}
    torch.save({**state_dict, "generator.noises.noise_0": torch.zeros(1)}, tmp_path / "model.pth")
    assert_same(load_state_dict(tmp_path / "model.pth"), state_dict)
    assert gpen_core.load_model(tmp_path / "model.pth").config == CONFIG
    gpen_core.convert_checkpoint(tmp_path / "model.pth", tmp_path / "model.safetensors")
    assert_same(load_state_dict(tmp_path / "model.safetensors"))


def test_load_model_runs_in_the_dtype_asked_for(tmp_path):
    gpen_core.save_checkpoint(STATE_DICT, tmp_path / "model.safetensors")
    model = gpen_core.load_model(tmp_path / "model.safetensors", dtype=torch.bfloat16)
    assert model.convs[-1].weight.dtype == torch.bfloat16
    assert not model.training


@pytest.mark.parametrize("save", [torch.save, lambda o, p: p.write_bytes(pickle.dumps(o))])
def test_load_model_refuses_a_pickle_that_would_run_code(tmp_path, save):
    marker, path = tmp_path / "executed", tmp_path / "hostile.pth"
    save({**STATE_DICT, "bomb": Bomb(marker)}, path)
    with pytest.raises(UnsafeCheckpointError, match=r"hostile\.pth"):
        gpen_core.load_model(path)
    assert not marker.exists()
    # The bomb does go off where it is let.
    with contextlib.suppress(RuntimeError):  # a plain pickle lacks PyTorch's header behind it
        torch.load(path, weights_only=False)
    assert marker.exists()


def test_load_model_names_what_another_model_is(tmp_path):
    path = tmp_path / "GFPGANv1.4.pth"
    torch.save({"params_ema": {"stylegan_decoder.style_mlp.1.weight": torch.zeros(2, 2)}}, path)
    with pytest.raises(NotGpenError, match=r"GFPGANv1\.4\.pth.*a GFPGAN model"):
        gpen_core.load_model(path)


def test_load_model_of_a_truncated_file_says_so(tmp_path):
    whole = tmp_path / "model.safetensors"
    gpen_core.save_checkpoint(STATE_DICT, whole)
    torch.save(STATE_DICT, tmp_path / "model.pth")
    for path in (whole, tmp_path / "model.pth"):
        path.write_bytes(path.read_bytes()[:-5000])
        with pytest.raises(CheckpointReadError, match=path.name):
            gpen_core.load_model(path)


def test_load_model_of_an_incomplete_state_dict_names_the_tensor(tmp_path):
    state_dict = {k: v for k, v in STATE_DICT.items() if k != "generator.to_rgbs.2.bias"}
    torch.save(state_dict, tmp_path / "model.pth")
    with pytest.raises(CheckpointMismatchError, match=r"generator\.to_rgbs\.2\.bias"):
        gpen_core.load_model(tmp_path / "model.pth")


@pytest.mark.parametrize("name", ["absent.pth", "absent.onnx", "absent.safetensors"])
def test_load_model_of_a_missing_file_says_where_it_looked(tmp_path, name):
    with pytest.raises(CheckpointNotFoundError, match=str(tmp_path / name)):
        gpen_core.load_model(tmp_path / name)


def test_save_checkpoint_refuses_other_formats(tmp_path):
    with pytest.raises(CheckpointError, match=r"\.safetensors"):
        gpen_core.save_checkpoint(STATE_DICT, tmp_path / "model.pth")


def test_save_checkpoint_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"old")

    def full_disk(_tensors, target, metadata):
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full_disk)
    with pytest.raises(OSError, match="No space left"):
        gpen_core.save_checkpoint(STATE_DICT, path)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


def test_convert_checkpoint_passes_on_the_notice(tmp_path):
    source, target = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    state_dict = identity_state_dict(GpenConfig(256, 1, 0.0625))
    gpen_core.save_checkpoint(state_dict, source, {NOTICE_KEY: "It restores nothing."})
    gpen_core.convert_checkpoint(source, target)
    assert read_notice(target) == "It restores nothing."
    gpen_core.save_checkpoint(state_dict, source)
    assert read_notice(source) == ""


def test_a_discriminator_is_called_what_it_is(tmp_path):
    weights = {"convs.0.0.weight": torch.ones(8, 3, 1, 1), "final_conv.0.weight": torch.ones(8)}
    torch.save(weights, tmp_path / "GPEN-BFR-512-D.pth")
    with pytest.raises(NotGpenError, match="got a discriminator, which judges faces"):
        gpen_core.load_model(tmp_path / "GPEN-BFR-512-D.pth")
