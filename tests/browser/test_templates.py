"""The template browser of ComfyUI's own web page, as a user meets the pack there."""

import json

import pytest

from comfy_server import ComfyServer
from environment import REPOSITORY
from gpen_core.checkpoints.registry import GPEN_MODELS

pytestmark = pytest.mark.host

FILES = sorted((REPOSITORY / "workflows").glob("*.json"))
PACK = "gpen_face_restore"
CARD = '[data-testid="template-workflow-{}"]'
IS_LOADED = "picture => picture.complete && picture.naturalWidth > 0"
NODES = "() => window.app.graph.nodes.map(node => node.type)"
MODELS = """() => window.app.graph.nodes.filter(node => node.properties.models).map(
    node => [node.type, node.properties.models[0].name])"""
SIZES = """() => Object.fromEntries(window.app.graph.nodes.map(
    node => [node.id, node.computeSize().map((least, i) => Math.max(least, node.size[i]))]))"""


@pytest.fixture(scope="module")
def server(tmp_path_factory, packs):
    """A ComfyUI with all checkpoints by name; nothing loads them here."""
    models = tmp_path_factory.mktemp("models")
    (models / "facerestore_models").mkdir()
    for model in GPEN_MODELS:
        (models / "facerestore_models" / model.filename).touch()
    with ComfyServer(models=[models], packs=packs, variables={"GPEN_DOWNLOAD": "0"}) as server:
        yield server


@pytest.fixture(scope="module")
def window(server, browser):
    page = browser.open(server)
    server.set_settings({"Comfy.Workflow.ShowMissingModelsWarning": True})
    page.reload()
    yield page
    page.close()


@pytest.fixture
def page(window):
    window.errors.clear()
    yield window
    assert window.errors == []


def browse_templates(page) -> None:
    page.evaluate("() => void window.app.extensionManager.command.execute('Comfy.BrowseTemplates')")
    page.page.get_by_role("dialog").get_by_text(PACK).first.click()
    page.page.locator(CARD.format(FILES[0].stem)).wait_for()


def dialogs(page) -> list[str]:
    return page.page.get_by_role("dialog").all_inner_texts()


def test_every_workflow_is_shown_under_the_name_of_the_pack_with_its_picture(page):
    browse_templates(page)
    cards = page.page.locator('[data-testid^="template-workflow-"]:not([data-testid*="loading"])')
    assert cards.count() == len(FILES)
    for file in FILES:
        card = page.page.locator(CARD.format(file.stem))
        card.scroll_into_view_if_needed()  # pictures are loaded when they come into sight
        picture = card.get_by_role("img", name=file.stem, exact=True).element_handle()
        page.page.wait_for_function(IS_LOADED, arg=picture)
    page.reload()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_template_opens_as_it_is_and_without_a_complaint(page, file):
    workflow = json.loads(file.read_text("utf-8"))
    browse_templates(page)
    page.page.locator(CARD.format(file.stem)).click()
    page.page.wait_for_function(
        f"types => JSON.stringify(({NODES})().sort()) === JSON.stringify(types)",
        arg=sorted(node["type"] for node in workflow["nodes"]),
    )
    page.page.locator('[data-testid="template-workflows-content"]').wait_for(state="detached")
    page.settle()
    assert dialogs(page) == []
    # What the file records of its models is still there, to be saved again.
    recorded = [
        [node["type"], node["properties"]["models"][0]["name"]]
        for node in workflow["nodes"]
        if "models" in node["properties"]
    ]
    assert sorted(page.evaluate(MODELS)) == sorted(recorded)
    # No node needs more room than the file gives it, which the layout was checked for.
    needed = page.evaluate(SIZES)
    for node in workflow["nodes"]:
        assert needed[str(node["id"])] == pytest.approx(node["size"], abs=1), node["type"]


def test_models_of_other_nodes_are_still_told_to_be_missing(page):
    page.evaluate("() => window.app.graph.clear()")
    model = {"name": "absent.pth", "url": "https://example.org/absent.pth", "directory": "vae"}
    node = {
        "id": 1,
        "type": "VAELoader",
        "pos": [0, 0],
        "size": [300, 100],
        "flags": {},
        "order": 0,
        "mode": 0,
        "properties": {"models": [model]},
        "widgets_values": ["absent.pth"],
    }
    workflow = {"nodes": [node], "links": [], "groups": [], "version": 0.4}
    page.evaluate("workflow => void window.app.loadGraphData(workflow)", workflow)
    page.page.get_by_role("dialog").get_by_text("absent.pth").first.wait_for()
    page.page.keyboard.press("Escape")
    page.page.get_by_role("dialog").wait_for(state="detached")


def test_the_pictures_of_the_help_pages_are_served_where_the_page_looks_for_them(server, page):
    for file in (REPOSITORY / "js" / "docs" / "images").iterdir():
        # The page puts this address before what a help page names.
        answer = page.page.request.get(f"{server.url}/extensions/{PACK}/docs/images/{file.name}")
        assert answer.body() == file.read_bytes()
