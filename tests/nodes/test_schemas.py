import inspect
import sys
from dataclasses import dataclass, fields

from gpen_core import BlendSettings
from gpen_core.blending.canvas import CanvasSettings
from gpen_core.faces.parsing import FaceRegion
from gpen_core.faces.settings import SearchSettings
from gpen_core.swaps.settings import SwapSettings
from support.node_ids import NODE_IDS


def test_the_pack_exports_what_the_host_reads_and_nothing_that_shadows_it(pack):
    assert pack.WEB_DIRECTORY == "./js"
    assert not hasattr(pack, "NODE_CLASS_MAPPINGS")  # ComfyUI would then ignore the entry point


def test_node_ids_are_the_permanent_ones(node_classes):
    ids = [node.GET_SCHEMA().node_id for node in node_classes]
    assert ids == NODE_IDS


SETTINGS = {
    "GPEN_RestoreFaces": (SearchSettings, BlendSettings, CanvasSettings),
    "GPEN_DetectFaces": (SearchSettings,),
    "GPEN_PasteFaces": (BlendSettings,),
    "GPEN_BlendSwap": (SearchSettings, SwapSettings),
}
"""Whose fields the widgets of a node are."""


def test_schemas_are_valid_and_inputs_are_the_parameters_of_execute(pack, node_classes):
    changes = sys.modules[f"{pack.__name__}.nodes.degrade_image"].CHANGES
    for node in node_classes:
        schema = node.GET_SCHEMA()
        schema.validate()
        parameters = inspect.signature(node.execute).parameters
        named = {name for name, p in parameters.items() if p.kind is not p.VAR_KEYWORD}
        rest = {socket.id for socket in schema.inputs} - named
        gathered = {
            "regions": {region.value for region in FaceRegion},
            "changes": set(changes),
        }.get(list(parameters)[-1], set())
        for kind in SETTINGS.get(schema.node_id, ()):
            gathered |= {field.name for field in fields(kind)}
        if schema.node_id == "GPEN_BlendSwap":
            gathered -= {"shape", "padding", "feather"}
        assert rest == gathered, schema.node_id
        optional = {name for name, p in parameters.items() if p.default is not p.empty}
        assert {socket.id for socket in schema.inputs if socket.optional} == optional


def test_numeric_widgets_have_a_default_inside_their_limits(node_classes):
    for node in node_classes:
        for widget in node.GET_SCHEMA().inputs:
            if getattr(widget, "min", None) is not None:
                assert widget.min <= widget.default <= widget.max, widget.id
                assert widget.step is not None, widget.id


def test_a_node_shows_few_widgets_where_the_host_folds_the_others_away(node_classes):
    for node in node_classes:
        widgets = {w.id: w.as_dict() for w in node.GET_SCHEMA().inputs if hasattr(w, "default")}
        shown = [name for name, spec in widgets.items() if "advanced" not in spec]
        assert len(shown) <= 5, node.GET_SCHEMA().node_id
        assert shown or not widgets
        inputs = node.INPUT_TYPES()  # what the web page is told
        told = {**inputs.get("required", {}), **inputs.get("optional", {})}
        assert all(
            told[name][1].get("advanced") is spec.get("advanced") for name, spec in widgets.items()
        )


def test_the_detector_of_every_node_but_its_own_is_folded_away(node_classes):
    folded = {
        node.GET_SCHEMA().node_id: {
            w.id for w in node.GET_SCHEMA().inputs if w.as_dict().get("advanced")
        }
        for node in node_classes
    }
    search = {field.name for field in fields(SearchSettings)} | {"detector"}
    assert search <= folded["GPEN_RestoreFaces"] & folded["GPEN_BlendSwap"]
    assert folded["GPEN_DetectFaces"] < search


def test_nodes_are_found_by_other_words_where_the_host_searches_them(pack, monkeypatch):
    module = sys.modules[f"{pack.__name__}.nodes.schema"]

    @dataclass
    class OlderSchema:
        node_id: str
        category: str
        inputs: list[object]

    @dataclass
    class NewerSchema(OlderSchema):
        search_aliases: list[str]

    described = {"node_id": "x", "search_aliases": ["face"]}
    monkeypatch.setattr(module.io, "Schema", OlderSchema)
    assert not hasattr(module.node_schema(**described), "search_aliases")
    monkeypatch.setattr(module.io, "Schema", NewerSchema)
    assert module.node_schema(**described).search_aliases == ["face"]
