"""The translations in ComfyUI's web page: served, found by the front end, and drawn."""

import json

import pytest

from locales import LANGUAGES, MAIN_FILE, NODES_FILE, read_locale

pytestmark = pytest.mark.host

LOOK = """id => {
    const node = window.LiteGraph.createNode(id);
    window.app.graph.add(node);
    const { title, constructor, inputs, outputs, widgets } = node;
    const labels = Object.fromEntries(widgets.map(({ name, label }) => [name, label]));
    for (const { name, localized_name } of inputs) labels[name] ??= localized_name;
    return {
        title, labels,
        category: constructor.category,
        outputs: outputs.map(({ localized_name }) => localized_name),
    };
}"""


def test_the_host_serves_all_languages(comfy):
    served = json.loads(comfy.get_text("/i18n"))
    for language in LANGUAGES:
        texts = read_locale(language)
        wanted = {"nodeDefs": texts[NODES_FILE], **texts[MAIN_FILE]}
        for section, content in wanted.items():
            assert content.items() <= served[language][section].items(), language


# Front ends forget the texts of packs in some languages: 1.32 when it loads one of its own, which
# German is not; the newest offers no German. What they forget stays in English.
@pytest.mark.parametrize(("front_end", "language"), [("comfy", "de"), ("comfy_newest", "zh")])
def test_a_node_is_drawn_in_the_language_of_the_settings(request, browser, front_end, language):
    server = request.getfixturevalue(front_end)
    server.get_text("/i18n")  # collected once; a page that must wait for it draws in English
    page = browser.open(server, locale=language)
    try:
        seen = page.evaluate(LOOK, "GPEN_RestoreFaces")
    finally:
        page.close()
    texts = read_locale(language)
    node = texts[NODES_FILE]["GPEN_RestoreFaces"]
    assert seen["title"] == node["display_name"]
    wanted = {name: texts["name"] for name, texts in node["inputs"].items()}
    assert {name: seen["labels"][name] for name in wanted} == wanted
    assert seen["outputs"] == [output["name"] for output in node["outputs"].values()]
    assert seen["category"].split("/")[-1] in texts[MAIN_FILE]["nodeCategories"].values()
