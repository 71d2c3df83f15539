"""The bundled workflows in the newest front end's own nodes, which are larger than the canvas's."""

import json
import shutil

import pytest

from environment import REPOSITORY, host_folder

pytestmark = pytest.mark.host

FILES = sorted((REPOSITORY / "workflows").glob("*.json"))
NODES = "[data-node-id]"
# Nodes that lie over each other by more than a pixel, by their titles.
OVERLAPS = """() => {
    const nodes = [...document.querySelectorAll("[data-node-id]")].map((element) => ({
        title: window.app.graph.getNodeById(element.dataset.nodeId).title,
        box: element.getBoundingClientRect(),
    }));
    return nodes.flatMap((one, i) => nodes.slice(i + 1).filter((other) =>
        Math.min(one.box.right, other.box.right) - Math.max(one.box.left, other.box.left) > 1 &&
        Math.min(one.box.bottom, other.box.bottom) - Math.max(one.box.top, other.box.top) > 1
    ).map((other) => [one.title, other.title]));
}"""
COMPLAINTS = "() => window.app.graph.nodes.filter(node => node.has_errors).map(node => node.title)"


@pytest.fixture(scope="module")
def window(comfy_newest, browser):
    # Every ComfyUI comes with this picture; the server of the tests has a folder of its own.
    picture = host_folder() / "input" / "example.png"
    shutil.copy(picture, comfy_newest.base_directory / "input" / picture.name)
    page = browser.open(comfy_newest, vue_nodes=True, size=(1700, 1200))
    yield comfy_newest, page
    page.close()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_node_lies_over_another_and_none_complains(page, file):
    workflow = json.loads(file.read_text("utf-8"))
    page.load_workflow(workflow)
    page.fit()
    page.page.wait_for_function(
        f"count => document.querySelectorAll('{NODES}').length === count",
        arg=len(workflow["nodes"]),
    )
    page.settle()
    assert page.evaluate(OVERLAPS) == []
    assert page.evaluate(COMPLAINTS) == []
