"""The before/after slider in ComfyUI's page."""

import secrets

import numpy as np
import pytest

from support.screen import color_at, drag, screenshot, wait_for_colors

pytestmark = pytest.mark.host

RED, BLUE, GREEN = (220, 20, 20), (20, 20, 220), (20, 200, 20)


def comparison(before: str, after: str) -> dict:
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": before}},
        "2": {"class_type": "LoadImage", "inputs": {"image": after}},
        "3": {"class_type": "GPEN_Compare", "inputs": {"before": ["1", 0], "after": ["2", 0]}},
    }


def two_frames(*names: str) -> dict:
    """Two images before and two after, as batches."""
    prompt = {
        str(i): {"class_type": "LoadImage", "inputs": {"image": name}}
        for i, name in enumerate(names, start=1)
    }
    for key, (one, other) in {"5": ("1", "2"), "6": ("3", "4")}.items():
        inputs = {"image1": [one, 0], "image2": [other, 0]}
        prompt[key] = {"class_type": "ImageBatch", "inputs": inputs}
    inputs = {"before": ["5", 0], "after": ["6", 0]}
    return {**prompt, "7": {"class_type": "GPEN_Compare", "inputs": inputs}}


def shown(page, node: int = 3):
    """The stage of a node's view with its pictures loaded."""
    return page.show(node).locator(".gpen-stage")


def state(page, node: int = 3) -> dict:
    return page.evaluate(
        """id => {
            const { _gpenView: view } = window.app.canvas.graph.getNodeById(id);
            const { zoom, center, scale, isZoomed } = view.stage;
            return { zoom, center, scale, isZoomed, split: view.split, frame: view.frameNumber };
        }""",
        node,
    )


@pytest.fixture
def stage(page, solid):
    """Red before, blue after, at the whole picture."""
    page.build(comparison(solid(RED), solid(BLUE)))
    page.run()
    return shown(page)


def test_dragging_the_divider_uncovers_the_picture_before(page, stage):
    pixels = screenshot(stage)
    assert (color_at(pixels, 0.3), color_at(pixels, 0.7)) == (RED, BLUE)
    drag(page, stage, (0.5, 0.5), (0.8, 0.4))
    pixels = screenshot(stage)
    assert (color_at(pixels, 0.3), color_at(pixels, 0.7)) == (RED, RED)
    assert color_at(pixels, 0.85) == BLUE
    drag(page, stage, (0.8, 0.5), (0.2, 0.5))
    assert color_at(screenshot(stage), 0.3) == BLUE


def test_the_divider_moves_by_keys(page, stage):
    divider = stage.get_by_role("slider")
    divider.focus()
    page.page.keyboard.press("End")
    assert divider.get_attribute("aria-valuenow") == "100"
    page.page.keyboard.press("Shift+ArrowLeft")
    page.page.keyboard.press("ArrowLeft")
    assert divider.get_attribute("aria-valuenow") == "88"
    assert color_at(screenshot(stage), 0.8) == RED


def test_the_divider_moves_by_touch(page, stage):
    box = stage.bounding_box()
    y = box["y"] + box["height"] / 2
    touch = page.page.context.new_cdp_session(page.page)
    for kind, x in (("touchStart", 0.5), ("touchMove", 0.6), ("touchMove", 0.9), ("touchEnd", 0)):
        points = [{"x": box["x"] + box["width"] * x, "y": y}] if x else []
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    page.settle()
    assert state(page)["split"] == pytest.approx(0.9, abs=0.01)


def test_two_fingers_zoom(page, stage):
    box = stage.bounding_box()
    y = box["y"] + box["height"] / 2
    touch = page.page.context.new_cdp_session(page.page)
    before = state(page)["scale"]
    for kind, reach in (("touchStart", 0.1), ("touchMove", 0.15), ("touchMove", 0.3)):
        points = [
            {"x": box["x"] + box["width"] * (0.5 + side * reach), "y": y, "id": i}
            for i, side in enumerate((-1, 1))
        ]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.settle()
    assert state(page)["scale"] > 1.8 * before


