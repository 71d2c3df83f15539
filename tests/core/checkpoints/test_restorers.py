"""Which checkpoint is taken where none is named."""

import os

import pytest
import safetensors.torch
import torch

import gpen_core
from gpen_core.bundled import BUNDLED_RESTORER
from gpen_core.checkpoints.checkpoint import NOTICE_KEY, read_notice, save_checkpoint
from gpen_core.checkpoints.restorers import BUNDLED_NAME, load_largest, rank_restorers
from gpen_core.errors import CheckpointNotFoundError
from gpen_core.network.config import GpenConfig
from gpen_core.network.synthetic import random_state_dict

SMALL, LARGE = (GpenConfig(size, 1, 0.0625, 2, 32) for size in (256, 512))


@pytest.fixture(scope="module")
def state_dicts():
    return {config.size: random_state_dict(config) for config in (SMALL, LARGE)}


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    return [folder / name for name in names]


def ranked(files):
    return [path.name for path in rank_restorers(files)]


def test_the_largest_size_that_a_name_tells_comes_first(tmp_path):
    names = ["GPEN-BFR-512.pth", "gpen_bfr_2048.onnx", "my_gpen1024.bin", "pytorch_model-2048.pt"]
    assert ranked(touch(tmp_path, *names)) == [names[1], names[3], names[2], names[0]]
    assert ranked([]) == []


@pytest.mark.parametrize(
    "name",
    [
        "GPEN-Colorization-1024.pth",
        "gpen_colour_512.onnx",
        "GPEN-Inpainting-1024.pth",
        "GPEN-Seg2face-512.pth",
        "GPEN-parsing-512.pth",
        "GPEN-ParseNet-512.pth",
        "GPEN-identity-512.safetensors",
        "GPEN-BFR-2048.txt",
        "GPEN-BFR-2048.onnx.part",
        "GFPGANv1.4.pth",
        "codeformer-512.pth",
        "RestoreFormer_512.onnx",
        "gpen/GFPGAN-512.pth",
    ],
)
def test_what_is_not_for_restoration_or_not_of_gpen_does_not_count(tmp_path, name):
    assert ranked(touch(tmp_path, name)) == []


def test_a_name_without_a_size_is_looked_into(tmp_path, state_dicts):
    (tmp_path / "gpen").mkdir()
    named, in_folder, in_metadata, bare = (
        tmp_path / name for name in ("mygpen.pth", "gpen/x.pt", "me.safetensors", "a.safetensors")
    )
    torch.save(state_dicts[256], named)
    torch.save({"g_ema": state_dicts[512]}, in_folder)
    save_checkpoint(state_dicts[512], in_metadata)
    safetensors.torch.save_file(state_dicts[512], bare)  # nothing says that it is GPEN's
    files = [named, bare, in_metadata, in_folder]
    assert rank_restorers(files) == [in_metadata, in_folder, named]


@pytest.mark.parametrize("name", ["gpen-20481.pth", "gpen-12048.pth"])
def test_a_name_with_another_number_is_looked_into(tmp_path, state_dicts, name):
    path = tmp_path / name
    torch.save(state_dicts[256], path)
    assert rank_restorers([path, *touch(tmp_path, "GPEN-512.pth")])[-1] == path


def test_a_file_without_a_size_that_changes_is_looked_into_again(tmp_path, state_dicts):
    path, other = tmp_path / "gpen.pth", *touch(tmp_path, "GPEN-BFR-256.onnx")
    path.write_bytes(b"half")
    assert rank_restorers([other, path]) == [other]
    torch.save(state_dicts[512], path)
    assert rank_restorers([other, path]) == [path, other]


def test_without_a_file_the_bundled_network_is_loaded():
    loaded = load_largest([])
    assert (loaded.path, loaded.name) == (BUNDLED_RESTORER, BUNDLED_NAME)
    assert loaded.notice == read_notice(BUNDLED_RESTORER) != ""
    assert loaded.network.config.size == 256


def test_a_file_on_disk_comes_before_the_bundled_network(tmp_path, state_dicts):
    path = tmp_path / "GPEN-mine-256.safetensors"
    save_checkpoint(state_dicts[256], path, {NOTICE_KEY: "Of my own."})
    loaded = load_largest([path])
    assert (loaded.path, loaded.name, loaded.notice) == (path, path.name, "Of my own.")


def test_a_damaged_file_is_passed_over_and_named(tmp_path, state_dicts):
    damaged, foreign, good = (
        tmp_path / name for name in ("GPEN-2048.pth", "GPEN-1024.pth", "GPEN-512.pth")
    )
    torch.save(state_dicts[512], good)
    damaged.write_bytes(good.read_bytes()[:-1000])
    torch.save({"params_ema": {"stylegan_decoder.x": torch.zeros(1)}}, foreign)
    loaded = load_largest([good, foreign, damaged])
    assert loaded.path == good
    cut_off, other_model = loaded.passed_over
    assert cut_off.startswith("GPEN-2048.pth: expected a complete PyTorch file")
    assert other_model.startswith("GPEN-1024.pth: expected a GPEN network, got a GFPGAN model")
    assert loaded.notice == f"Passed over: {cut_off} Passed over: {other_model}"
    good.unlink()
    loaded = load_largest([foreign, damaged])
    assert loaded.name == BUNDLED_NAME
    assert loaded.notice.startswith(read_notice(BUNDLED_RESTORER))
    assert len(loaded.passed_over) == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "gpen.pth")
    assert ranked([tmp_path / "gpen.pth"]) == []


def test_load_model_without_a_path_loads_the_bundled_network():
    network = gpen_core.load_model()
    assert network.config == gpen_core.load_model(BUNDLED_RESTORER).config
    crop = torch.linspace(-1, 1, 3 * 256 * 256).reshape(1, 3, 256, 256)
    assert torch.isfinite(network(crop)).all()
    with pytest.raises(CheckpointNotFoundError):
        gpen_core.load_model("absent.pth")


def test_the_bundled_file_is_small_and_says_what_it_is():
    assert BUNDLED_RESTORER.stat().st_size < 10_000_000
    notice = read_notice(BUNDLED_RESTORER)
    for word in ("small", "mild damage", "not one of the published"):
        assert word in notice
