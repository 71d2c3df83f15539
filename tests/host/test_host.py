"""The harness itself, with ComfyUI's own nodes: what it reports is what happened."""

import zlib

import numpy as np
import pytest

from comfy_client import ComfyServerError, PromptFailedError, PromptRejectedError
from comfy_server import PACK_NAME, ComfyServer

pytestmark = pytest.mark.host


def load_and_save(name: str) -> dict:
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": name}},
        "2": {
            "class_type": "SaveImage",
            "inputs": {"images": ["1", 0], "filename_prefix": "test"},
        },
    }


def blur_chain(name: str, length: int) -> dict:
    """A graph that is slow for sure, in steps."""
    prompt = load_and_save(name)
    source = "1"
    for key in map(str, range(10, 10 + length)):
        prompt[key] = {
            "class_type": "ImageBlur",
            "inputs": {"image": [source, 0], "blur_radius": 31, "sigma": 10.0},
        }
        source = key
    prompt["2"]["inputs"]["images"] = [source, 0]
    return prompt


@pytest.fixture
def noise(request) -> np.ndarray:
    """An image of each test's own, so that nothing made of it is cached."""
    seed = zlib.crc32(request.node.name.encode())
    return np.random.default_rng(seed).integers(0, 256, (96, 128, 3), dtype=np.uint8)


def test_object_info_of_host_node_has_its_schema(comfy):
    schema = comfy.object_info("SaveImage")
    assert schema["input"]["required"]["images"][0] == "IMAGE"
    assert comfy.object_info()["SaveImage"] == schema


def test_run_load_and_save_returns_the_same_pixels(comfy, noise):
    result = comfy.run(load_and_save(comfy.upload_image(noise)))
    (reference,) = result.images("2")
    np.testing.assert_array_equal(comfy.read_image(reference), noise)


def test_run_twice_reports_cached_nodes(comfy, noise):
    prompt = load_and_save(comfy.upload_image(noise))
    first, second = comfy.run(prompt), comfy.run(prompt)
    assert sorted(first.executed) == ["1", "2"]
    assert first.cached == []
    assert second.executed == []
    assert sorted(second.cached) == ["1", "2"]


def test_upload_image_file_keeps_its_bytes_and_name_clash_gets_another_name(comfy, tmp_path):
    contents = [b"first", b"second"]
    names = []
    for content in contents:
        (tmp_path / "picture.bin").write_bytes(content)
        names.append(comfy.upload_image(tmp_path / "picture.bin"))
    assert names[0] != names[1]
    for name, content in zip(names, contents, strict=True):
        assert comfy.fetch_image({"filename": name, "type": "input"}) == content


def test_upload_image_float_array_is_refused(comfy):
    with pytest.raises(TypeError, match="expected uint8"):
        comfy.upload_image(np.zeros((4, 4, 3), dtype=np.float32))


def test_interrupt_stops_before_the_last_node(comfy, noise):
    length = 60
    image = np.tile(noise, (6, 4, 1))
    prompt_id = comfy.queue(blur_chain(comfy.upload_image(image), length))
    comfy.wait_event(prompt_id, "executing", where=lambda data: data["node"] == "11")
    comfy.interrupt()
    result = comfy.wait(prompt_id)
    assert result.status == "interrupted"
    assert "10" in result.executed
    assert len(result.executed) < length
    assert result.images("2") == []


def test_wait_timeout_interrupts_the_prompt(comfy, noise):
    image = np.tile(noise, (6, 4, 1))
    prompt_id = comfy.queue(blur_chain(comfy.upload_image(image), 60))
    with pytest.raises(TimeoutError, match=prompt_id):
        comfy.wait(prompt_id, timeout=0.5)
    assert comfy.wait(prompt_id).status == "interrupted"


def test_wait_failing_node_reports_its_error(comfy, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"not an image")
    prompt = load_and_save(comfy.upload_image(tmp_path / "broken.png"))
    result = comfy.wait(comfy.queue(prompt))
    assert result.status == "error"
    assert result.error["node_id"] == "1"
    assert "UnidentifiedImageError" in result.error["exception_type"]
    with pytest.raises(PromptFailedError, match="UnidentifiedImageError"):
        comfy.run(prompt)


def test_queue_invalid_prompt_reports_the_node(comfy):
    prompt = load_and_save("no such file.png")
    with pytest.raises(PromptRejectedError, match="no such file") as caught:
        comfy.queue(prompt)
    assert list(caught.value.node_errors) == ["1"]


def test_events_name_nodes_in_order_and_end_with_success(comfy, noise):
    result = comfy.run(blur_chain(comfy.upload_image(noise), 2))
    assert result.executed == ["1", "10", "11", "2"]
    types = [event.type for event in result.events]
    assert types.index("execution_start") < types.index("executing")
    assert "execution_success" in types
    states = result.of_type("progress_state")[-1]["nodes"]
    assert {state["state"] for state in states.values()} == {"finished"}
    assert result.seconds > 0


def test_log_shows_the_start(comfy):
    assert str(comfy.port) in comfy.log()


def test_enter_failing_start_raises_with_the_log_and_leaves_nothing(tmp_path):
    (tmp_path / "main.py").write_text("raise SystemExit('no such luck')")
    server = ComfyServer(host=tmp_path)
    with pytest.raises(ComfyServerError, match=r"status 1 while starting(.|\n)*no such luck"):
        server.__enter__()
    assert not server.base_directory.exists()


def test_run_writes_into_the_private_base_directory_only(comfy, noise):
    result = comfy.run(load_and_save(comfy.upload_image(noise, "private.png")))
    (reference,) = result.images("2")
    saved = comfy.base_directory / "output" / reference["subfolder"] / reference["filename"]
    assert saved.is_file()
    assert (comfy.base_directory / "input" / "private.png").is_file()
    assert not (comfy.host / "input" / "private.png").exists()


def test_every_models_folder_is_searched(comfy, model_folders):
    offered = comfy.object_info("UpscaleModelLoader")["input"]["required"]["model_name"]
    folders = [folder / "upscale_models" for folder in model_folders]
    present = {file.name for folder in folders for file in folder.glob("*")}
    menu = offered[1]["options"] if offered[0] == "COMBO" else offered[0]
    assert "double.pth" in present
    assert set(menu) == present


@pytest.mark.parametrize("node_id", ["GPEN_LoadModel", "GPEN_DetectFaces", "GPEN_RestoreFaces"])
def test_pack_node_is_there(comfy, node_id):
    assert comfy.object_info(node_id)["python_module"] == f"custom_nodes.{PACK_NAME}"
