"""The menu of Load GPEN Model in the real web page: what it says of files that are not on disk."""

import pytest

from comfy_server import ComfyServer
from gpen_core.checkpoints.registry import GPEN_MODELS

pytestmark = pytest.mark.host

ADD_LOADER = """() => {
    window.app.graph.clear();
    const node = window.LiteGraph.createNode("GPEN_LoadModel");
    node.pos = [60, 120];
    window.app.graph.add(node);
    window.app.canvas.ds.scale = 1;
    window.app.canvas.ds.offset = [0, 0];
    window.app.canvas.draw(true, true);
}"""
MIDDLE_OF_WIDGET = """() => {
    const [node] = window.app.graph.nodes;
    const [widget] = node.widgets;
    const { left, top } = window.app.canvas.canvas.getBoundingClientRect();
    return [left + node.pos[0] + node.size[0] / 2, top + node.pos[1] + widget.y + 10];
}"""
VALUE = "() => window.app.graph.nodes[0].widgets[0].value"


@pytest.fixture(scope="module")
def comfy(tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    (models / "gpen").mkdir()
    (models / "gpen" / "gpen_bfr_512.onnx").touch()
    with ComfyServer(models=[models], variables={"GPEN_DOWNLOAD": "1"}) as server:
        yield server


@pytest.fixture
def page(browser, comfy, request):
    """ComfyUI's page with nothing but a loader in it, drawn by Vue or on the canvas."""
    opened = browser.open(comfy, vue_nodes=request.param == "vue")
    opened.evaluate(ADD_LOADER)
    yield opened.page
    opened.close()


@pytest.mark.parametrize("page", ["canvas", "vue"], indirect=True)
def test_the_menu_marks_what_is_absent_and_the_value_is_the_plain_name(page, request):
    if "vue" in request.node.name:
        page.locator("[aria-label=model_name]").click()
        entries = page.get_by_role("option")
    else:
        page.wait_for_function("() => window.app.graph.nodes[0].widgets[0].y > 0")
        page.mouse.click(*page.evaluate(MIDDLE_OF_WIDGET))
        entries = page.locator(".litemenu-entry")
    entries.first.wait_for()
    shown = [text.strip() for text in entries.all_inner_texts()]
    assert shown[:2] == ["auto", "GPEN-small-256 (bundled)"]
    assert shown[2] == "gpen_bfr_512.onnx"
    assert shown[3] == "GPEN-BFR-2048.onnx (download)"
    assert "GPEN-BFR-512.onnx (download, 284 MB)" in shown
    assert shown[-1] == "GPEN-BFR-512.pth (download, 284 MB)"
    assert len(shown) == 2 + len(GPEN_MODELS)
    entries.filter(has_text="GPEN-BFR-512.onnx").click()
    page.wait_for_function(f"() => ({VALUE})() === 'GPEN-BFR-512.onnx'")


@pytest.mark.parametrize("page", ["canvas"], indirect=True)
def test_the_mark_goes_when_the_file_comes(comfy, page):
    label = "() => window.app.graph.nodes[0].widgets[0].options.getOptionLabel('{}')"
    name = "GPEN-BFR-1024.onnx"
    assert page.evaluate(label.format(name)) == f"{name} (download)"
    page.evaluate(
        "name => window.comfyAPI.api.api.dispatchCustomEvent('gpen.downloaded', "
        "{ filename: name })",
        name,
    )
    assert page.evaluate(label.format(name)) == name
    gone = "gpen_bfr_512.onnx"
    (comfy.models[0] / "gpen" / gone).unlink()
    page.evaluate("() => window.app.refreshComboInNodes()")
    assert page.evaluate(label.format(gone)) == f"{gone} (download, 284 MB)"
