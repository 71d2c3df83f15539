"""Every bundled workflow file, old or new, against the schemas of a real ComfyUI."""

import copy
import json

import pytest
from PIL import Image

from environment import REPOSITORY
from support.workflow_checks import (
    layout_problems,
    link_problems,
    node_problems,
    note_problems,
    thumbnail_problems,
    widget_problems,
)

pytestmark = pytest.mark.host

FILES = sorted((REPOSITORY / "workflows").glob("*.json"))
every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


@pytest.fixture(scope="module")
def schemas(comfy):
    return comfy.object_info()


def load(file) -> dict:
    return json.loads(file.read_text("utf-8"))


@pytest.fixture
def broken():
    """A workflow without a fault, to be given one."""
    return copy.deepcopy(load(REPOSITORY / "workflows" / "gallery.json"))


def of_type(workflow: dict, kind: str) -> dict:
    return next(node for node in workflow["nodes"] if node["type"] == kind)


def test_the_template_browser_is_told_of_every_file(comfy):
    listed = json.loads(comfy.get_text("/api/workflow_templates"))["gpen_face_restore"]
    assert sorted(listed) == [file.stem for file in FILES]
    assert len(FILES) >= 8


@every_file
def test_nodes_are_those_of_the_server(schemas, file):
    assert list(node_problems(load(file), schemas)) == []


@every_file
def test_links_join_sockets_of_one_type(schemas, file):
    assert list(link_problems(load(file), schemas)) == []


@every_file
def test_widget_values_are_inside_their_limits(schemas, file):
    assert list(widget_problems(load(file), schemas)) == []


@every_file
def test_nothing_lies_over_anything_else(file):
    assert list(layout_problems(load(file))) == []


@every_file
def test_notes_tell_what_to_do_and_which_models_are_needed(file):
    assert list(note_problems(load(file))) == []


@every_file
def test_the_thumbnail_is_sharp_and_small(file):
    assert list(thumbnail_problems(file.with_suffix(".jpg"))) == []


def test_a_node_that_does_not_exist_or_has_other_sockets_is_found(schemas, broken):
    of_type(broken, "ImageScale")["type"] = "ImageScales"
    of_type(broken, "GPEN_CropFaces")["outputs"][0]["type"] = "MASK"
    of_type(broken, "GPEN_Compare")["inputs"][0]["name"] = "befor"
    problems = " ".join(node_problems(broken, schemas))
    assert "no such node" in problems
    assert "outputs ['MASK']" in problems
    assert "no input 'befor'" in problems


def test_a_link_of_the_wrong_type_is_found(schemas, broken):
    detect, restore = of_type(broken, "GPEN_DetectFaces"), of_type(broken, "GPEN_RestoreFaces")
    link = next(link for link in broken["links"] if link[3] == restore["id"] and link[5] == "IMAGE")
    link[1:3] = [detect["id"], 0]  # faces instead of an image
    problems = " ".join(link_problems(broken, schemas))
    assert "GPEN_FACES as IMAGE into image of type IMAGE" in problems
    assert "does not know it" in problems


def test_a_link_that_only_one_end_knows_is_found(schemas, broken):
    compare = of_type(broken, "GPEN_Compare")
    gone = compare["inputs"][0]["link"]
    compare["inputs"][0]["link"] = None
    problems = " ".join(link_problems(broken, schemas))
    assert f"link {gone}: Enlarged and restored" in problems
    assert "nothing is connected to before" in problems
    broken["links"] = [link for link in broken["links"] if link[0] != gone]
    assert f"link {gone} is not in the table" in " ".join(link_problems(broken, schemas))


@pytest.mark.parametrize(
    ("kind", "number", "value", "reason"),
    [
        ("GPEN_CropFaces", 0, 100_000, "outside 64 to 4096"),
        ("GPEN_CropFaces", 0, "256", "not of type INT"),
        ("GPEN_CropFaces", 1, "ffhp", "not in"),
        ("GPEN_LoadModel", 0, "GPEN-BFR-4096.onnx", "not in"),
        ("GPEN_SelectFaces", 4, 1, "not of type BOOLEAN"),
    ],
)
def test_a_widget_value_that_cannot_be_is_found(schemas, broken, kind, number, value, reason):
    of_type(broken, kind)["widgets_values"][number] = value
    (problem,) = widget_problems(broken, schemas)
    assert reason in problem


def test_nodes_and_groups_in_the_wrong_place_are_found(broken):
    face, networks = broken["groups"][:2]
    crop, scale = of_type(broken, "GPEN_CropFaces"), of_type(broken, "ImageScale")
    crop["pos"][1] = scale["pos"][1] - 40
    of_type(broken, "LoadImage")["pos"][0] = face["bounding"][0] - 10
    of_type(broken, "SaveImage")["pos"][1] = 50_000
    networks["bounding"][0] = face["bounding"][0]
    problems = "\n".join(layout_problems(broken))
    assert "GPEN_CropFaces (3) lies over 1 Bicubic enlargement" in problems
    assert "reaches out of group 1" in problems
    assert "is in no group" in problems
    assert "lies over group 2" in problems
    broken["groups"][1]["bounding"] = [-9000, -9000, 10, 10]
    assert "is empty" in "\n".join(layout_problems(broken))


def test_a_note_that_does_not_name_the_model_is_found(broken):
    loader = next(node for node in broken["nodes"] if "models" in node["properties"])
    loader["properties"]["models"][0]["name"] = "other.onnx"
    assert list(note_problems(broken)) == ["no note names other.onnx"]
    broken["nodes"] = [node for node in broken["nodes"] if node["type"] != "MarkdownNote"]
    assert "no note with a heading" in list(note_problems(broken))


def test_a_thumbnail_that_is_absent_black_or_tiny_is_found(tmp_path):
    file = tmp_path / "a.jpg"
    assert list(thumbnail_problems(file)) == ["no thumbnail"]
    Image.new("RGB", (200, 100)).save(file)
    assert list(thumbnail_problems(file)) == ["a JPEG of 200 pixels", "it is black"]
    Image.effect_noise((2000, 2000), 100).save(file, quality=95)
    (problem,) = thumbnail_problems(file)
    assert problem.endswith("bytes")