def test_zoom_reaches_single_pixels_with_hard_edges(page, server):
    checks = np.indices((64, 64)).sum(axis=0) % 2 * 255
    name = server.upload_image(np.repeat(checks[..., None], 3, 2).astype(np.uint8), "checks.png")
    page.build(comparison(name, name))
    page.run()
    stage = shown(page)
    page.page.mouse.click(*centre(stage))
    for _ in range(12):
        page.page.mouse.wheel(0, -240)
    page.settle()
    assert state(page)["scale"] >= 30
    # Away from divider and labels there are black and white pixels and nothing between.
    pixels = screenshot(stage)[20:90, 20:120, 0]
    assert set(np.unique(pixels)) == {0, 255}
    run = np.diff(np.flatnonzero(np.diff(pixels[0].astype(int))))
    assert run.min() >= 30


def test_the_wheel_belongs_to_the_graph_until_the_picture_is_clicked(page, stage):
    scale = "() => window.app.canvas.ds.scale"
    before = page.evaluate(scale)
    page.page.mouse.move(*centre(stage))
    page.page.mouse.wheel(0, -120)
    page.page.wait_for_function(f"before => ({scale})() > before", arg=before)
    assert not state(page)["isZoomed"]
    page.show(3)
    page.page.mouse.click(*centre(stage))
    before = page.evaluate(scale)
    page.page.mouse.wheel(0, -240)
    page.page.wait_for_function(
        "() => window.app.canvas.graph.getNodeById(3)._gpenView.stage.isZoomed"
    )
    assert page.evaluate(scale) == before


def test_a_drag_moves_the_zoomed_picture_and_a_double_click_fits_it(page, stage):
    view = page.view(3)
    for _ in range(5):
        view.get_by_role("button", name="Zoom in").click()
    before = state(page)["center"]
    drag(page, stage, (0.2, 0.5), (0.3, 0.5))
    moved = state(page)
    assert moved["center"][0] < before[0]
    assert moved["split"] == 0.5
    stage.dblclick(position={"x": 30, "y": 30})
    assert state(page)["zoom"] is None


def test_the_view_does_not_move_the_node_and_follows_its_size(page, stage):
    place = page.evaluate("() => [...window.app.graph.getNodeById(3).pos]")
    drag(page, stage, (0.5, 0.5), (0.7, 0.9))
    assert page.evaluate("() => [...window.app.graph.getNodeById(3).pos]") == place
    before = stage.evaluate("stage => [stage.clientWidth, stage.clientHeight]")
    page.resize(3, 140, 90)
    page.page.wait_for_function(
        """([width, height]) => {
            const { element } = window.app.graph.getNodeById(3)._gpenView.stage;
            return element.clientWidth > width + 100 && element.clientHeight > height + 50;
        }""",
        arg=before,
    )


def test_buttons_and_arrow_keys_step_through_the_frames(page, solid):
    page.build(two_frames(solid(RED), solid(GREEN), solid(BLUE), solid(RED)))
    page.run()
    stage = shown(page, 7)
    view = page.view(7)
    assert "image 1/2" in view.inner_text()
    view.get_by_role("button", name="Next image").click()
    pixels = screenshot(shown(page, 7))
    assert (color_at(pixels, 0.3), color_at(pixels, 0.7)) == (GREEN, RED)
    stage.focus()
    page.page.keyboard.press("ArrowRight")
    assert state(page, 7)["frame"] == 0
    pixels = screenshot(shown(page, 7))
    assert (color_at(pixels, 0.3), color_at(pixels, 0.7)) == (RED, BLUE)


def test_a_run_from_the_cache_and_a_new_run_are_shown_where_the_divider_was(page, stage, solid):
    drag(page, stage, (0.5, 0.5), (0.25, 0.5))
    page.run()
    assert state(page)["split"] == pytest.approx(0.25, abs=0.01)
    assert color_at(screenshot(shown(page)), 0.5) == BLUE
    page.evaluate(
        "name => { window.app.graph.getNodeById(2).widgets[0].value = name; }", solid(GREEN)
    )
    page.run()
    pixels = screenshot(shown(page))
    assert (color_at(pixels, 0.1), color_at(pixels, 0.5)) == (RED, GREEN)


