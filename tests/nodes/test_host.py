import dataclasses
import sys
from pathlib import Path

import pytest
import torch


@pytest.mark.parametrize(
    ("fp16", "bf16", "expected"),
    [
        (True, True, torch.float16),
        (False, True, torch.bfloat16),
        (False, False, torch.float32),
    ],
)
def test_auto_dtype_follows_the_rules_of_the_host(host, monkeypatch, fp16, bf16, expected):
    import comfy.model_management as mm

    monkeypatch.setattr(mm, "should_use_fp16", lambda device: fp16)
    monkeypatch.setattr(mm, "should_use_bf16", lambda device: bf16)
    assert host.choose_dtype("auto", torch.device("cuda")) == expected
    assert host.choose_dtype("fp32", torch.device("cuda")) == torch.float32


def test_the_model_is_loaded_by_the_memory_management_of_the_host(hosted, host):
    import comfy.model_management as mm

    host.load_together(hosted)
    assert any(loaded.model is hosted.patcher for loaded in mm.current_loaded_models)
    assert hosted.patcher.loaded_size() == mm.module_size(hosted.network)
    mm.unload_all_models()
    assert hosted.patcher.loaded_size() == 0
    assert not any(loaded.model is hosted.patcher for loaded in mm.current_loaded_models)


def test_the_model_runs_after_the_host_took_part_of_it_off_the_device(hosted, host):
    crops = torch.rand(1, 3, 256, 256)
    host.load_together(hosted)
    expected = hosted.network(crops)
    hosted.patcher.partially_unload(torch.device("cpu"), 1000)
    host.load_together(hosted)
    assert torch.equal(hosted.network(crops), expected)


@pytest.mark.parametrize("state", ["NO_VRAM", "LOW_VRAM", "NORMAL_VRAM", "HIGH_VRAM"])
def test_the_whole_network_is_on_its_device_in_every_memory_mode(hosted, host, monkeypatch, state):
    import comfy.model_management as mm

    # "meta" stands for a device with memory of its own: what is not moved stays on the CPU.
    device = torch.device("meta")
    monkeypatch.setattr(mm, "vram_state", mm.VRAMState[state])

    def free_memory(_device, torch_free_too=False):
        return (8 * 2**30, 0) if torch_free_too else 8 * 2**30

    monkeypatch.setattr(mm, "get_free_memory", free_memory)
    monkeypatch.setattr(hosted.patcher, "load_device", device)
    host.load_together(hosted)
    network = hosted.network
    tensors = [*network.parameters(), *network.buffers()]
    assert {tensor.device.type for tensor in tensors} == {"meta"}


def test_faces_at_once_follow_the_free_memory(hosted, host, monkeypatch):
    import comfy.model_management as mm

    assert host.faces_at_once(hosted) == 1  # on the CPU
    monkeypatch.setattr(mm, "is_device_cpu", lambda device: False)
    one = hosted.network.activation_bytes()
    for free, expected in [(0, 1), (one, 1), (5 * one, 3), (10**12, 16)]:
        monkeypatch.setattr(mm, "get_free_memory", lambda device, free=free: free)
        assert host.faces_at_once(hosted) == expected
    # Newer hosts know better than that what a model may use.
    free = 5 * one
    monkeypatch.setattr(hosted.patcher, "get_free_memory", lambda _device: free, raising=False)
    assert host.faces_at_once(hosted) == 3


def test_memory_is_asked_for_the_one_network_that_needs_most(hosted, host, monkeypatch):
    import comfy.model_management as mm

    asked = []
    monkeypatch.setattr(mm, "load_models_gpu", lambda models, **how: asked.append((models, how)))
    small = dataclasses.replace(hosted, working_bytes=1000)
    host.load_together(hosted, small)
    host.load_together()
    ((models, how),) = asked
    assert models == [hosted.patcher, small.patcher]
    assert how["memory_required"] == hosted.network.activation_bytes()
    assert how["force_full_load"]


@pytest.mark.parametrize("shape", [(1, 8, 8, 1), (1, 8, 8), (1, 8, 8, 2), (1, 3, 8, 8)])
def test_to_channels_first_refuses_grey_and_masks_with_the_remedy(host, shape):
    # The pack has a copy of gpen_core of its own, so its errors are other classes.
    with pytest.raises(ValueError, match="Convert Mask to Image"):
        host.to_channels_first(torch.zeros(shape))


def test_channel_order_round_trip_copies_nothing(host):
    image = torch.rand(2, 5, 7, 4)
    assert host.to_channels_last(host.to_channels_first(image)).data_ptr() == image.data_ptr()


def test_importing_the_pack_needs_no_package_beyond_the_hosts(pack):
    # facexlib is slow to import and is left until faces are looked for.
    source = Path(sys.modules["gpen_pack.gpen_core.faces.retinaface"].__file__).read_text("utf-8")
    head = source.partition("def ")[0]
    assert "import facexlib" not in head
    assert "from facexlib" not in head
