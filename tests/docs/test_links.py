"""What the documentation leads to: files, headings, pictures."""

import re
import subprocess

import pytest

from environment import REPOSITORY

LINK = re.compile(r"!?\[[^]]*\]\(([^)\s]+)\)|src=\"([^\"]+)\"")
UNSHOWN = {"icon.png", "banner.png"}  # for the Comfy Registry


def _documents():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],  # noqa: S607
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return [REPOSITORY / name for name in listed.stdout.split() if (REPOSITORY / name).is_file()]


DOCUMENTS = _documents()
every_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda file: str(file.relative_to(REPOSITORY))
)


def _anchors(document):
    headings = re.findall(r"^#+ (.+)$", document.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings}


@every_document
def test_every_link_and_picture_leads_somewhere(document):
    for groups in LINK.findall(document.read_text("utf-8")):
        link = "".join(groups)
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


def test_every_picture_in_docs_is_shown():
    pages = "".join(document.read_text("utf-8") for document in DOCUMENTS)
    pictures = {file.name for file in (REPOSITORY / "docs" / "images").iterdir()}
    shown = {name for name in pictures if re.search(rf"images/{re.escape(name)}\)", pages)}
    assert pictures - UNSHOWN == shown


def test_every_page_of_docs_is_linked_from_another():
    for page in (REPOSITORY / "docs").glob("*.md"):
        others = (d for d in DOCUMENTS if d != page)
        assert any(re.search(rf"\((docs/)?{page.name}[)#]", d.read_text("utf-8")) for d in others)


def test_the_readme_stays_short():
    assert len((REPOSITORY / "README.md").read_text("utf-8").splitlines()) <= 150