def test_pictures_and_divider_survive_a_reload_of_the_page(page, stage):
    drag(page, stage, (0.5, 0.5), (0.75, 0.5))
    page.reload()
    pixels = screenshot(shown(page))
    assert state(page)["split"] == pytest.approx(0.75, abs=0.01)
    assert (color_at(pixels, 0.6), color_at(pixels, 0.9)) == (RED, BLUE)


def test_pictures_and_divider_survive_undo_without_being_steps_of_it(page, stage):
    page.evaluate("() => { window.app.graph.getNodeById(1).title = 'renamed'; }")
    page.checkpoint()
    drag(page, stage, (0.5, 0.5), (0.75, 0.5))
    page.page.keyboard.press("Control+z")
    page.page.wait_for_function("() => window.app.graph.getNodeById(1)?.title === 'Load Image'")
    wait_for_colors(page, lambda: shown(page), {0.6: RED, 0.9: BLUE})


def test_a_copy_shows_the_same_and_goes_its_own_way(page, stage):
    drag(page, stage, (0.5, 0.5), (0.75, 0.5))
    page.evaluate(
        """() => {
            const { canvas, graph } = window.app;
            canvas.selectItems([graph.getNodeById(3)]);
            canvas.copyToClipboard();
            canvas.pasteFromClipboard();
        }"""
    )
    copy = page.evaluate("() => Math.max(...window.app.graph.nodes.map(node => node.id))")
    copied = shown(page, copy)
    pixels = screenshot(copied)
    assert (color_at(pixels, 0.6), color_at(pixels, 0.9)) == (RED, BLUE)
    drag(page, copied, (0.75, 0.5), (0.1, 0.5))
    keys = page.evaluate("() => window.app.graph.nodes.map(n => n.properties.gpen_view ?? '')")
    assert len({key for key in keys if key}) == 2
    assert state(page)["split"] == pytest.approx(0.75, abs=0.01)


def test_the_slider_works_inside_a_subgraph(page, stage, solid):
    drag(page, stage, (0.5, 0.5), (0.75, 0.5))
    page.evaluate(
        """() => {
            const { canvas, graph } = window.app;
            const { subgraph, node } = graph.convertToSubgraph(new Set([graph.getNodeById(3)]));
            canvas.openSubgraph(subgraph, node);
        }"""
    )
    page.page.wait_for_function("() => window.app.canvas.graph !== window.app.graph.rootGraph")
    inner = page.evaluate("() => window.app.canvas.graph.nodes[0].id")
    pixels = screenshot(shown(page, inner))
    assert (color_at(pixels, 0.6), color_at(pixels, 0.9)) == (RED, BLUE)
    page.evaluate(
        """name => {
            const root = window.app.graph.rootGraph ?? window.app.graph;
            root.getNodeById(2).widgets[0].value = name;
        }""",
        solid(GREEN),
    )
    page.run()
    assert color_at(screenshot(shown(page, inner)), 0.9) == GREEN
    page.load()  # back to the top without the host's navigation leaves nodes unmounted


def test_removing_the_node_removes_its_view(page, stage):
    view = page.view(3).element_handle()
    page.evaluate("() => { window.app.graph.remove(window.app.graph.getNodeById(3)); }")
    page.page.wait_for_function("view => !view.isConnected", arg=view)


def test_a_picture_that_is_gone_is_reported_in_the_view(page, server, solid):
    # Of colours that no other test runs with: ComfyUI would answer it from its cache.
    page.build(comparison(*(solid(tuple(secrets.token_bytes(3))) for _ in range(2))))
    page.run()
    page.show(3)
    run = page.evaluate("() => window.app.graph.getNodeById(3)._gpenView.run")
    for file in (run["frames"][0][name]["filename"] for name in ("before", "after")):
        (server.base_directory / "temp" / file).unlink()
    page.page.context.new_cdp_session(page.page).send("Network.clearBrowserCache")
    page.reload()
    message = page.show(3).locator(".gpen-message")
    message.wait_for(state="visible")
    assert "Change a setting and run the graph again" in message.inner_text()


def centre(locator) -> tuple[float, float]:
    """Its middle, a little aside of the divider."""
    box = locator.bounding_box()
    return box["x"] + box["width"] * 0.4, box["y"] + box["height"] / 2
