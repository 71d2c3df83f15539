"""Values that ComfyUI lets through to the nodes and no widget can hold."""

import sys

import pytest
import torch

WRONG_TEXT = "no such thing"
NAN = float("nan")


@pytest.fixture
def widgets(folders, node_classes):
    """Every widget of every node, with its node."""
    return [
        (node, widget)
        for node in node_classes
        for widget in node.GET_SCHEMA().inputs
        if hasattr(widget, "default")
    ]


@pytest.fixture
def run(pack):
    """Call a node with the defaults of its widgets, one of them replaced."""
    types = sys.modules[f"{pack.__name__}.nodes.types"]
    faces = sys.modules[f"{pack.__name__}.gpen_core"].Faces.empty()
    sockets = {"image": torch.zeros(1, 64, 64, 3), "faces": types.HostedFaces(faces, 1, ())}

    def run(node, **replaced):
        inputs = node.define_schema().inputs
        defaults = {w.id: w.default for w in inputs if hasattr(w, "default")}
        given = {s.id: sockets[s.id] for s in inputs if s.id in sockets}
        return node.execute(**{**defaults, **given, **replaced})

    return run


EXPECTED = {
    "COMBO": "one of '|the name of a file",
    "FLOAT": r"a number from -?[\d.]+ to [\d.]+",
    "INT": r"a whole number from -?\d+ to \d+",
    "BOOLEAN": "true or false",
    "STRING": "text",
}


@pytest.mark.parametrize("value", [None, NAN, WRONG_TEXT, [1], {}], ids=repr)
def test_a_value_that_no_widget_can_hold_is_refused_in_one_sentence(widgets, run, value):
    tried = 0
    for node, widget in widgets:
        kind = widget.get_io_type()
        if value == WRONG_TEXT and (kind == "STRING" or widget.id == "model_name"):
            continue
        said = rf"^{widget.id}: expected ({EXPECTED[kind]}).*, got .*\. (Choose|Switch|Enter)"
        with pytest.raises(ValueError, match=said) as raised:
            run(node, **{widget.id: value})
        assert f", got {value!r}. " in str(raised.value)
        tried += 1
    assert tried > 60


def test_text_that_cannot_be_read_is_refused_by_the_name_of_its_widget(widgets, run):
    texts = [(node, widget) for node, widget in widgets if widget.get_io_type() == "STRING"]
    assert len(texts) > 20
    for node, widget in texts:
        said = rf"^{widget.id}: expected .*, got .*no such.*thing"
        with pytest.raises(ValueError, match=said):
            run(node, **{widget.id: WRONG_TEXT})


def test_a_combo_lists_what_it_can_hold_and_a_number_its_limits(widgets, run):
    nodes = {node.GET_SCHEMA().node_id: node for node, _ in widgets}
    with pytest.raises(ValueError, match="order: expected one of 'large-small', 'small-large', "):
        run(nodes["GPEN_SelectFaces"], order="biggest")
    with pytest.raises(ValueError, match=r"threshold: expected a number from 0\.05 to 1\.0, got"):
        run(nodes["GPEN_DetectFaces"], threshold=NAN)
    with pytest.raises(ValueError, match=r"size: expected a whole number .*, got 100\.5\. "):
        run(nodes["GPEN_CropFaces"], size=100.5)


def test_a_long_value_is_cut(widgets, run):
    nodes = {node.GET_SCHEMA().node_id: node for node, _ in widgets}
    with pytest.raises(ValueError, match=r"got 'x{79}\.\.\.\. Choose one"):
        run(nodes["GPEN_SelectFaces"], order=1000 * "x")


def test_a_missing_file_says_where_it_belongs(widgets, run):
    nodes = {node.GET_SCHEMA().node_id: node for node, _ in widgets}
    with pytest.raises(FileNotFoundError, match=f"{WRONG_TEXT}: expected in .*choose another"):
        run(nodes["GPEN_LoadModel"], model_name=WRONG_TEXT)


def test_whole_numbers_are_taken_for_numbers_and_back(widgets, run):
    nodes = {node.GET_SCHEMA().node_id: node for node, _ in widgets}
    run(nodes["GPEN_SelectFaces"], min_score=1, min_size=8.0, largest_only=1)
