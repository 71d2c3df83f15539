"""The network on a CUDA device, with kernels and without, against float32 on the CPU."""

import functools
import threading

import pytest
import torch

from gpen_core.network import ops
from gpen_core.network.build import build_model
from gpen_core.network.config import GpenConfig
from gpen_core.network.synthetic import random_state_dict
from support.metrics import relative_l2
from support.networks import random_crops

CUDA = "cuda"
PUBLISHED = GpenConfig(256, 1, 0.5)
WIDE = GpenConfig(512, 2, 1)
ADDED = GpenConfig(256, 1, 0.25, concat=False)
MAX_ERROR = {torch.float32: 1e-5, torch.float16: 3e-3, torch.bfloat16: 1e-2}
DTYPES = pytest.mark.parametrize("dtype", MAX_ERROR, ids=str)


@functools.cache
def weights_of(config):
    return random_state_dict(config)


@functools.cache
def expected_of(config, n, seed=1):
    """float32 on the CPU."""
    network = build_model(weights_of(config))
    return torch.cat([network(crop[None]) for crop in random_crops(config, n, seed)])


def network_on_device(config, dtype):
    return build_model(weights_of(config), dtype).to(CUDA)


@DTYPES
def test_kernels_work_where_triton_and_the_device_can(dtype):
    pytest.importorskip("triton")
    device = torch.device(CUDA, torch.cuda.current_device())
    if torch.cuda.get_device_capability() < ((8, 0) if dtype == torch.bfloat16 else (7, 5)):
        pytest.skip("the device is too old for them")
    assert ops.dispatcher.kernels_work(device, dtype)


@DTYPES
@pytest.mark.parametrize("eager", [False, True], ids=["fused", "eager"])
@pytest.mark.parametrize("config", [PUBLISHED, ADDED, WIDE], ids=["256", "added", "512"])
def test_network_agrees_with_float32_on_the_cpu(monkeypatch, config, dtype, eager):
    if eager:
        monkeypatch.setenv("GPEN_EAGER", "1")
    restored = network_on_device(config, dtype)(random_crops(config, 1).to(CUDA))
    assert relative_l2(restored.cpu(), expected_of(config, 1)) <= MAX_ERROR[dtype]


@DTYPES
def test_batch_of_eight_gives_what_single_faces_give(dtype):
    restored = network_on_device(PUBLISHED, dtype)(random_crops(PUBLISHED, 8).to(CUDA))
    assert relative_l2(restored.cpu(), expected_of(PUBLISHED, 8)) <= MAX_ERROR[dtype]


def test_memory_is_given_back_when_the_network_goes():
    first = network_on_device(PUBLISHED, torch.float16)
    first(random_crops(PUBLISHED, 1).to(CUDA))  # after which libraries have their workspaces
    del first
    torch.cuda.empty_cache()
    allocated, reserved = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
    network = network_on_device(PUBLISHED, torch.float16)
    network(random_crops(PUBLISHED, 4).to(CUDA))
    del network
    torch.cuda.empty_cache()
    assert torch.cuda.memory_allocated() <= allocated
    assert torch.cuda.memory_reserved() <= reserved + 2 * 2**20


def test_forward_does_not_wait_for_the_device():
    network = network_on_device(PUBLISHED, torch.float16)
    crops = random_crops(PUBLISHED, 1).to(CUDA)
    network(crops)
    torch.cuda.set_sync_debug_mode("error")
    try:
        network(crops)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_network_in_threads_on_streams_of_their_own_gives_each_its_result():
    network = network_on_device(PUBLISHED, torch.float16)
    for _ in range(2):
        network(random_crops(PUBLISHED, 1).to(CUDA))
    results = {}

    def work(seed):
        with torch.cuda.stream(torch.cuda.Stream()):
            for _ in range(10):
                results[seed] = network(random_crops(PUBLISHED, 1, seed).to(CUDA)).cpu()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, restored in results.items():
        assert relative_l2(restored, expected_of(PUBLISHED, 1, seed)) <= 3e-3
    assert len(results) == 3


def test_half_precision_does_not_overflow_with_extreme_weights():
    state_dict = dict(weights_of(PUBLISHED))
    for key in state_dict:
        if key.startswith("generator.conv") and key.endswith("modulation.bias"):
            state_dict[key] = state_dict[key] * 1e5
    expected = build_model(state_dict)(random_crops(PUBLISHED, 1))
    network = build_model(state_dict, torch.float16).to(CUDA)
    assert relative_l2(network(random_crops(PUBLISHED, 1).to(CUDA)).cpu(), expected) <= 3e-3
