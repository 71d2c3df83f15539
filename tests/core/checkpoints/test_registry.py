"""Where published files come from: addresses, hashes, and that the workflows name the same."""

import hashlib
import inspect
import json
import re
from pathlib import Path

import pytest

from gpen_core.checkpoints.registry import KNOWN_MODELS, PARSER_MODELS, file_sha256, find_known
from gpen_core.downloads.download import source_url, target_path
from gpen_core.faces.parsing import PARSER_NAMES

WORKFLOWS = sorted((Path(__file__).resolve().parents[3] / "workflows").glob("*.json"))


@pytest.mark.parametrize("model", KNOWN_MODELS, ids=lambda model: model.filename)
def test_every_known_file_can_be_fetched_safely(model, tmp_path):
    assert source_url(model) == model.url
    assert model.url.endswith(f"/{model.filename}")
    assert model.url.startswith("https://")
    assert target_path(model.filename, tmp_path).parent == tmp_path
    assert all(re.fullmatch(r"[0-9a-f]{64}", sha256) for sha256 in model.hashes)
    # Without a hash a file must at least read as tensors, which an .onnx file does otherwise.
    assert model.sha256 is not None or model.filename.endswith((".pt", ".pth"))


def test_no_two_known_files_share_a_name_or_a_hash():
    names = [model.filename for model in KNOWN_MODELS]
    hashes = [sha256 for model in KNOWN_MODELS for sha256 in model.hashes]
    assert len(set(names)) == len(names)
    assert len(set(hashes)) == len(hashes)


def test_file_sha256_is_that_of_the_content(tmp_path):
    content = bytes(range(256)) * 40000  # more than is read at once
    (tmp_path / "file").write_bytes(content)
    assert file_sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda file: file.stem)
def test_a_workflow_names_its_model_as_the_registry_does(workflow):
    loaders = [
        node
        for node in json.loads(workflow.read_text("utf-8"))["nodes"]
        if node["type"] == "GPEN_LoadModel"
    ]
    assert loaders
    for node in loaders:
        # ComfyUI's web page shows a model as missing where its name is that of a widget's value.
        model = find_known(node["widgets_values"][0])
        recorded = (
            {
                "name": model.filename,
                "url": model.url,
                "directory": "facerestore_models",
                "hash": model.sha256,
                "hash_type": "SHA256",
            }
            if model
            else None
        )
        assert node["properties"].get("models") == ([recorded] if recorded else None)
        names = [slot["name"] for slot in node["inputs"]]
        assert names == ["model_name", "dtype", "download"]
        assert len(node["widgets_values"]) == len(names)


def test_registry_names_the_files_that_facexlib_downloads():
    import facexlib.parsing

    source = inspect.getsource(facexlib.parsing.init_parsing_model)
    assert set(PARSER_MODELS) == set(PARSER_NAMES)
    for model in PARSER_MODELS.values():
        assert f"'{model.url}'" in source
        assert model.url.endswith("/" + model.filename)
        assert re.fullmatch("[0-9a-f]{64}", model.sha256)
        assert model.license == "MIT"
