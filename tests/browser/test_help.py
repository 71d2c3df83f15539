"""The help pages where ComfyUI's web page shows them: beside a chosen node."""

import pytest

pytestmark = pytest.mark.host

CHOOSE_NODE = """id => {
    window.app.graph.clear();
    const node = window.LiteGraph.createNode(id);
    node.pos = [900, 500];
    window.app.graph.add(node);
    window.app.canvas.ds.scale = 0.6;
    window.app.canvas.ds.offset = [0, 0];
    window.app.canvas.selectNode(node);
    window.app.canvas.draw(true, true);
}"""
PICTURE_IS_SHOWN = """name => {
    const pictures = [...document.querySelectorAll("img")];
    return pictures.some(({ src, naturalWidth }) => src.endsWith(name) && naturalWidth > 0);
}"""
LINKS = """heading => {
    let panel = heading.parentElement;
    while (!panel.querySelector("img")) panel = panel.parentElement;
    return [...panel.querySelectorAll("a")].map(({ href, target }) => [href, target]);
}"""


def test_the_help_of_a_node_is_shown_with_its_picture_and_links_that_leave_the_graph_alone(page):
    page.evaluate(CHOOSE_NODE, "GPEN_RestoreFaces")
    page.page.get_by_test_id("info-button").click()
    heading = page.page.get_by_role("heading", level=1, name="Restore Faces (GPEN)")
    heading.wait_for()
    page.page.wait_for_function(PICTURE_IS_SHOWN, arg="/docs/images/restore_faces.jpg")
    links = heading.evaluate(LINKS)
    assert ["https://arxiv.org/abs/2105.06070", "_blank"] in links
    assert all(href.startswith("https://") and target == "_blank" for href, target in links)
