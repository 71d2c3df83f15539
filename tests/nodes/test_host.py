import sys
from pathlib import Path

import pytest
import torch

from gpen_core.checkpoints.checkpoint import save_checkpoint
from gpen_core.network.config import GpenConfig
from gpen_core.network.synthetic import identity_state_dict

CONFIG = GpenConfig(256, 1, 0.0625)


@pytest.fixture
def folders(pack, host, tmp_path, monkeypatch):
    """ComfyUI's folder table with the pack's folders in it, of this test alone."""
    import folder_paths

    monkeypatch.setattr(folder_paths, "models_dir", str(tmp_path))
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", {})
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    return folder_paths


@pytest.fixture
def hosted(folders, host, tmp_path):
    """A checkpoint in ComfyUI's memory management."""
    host.register_model_folders()
    (tmp_path / "gpen").mkdir()
    save_checkpoint(identity_state_dict(CONFIG), tmp_path / "gpen" / "a.safetensors")
    return host.host_model("a.safetensors", "auto")


def test_register_model_folders_keeps_what_is_registered(folders, host, tmp_path):
    mine = str(tmp_path / "mine")
    folders.add_model_folder_path("facerestore_models", mine)
    host.register_model_folders()
    host.register_model_folders()
    paths = folders.get_folder_paths("facerestore_models")
    assert paths == [mine, str(tmp_path / "facerestore_models")]
    assert folders.get_folder_paths("gpen") == [str(tmp_path / "gpen")]
    assert folders.get_folder_paths("facedetection") == [str(tmp_path / "facedetection")]


@pytest.mark.parametrize("name", ["../secret.pth", "/etc/secret.pth", "..\\secret.pth"])
def test_a_name_cannot_leave_the_models_folder(folders, host, tmp_path, name):
    host.register_model_folders()
    (tmp_path / "gpen").mkdir()
    (tmp_path / "secret.pth").write_bytes(b"")
    with pytest.raises(FileNotFoundError):
        host.checkpoint_path(name)


def test_auto_detector_is_the_best_whose_file_is_there(folders, host, tmp_path):
    host.register_model_folders()
    folder = tmp_path / "facedetection"
    folder.mkdir()
    assert host.choose_detector("auto") == "retinaface_resnet50"  # reported as missing then
    (folder / "detection_mobilenet0.25_Final.pth").write_bytes(b"")
    assert host.choose_detector("auto") == "retinaface_mobile0.25"
    (folder / "detection_Resnet50_Final.pth").write_bytes(b"")
    assert host.choose_detector("auto") == "retinaface_resnet50"
    assert host.choose_detector("retinaface_mobile0.25") == "retinaface_mobile0.25"


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

    network = host.load_network_on_device(hosted)
    assert any(loaded.model is hosted.patcher for loaded in mm.current_loaded_models)
    assert hosted.patcher.loaded_size() == mm.module_size(network)
    mm.unload_all_models()
    assert hosted.patcher.loaded_size() == 0
    assert not any(loaded.model is hosted.patcher for loaded in mm.current_loaded_models)


def test_the_model_runs_after_the_host_took_part_of_it_off_the_device(hosted, host):
    network = host.load_network_on_device(hosted)
    crops = torch.rand(1, 3, 256, 256)
    expected = network(crops)
    hosted.patcher.partially_unload(torch.device("cpu"), 1000)
    assert torch.equal(host.load_network_on_device(hosted)(crops), expected)


def test_graphs_of_the_network_go_when_a_node_is_done_or_fails(hosted, host, monkeypatch):
    released = []
    monkeypatch.setattr(
        type(hosted.network), "release_graphs", lambda network: released.append(network)
    )
    with host.network_on_device(hosted) as network:
        released.clear()  # loading frees them too
    assert released == [network]
    with pytest.raises(ArithmeticError), host.network_on_device(hosted):
        raise ArithmeticError
    assert released[-1] is network


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
    network = host.load_network_on_device(hosted)
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


@pytest.mark.parametrize("shape", [(1, 8, 8, 1), (1, 8, 8), (1, 8, 8, 2), (1, 3, 8, 8)])
def test_to_channels_first_refuses_grey_and_masks_with_the_remedy(host, shape):
    # The pack has a copy of gpen_core of its own, so its errors are other classes.
    with pytest.raises(ValueError, match="Convert Mask to Image"):
        host.to_channels_first(torch.zeros(shape))


def test_channel_order_round_trip_copies_nothing(host):
    image = torch.rand(2, 5, 7, 4)
    assert host.to_channels_last(host.to_channels_first(image)).data_ptr() == image.data_ptr()


def test_a_missing_file_says_what_to_do(folders, host):
    host.register_model_folders()
    with pytest.raises(FileNotFoundError, match=r"press R in ComfyUI") as raised:
        host.checkpoint_path("GPEN-BFR-512.onnx")
    assert "https://huggingface.co/" in str(raised.value)
    with pytest.raises(FileNotFoundError, match="choose another"):
        host.checkpoint_path("my-own.pth")


def test_a_broken_file_says_where_it_lies_and_where_to_get_it(folders, host, tmp_path):
    host.register_model_folders()
    path = tmp_path / "facedetection" / "detection_Resnet50_Final.pth"
    path.parent.mkdir()
    path.write_text("<html>404</html>")
    with pytest.raises(ValueError, match="a web page") as raised:
        host.load_detector_on_device("auto")
    assert str(path) in str(raised.value)
    assert "https://github.com/xinntao/facexlib/" in str(raised.value)


def test_importing_the_pack_needs_no_package_beyond_the_hosts(pack):
    # facexlib is slow to import and is left until faces are looked for.
    source = Path(sys.modules["gpen_pack.gpen_core.faces.retinaface"].__file__).read_text("utf-8")
    head = source.partition("def ")[0]
    assert "import facexlib" not in head
    assert "from facexlib" not in head
