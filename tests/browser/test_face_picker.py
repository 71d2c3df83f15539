"""Numbered faces, and choosing them by a click, in ComfyUI's page."""

import re

import numpy as np
import pytest

from support.crowd import crowd
from support.screen import screenshot

pytestmark = pytest.mark.host

_PLACES = "faces => faces.map(face => face.getBoundingClientRect().toJSON())"


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """A part of the group photo with few faces, so that restoring them is quick."""
    return np.ascontiguousarray(crowd()[:380, :400])


@pytest.fixture
def picker(page, server, photo):
    """Load, detect and select, run once, with the view of Select Faces in the window."""
    name = server.upload_image(photo, "group.png")
    page.build(
        {
            "1": {"class_type": "LoadImage", "inputs": {"image": name}},
            "2": {
                "class_type": "GPEN_DetectFaces",
                "inputs": {"image": ["1", 0], "detector": "retinaface_mobile0.25"},
            },
            "3": {"class_type": "GPEN_SelectFaces", "inputs": {"faces": ["2", 0]}},
        }
    )
    page.run()
    page.checkpoint()
    return page.show(3)


def face(view, number: int):
    return view.locator(f'[data-number="{number}"]')


def widget(page, name: str):
    return page.evaluate(
        "name => window.app.graph.getNodeById(3).widgets.find(w => w.name === name).value", name
    )


def set_widget(page, name: str, value) -> None:
    page.evaluate(
        """([name, value]) => {
            const widget = window.app.graph.getNodeById(3).widgets.find(w => w.name === name);
            widget.value = value;
            widget.callback?.(value);
        }""",
        [name, value],
    )


def test_detected_faces_are_numbered_and_described(page, picker):
    view = page.show(2)
    numbers = view.locator(".gpen-number").all_inner_texts()
    assert numbers == [str(i) for i in range(len(numbers))]
    assert len(numbers) > 4
    assert view.inner_text().startswith(tuple(numbers))
    assert f"Found {len(numbers)} faces in 1 image." in view.inner_text()
    face(view, 0).hover()
    assert re.search(r"image\.\nface 0: \d+ px, score [01]\.\d+", view.inner_text())


@pytest.mark.parametrize("node", [2, 3])
def test_pointing_at_faces_moves_nothing(page, picker, node):
    view = page.show(node)
    page.page.mouse.move(0, 0)
    places = view.locator(".gpen-face").evaluate_all(_PLACES)
    for place in places:
        page.page.mouse.move(place["x"] + place["width"] / 2, place["y"] + 0.8 * place["height"])
        page.settle()
        assert "px, score" in view.inner_text()
        assert view.locator(".gpen-face").evaluate_all(_PLACES) == places


