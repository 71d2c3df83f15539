"""The help page of every node against its schema, so that neither changes without the other."""

import re

import pytest
from PIL import Image

from environment import REPOSITORY

PAGES = REPOSITORY / "js" / "docs"
MAX_PICTURE_BYTES = 100_000
ALL_PAGES = sorted(PAGES.glob("*.md"))
every_page = pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.stem)


@pytest.fixture(scope="module")
def schema_of(node_classes):
    schemas = [node.GET_SCHEMA() for node in node_classes]
    return {schema.node_id: schema for schema in schemas}


def section(text: str, heading: str) -> str:
    """What stands between a heading, singular or plural, and the next."""
    (found,) = re.findall(rf"^## {heading}s?\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    return found


def rows(text: str) -> list[list[str]]:
    """The cells of the rows of the first table, without its head."""
    table = re.search(r"(?:^\|.*\|\n)+", text, re.MULTILINE).group()
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]


def test_every_node_has_a_page_and_every_page_a_node(schema_of):
    assert {page.stem for page in ALL_PAGES} == set(schema_of)


@every_page
def test_a_page_explains_every_input_and_no_other(schema_of, page):
    inputs = {
        f"**{widget.id}**{' (optional)' if is_socket and widget.optional else ''}"
        for widget in schema_of[page.stem].inputs
        for is_socket in [not hasattr(widget, "default")]
    }
    explained = rows(section(page.read_text("utf-8"), "Input"))
    names = [row[0] for row in explained]
    assert len(set(names)) == len(names)
    assert set(names) == inputs
    assert all(len(row[1]) > 10 for row in explained)


@every_page
def test_a_page_gives_a_typical_value_of_every_widget(schema_of, page):
    table = rows(section(page.read_text("utf-8"), "Input"))
    typical = {row[0].split("**")[1]: row[2] for row in table if len(row) > 2}
    for widget in schema_of[page.stem].inputs:
        if hasattr(widget, "default"):
            assert typical.get(widget.id), widget.id


@every_page
def test_a_page_names_the_widgets_that_newer_hosts_do_not_fold_away(schema_of, page):
    widgets = [w for w in schema_of[page.stem].inputs if hasattr(w, "default")]
    shown = [w.id for w in widgets if not w.as_dict().get("advanced")]
    text = page.read_text("utf-8").replace("\n", " ")
    said = re.findall(r"Newer versions of ComfyUI show (.*?), and fold the other widgets", text)
    if len(shown) == len(widgets):
        assert said == []
    else:
        assert [re.findall(r"\*\*(\w+)\*\*", names) for names in said] == [shown]


@every_page
def test_a_page_names_every_output(schema_of, page):
    outputs = section(page.read_text("utf-8"), "Output").replace("\n", " ")
    for output in schema_of[page.stem].outputs:
        assert f"**{output.display_name or output.id}**" in outputs


@every_page
def test_a_page_starts_with_the_name_of_the_node_as_it_is_shown(schema_of, page):
    title = page.read_text("utf-8").splitlines()[0]
    assert title == f"# {schema_of[page.stem].display_name}"


@every_page
def test_the_links_of_a_page_lead_out_of_it(page):
    """Front ends of ComfyUI 0.3.75 take a link to another page for one of the server's own."""
    links = re.findall(r"[^!]\[[^]]+\]\(([^)]+)\)", page.read_text("utf-8"))
    assert links
    assert all(link.startswith("https://") for link in links)


@every_page
def test_a_page_has_a_small_picture_with_words_for_it(page):
    pictures = re.findall(r"!\[([^]]+)\]\((images/[^)]+)\)", page.read_text("utf-8"))
    assert pictures
    for _, name in pictures:
        assert (PAGES / name).stat().st_size <= MAX_PICTURE_BYTES
        with Image.open(PAGES / name) as image:
            image.load()
            assert image.width >= 250


def test_no_picture_is_left_that_no_page_shows():
    shown = set(re.findall(r"images/[\w.]+", "".join(p.read_text("utf-8") for p in ALL_PAGES)))
    assert shown == {f"images/{file.name}" for file in (PAGES / "images").iterdir()}
