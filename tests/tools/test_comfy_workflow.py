"""The converter follows the front end; the cases were compared with what its web page queues."""

import pytest

from comfy_workflow import WorkflowError, nodes_of_type, ui_to_api

OBJECT_INFO = {
    "Load": {
        "input": {"required": {"image": [["a.png", "b.png"], {"image_upload": True}]}},
        "input_order": {"required": ["image"]},
    },
    "Work": {
        "input": {
            "required": {
                "image": ["IMAGE", {}],
                "seed": ["INT", {"default": 7}],
                "steps": ["INT", {"default": 20}],
                "mode": ["COMBO", {"options": ["x", "y"]}],
            },
            "optional": {
                "amount": ["FLOAT", {"default": 0.5}],
                "forced": ["INT", {"forceInput": True}],
                "label": ["STRING", {"default": "hi"}],
            },
        },
        # Not the order of the dictionary: the front end goes by this one.
        "input_order": {
            "required": ["image", "steps", "seed", "mode"],
            "optional": ["amount", "forced", "label"],
        },
    },
    "Save": {"input": {"required": {"images": ["IMAGE"], "prefix": ["STRING", {"default": "p"}]}}},
}


def node(key, kind, values=(), inputs=(), outputs=(), **fields) -> dict:
    return {
        "id": key,
        "type": kind,
        "mode": 0,
        "widgets_values": list(values),
        "inputs": [{"name": name, "type": type_, "link": link} for name, type_, link in inputs],
        "outputs": [{"name": type_, "type": type_} for type_ in outputs],
        **fields,
    }


def workflow(*changes: dict) -> dict:
    """Load -> Work -> Save, with some of the nodes replaced."""
    nodes = {
        1: node(1, "Load", ["b.png", "image"], outputs=["IMAGE"]),
        2: node(
            2,
            "Work",
            [30, 123, "randomize", "y", 0.25, "text"],
            [("image", "IMAGE", 1)],
            ["IMAGE"],
            title="My work",
        ),
        3: node(3, "Save", ["out"], [("images", "IMAGE", 2)]),
    }
    nodes.update({changed["id"]: changed for changed in changes})
    links = [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 3, 0, "IMAGE"]]
    return {"nodes": list(nodes.values()), "links": links, "version": 0.4}


def test_widgets_follow_input_order_and_control_value_is_skipped():
    prompt = ui_to_api(workflow(), OBJECT_INFO)
    assert prompt["1"] == {
        "class_type": "Load",
        "inputs": {"image": "b.png"},
        "_meta": {"title": "Load 1"},
    }
    assert prompt["2"]["_meta"] == {"title": "My work"}
    assert prompt["2"]["inputs"] == {
        "steps": 30,
        "seed": 123,
        "mode": "y",
        "amount": 0.25,
        "label": "text",
        "image": ["1", 0],
    }
    assert prompt["3"]["inputs"] == {"prefix": "out", "images": ["2", 0]}
    assert nodes_of_type(prompt, "Save") == ["3"]


def test_links_as_objects_are_read():
    content = workflow()
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    content["links"] = [dict(zip(names, link, strict=True)) for link in content["links"]]
    assert ui_to_api(content, OBJECT_INFO) == ui_to_api(workflow(), OBJECT_INFO)


def test_linked_widget_overrides_its_value_and_keeps_the_places_of_the_rest():
    work = node(
        2,
        "Work",
        [30, 123, "fixed", "y", 0.25, "text"],
        [("image", "IMAGE", 1), ("steps", "INT", 3)],
        ["IMAGE"],
    )
    content = workflow(work, node(4, "PrimitiveNode", [99, "fixed"], outputs=["INT"]))
    content["links"].append([3, 4, 0, 2, 1, "INT"])
    prompt = ui_to_api(content, OBJECT_INFO)
    assert "4" not in prompt
    assert prompt["2"]["inputs"]["steps"] == 99
    assert prompt["2"]["inputs"]["label"] == "text"