def test_a_click_writes_the_indices_and_the_next_run_restores_exactly_these(
    page, server, photo, picker
):
    face(picker, 3).click()
    face(picker, 1).click()
    assert widget(page, "indices") == "1,3"
    assert face(picker, 1).get_attribute("aria-pressed") == "true"
    assert face(picker, 0).get_attribute("aria-pressed") == "false"
    boxes = page.evaluate(
        """() => {
            const { LiteGraph, app } = window;
            const graph = app.graph;
            for (const [id, type] of [[4, 'GPEN_LoadModel'], [5, 'GPEN_RestoreFaces'],
                                      [6, 'PreviewImage']]) {
                const node = LiteGraph.createNode(type);
                node.id = id;
                node.pos = [1200 + 400 * (id - 4), 100];
                graph.add(node);
            }
            const [load, , select, model, restore, preview] = [1, 2, 3, 4, 5, 6].map(
                id => graph.getNodeById(id));
            model.widgets[0].value = 'GPEN-random-256.pth';
            const slot = name => restore.inputs.findIndex(input => input.name === name);
            model.connect(0, restore, slot('model'));
            load.connect(0, restore, slot('image'));
            select.connect(0, restore, slot('faces'));
            restore.connect(0, preview, 0);
            return select._gpenView.frame.faces.map(face => face.box);
        }"""
    )
    page.run()
    view = page.show(5)
    assert "Restored 2 faces in 1 image" in view.inner_text()
    run = page.evaluate("() => window.app.graph.getNodeById(5)._gpenView.run")
    assert sorted(face["box"] for face in run["frames"][0]["faces"]) == sorted([boxes[1], boxes[3]])
    after = server.read_image(run["frames"][0]["after"]).astype(int)
    changed = np.abs(after - photo).max(axis=2) > 20
    for number, (x0, y0, x1, y1) in enumerate(boxes):
        middle = changed[round(y0 + y1) // 2, round(x0 + x1) // 2]
        assert bool(middle) == (number in (1, 3)), number


def test_a_second_click_takes_the_face_out_again(page, picker):
    for number in (2, 0, 2):
        face(picker, number).click()
    assert widget(page, "indices") == "0"
    face(picker, 0).click()
    assert widget(page, "indices") == ""
    assert "Keeps all faces" in picker.inner_text()


def test_faces_are_picked_by_keys(page, picker):
    face(picker, 2).focus()
    page.page.keyboard.press("Space")
    assert widget(page, "indices") == "2"
    page.page.keyboard.press("Enter")
    assert widget(page, "indices") == ""


def test_the_pointer_over_the_view_leaves_the_focus_on_its_face(page, picker):
    page.page.mouse.move(0, 0)
    page.settle()
    face(picker, 2).focus()
    face(picker, 0).hover()
    page.page.keyboard.press("Space")
    assert widget(page, "indices") == "2"


def test_a_click_is_one_step_of_undo(page, picker):
    face(picker, 0).click()
    face(picker, 2).click()
    page.page.keyboard.press("Control+z")
    indices = "() => window.app.graph.getNodeById(3)?.widgets.find(w => w.name === 'indices').value"
    page.page.wait_for_function(f"() => ({indices})() === '0'")
    view = page.show(3)
    assert face(view, 0).get_attribute("aria-pressed") == "true"
    assert face(view, 2).get_attribute("aria-pressed") == "false"


def test_typed_numbers_are_shown_and_changed_by_clicks(page, picker):
    set_widget(page, "indices", "1-3")
    pressed = picker.locator('[aria-pressed="true"] .gpen-number')
    assert sorted(pressed.all_inner_texts()) == ["1", "2", "3"]
    face(picker, 2).click()
    assert widget(page, "indices") == "1,3"
    set_widget(page, "indices", "one")
    assert "indices cannot be read" in picker.inner_text()
    assert face(picker, 0).is_disabled()


def test_numbers_follow_the_order_as_the_node_counts(page, picker):
    set_widget(page, "order", "right-left")
    lefts = [face(picker, i).bounding_box()["x"] for i in range(4)]
    assert lefts == sorted(lefts, reverse=True)
    face(picker, 1).click()
    expected = page.evaluate(
        """() => window.app.graph.getNodeById(3)._gpenView.frame.faces.find(
            face => face.numbers['right-left'] === 1).box"""
    )
    page.evaluate(
        """() => {
            const { LiteGraph, app } = window;
            const node = LiteGraph.createNode('GPEN_SelectFaces');
            node.id = 4;
            app.graph.add(node);
            app.graph.getNodeById(3).connect(0, node, 0);
        }"""
    )
    page.run()
    (frame,) = page.evaluate("() => window.app.graph.getNodeById(4)._gpenView.run.frames")
    assert [face["box"] for face in frame["faces"]] == [expected]


def test_a_limit_that_changed_asks_for_a_run_and_then_leaves_faces_out(page, picker):
    count = picker.locator("[data-number]").count()
    sizes = page.evaluate(
        "() => window.app.graph.getNodeById(3)._gpenView.frame.faces.map(face => face.size)"
    )
    set_widget(page, "min_size", max(sizes) // 8 * 8)  # the widget's step
    assert "min_size has changed: run the graph" in picker.inner_text()
    assert face(picker, 0).is_disabled()
    page.run()
    view = page.show(3)
    assert view.locator("[data-number]").count() < count
    assert view.locator(".gpen-dropped").count() == count - view.locator("[data-number]").count()
    assert face(view, 0).is_enabled()


def test_arrow_keys_look_at_one_face_after_another(page, picker):
    stage = picker.locator(".gpen-stage")
    stage.focus()
    page.page.keyboard.press("ArrowDown")
    page.page.keyboard.press("ArrowDown")
    page.settle()
    middle, box = page.evaluate(
        """() => {
            const view = window.app.graph.getNodeById(3)._gpenView;
            return [view.stage.toPicture(view.stage.middle), view.frame.faces[1].box];
        }"""
    )
    np.testing.assert_allclose(middle, [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2], atol=0.5)
    assert "face 2/" in picker.inner_text()


def test_boxes_lie_on_the_faces_at_every_zoom(page, picker):
    for _ in range(4):
        picker.get_by_role("button", name="Zoom in").click()
    page.settle()
    stage = picker.locator(".gpen-stage")
    place, box = stage.bounding_box(), face(picker, 0).bounding_box()
    x0, y0, x1, y1 = page.evaluate(
        """() => {
            const { stage, frame } = window.app.graph.getNodeById(3)._gpenView;
            const [x0, y0, x1, y1] = frame.faces[0].box;
            return [...stage.toStage([x0, y0]), ...stage.toStage([x1, y1])];
        }"""
    )
    actual = [box["x"] - place["x"], box["y"] - place["y"], box["width"], box["height"]]
    np.testing.assert_allclose(actual, [x0 + 1, y0 + 1, x1 - x0, y1 - y0], atol=1.5)
    assert screenshot(stage).std() > 10