def test_missing_values_take_their_defaults():
    work = node(2, "Work", [30], [("image", "IMAGE", 1)], ["IMAGE"])
    inputs = ui_to_api(workflow(work), OBJECT_INFO)["2"]["inputs"]
    assert inputs == {
        "steps": 30,
        "seed": 7,
        "mode": "x",
        "amount": 0.5,
        "label": "hi",
        "image": ["1", 0],
    }


def test_missing_control_value_is_an_error():
    work = node(2, "Work", [30, 123, "y", 0.25, "text"], [("image", "IMAGE", 1)], ["IMAGE"])
    with pytest.raises(WorkflowError, match=r"after the value of 'seed', got 'y'"):
        ui_to_api(workflow(work), OBJECT_INFO)


def test_notes_are_left_out():
    notes = node(8, "Note", ["text"]), node(9, "MarkdownNote", ["text"])
    assert set(ui_to_api(workflow(*notes), OBJECT_INFO)) == {"1", "2", "3"}


def test_muted_node_and_links_from_it_are_left_out():
    content = workflow()
    content["nodes"][1]["mode"] = 2
    prompt = ui_to_api(content, OBJECT_INFO)
    assert set(prompt) == {"1", "3"}
    assert prompt["3"]["inputs"] == {"prefix": "out"}


def test_link_from_muted_node_removes_the_widget_value_too():
    work = node(
        2,
        "Work",
        [30, 123, "fixed", "y", 0.25, "text"],
        [("image", "IMAGE", 1), ("steps", "INT", 3)],
        ["IMAGE"],
    )
    content = workflow(work, node(4, "Load", ["a.png"], outputs=["INT"], mode=2))
    content["links"].append([3, 4, 0, 2, 1, "INT"])
    assert "steps" not in ui_to_api(content, OBJECT_INFO)["2"]["inputs"]


def test_bypassed_node_hands_its_input_through():
    content = workflow()
    content["nodes"][1]["mode"] = 4
    prompt = ui_to_api(content, OBJECT_INFO)
    assert set(prompt) == {"1", "3"}
    assert prompt["3"]["inputs"]["images"] == ["1", 0]


def test_bypassed_node_without_fitting_input_cuts_the_link():
    content = workflow()
    content["nodes"][0]["mode"] = 4
    assert "image" not in ui_to_api(content, OBJECT_INFO)["2"]["inputs"]


def test_reroutes_are_followed():
    content = workflow(node(5, "Reroute", inputs=[("", "*", 1)], outputs=["IMAGE"]))
    content["links"] = [
        [1, 1, 0, 5, 0, "IMAGE"],
        [3, 5, 0, 2, 0, "IMAGE"],
        [2, 2, 0, 3, 0, "IMAGE"],
    ]
    content["nodes"][1]["inputs"][0]["link"] = 3
    prompt = ui_to_api(content, OBJECT_INFO)
    assert "5" not in prompt
    assert prompt["2"]["inputs"]["image"] == ["1", 0]


def test_list_value_is_wrapped_so_that_it_is_no_link():
    prompt = ui_to_api(workflow(node(3, "Save", [["1", 0]])), OBJECT_INFO)
    assert prompt["3"]["inputs"]["prefix"] == {"__value__": ["1", 0]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (node(3, "Gone", ["out"]), "expected a node of the server"),
        (node(3, "Save", ["out"], [("picture", "IMAGE", 2)]), "got a link to 'picture'"),
        (node(3, "Save", ["out"], [("images", "IMAGE", 77)]), "link with id 77"),
    ],
)
def test_workflow_that_does_not_fit_is_an_error(change, message):
    with pytest.raises(WorkflowError, match=message):
        ui_to_api(workflow(change), OBJECT_INFO)


def test_subgraphs_are_refused():
    with pytest.raises(WorkflowError, match="subgraphs"):
        ui_to_api({**workflow(), "definitions": {"subgraphs": [{}]}}, OBJECT_INFO)
