"""ComfyUI's web page: its own and the newest front end, drawn on the canvas and by Vue."""

from collections.abc import Iterator

import numpy as np
import pytest

from comfy_server import ComfyServer
from environment import newest_front_end

PAGES = ["own-canvas", "own-vue", "newest-canvas", "newest-vue"]


@pytest.fixture(scope="module")
def browser():
    """One Chromium for all tests of a file; tests elsewhere could run no event loop beside it."""
    pytest.importorskip("playwright")
    from comfy_browser import ComfyBrowser, find_chromium

    if find_chromium() is None:
        pytest.skip("no Chromium: install it, or name it in CHROMIUM")
    with ComfyBrowser() as browser:
        yield browser


@pytest.fixture(scope="session")
def comfy_newest(model_folders, packs) -> Iterator[ComfyServer]:
    """A ComfyUI that serves the newest front end instead of its own."""
    folder = newest_front_end()
    if folder is None:
        pytest.skip("no newest front end: run 'make setup', or name it in GPEN_FRONT_END")
    arguments = ["--cpu", "--front-end-root", str(folder)]
    with ComfyServer(models=model_folders, packs=packs, arguments=arguments) as server:
        yield server


@pytest.fixture(scope="module", params=PAGES)
def window(request, browser):
    """A window for all tests of a file: a server and ComfyUI's page of it."""
    front_end, renderer = request.param.split("-")
    server = request.getfixturevalue("comfy" if front_end == "own" else "comfy_newest")
    page = browser.open(server, vue_nodes=renderer == "vue", has_touch=True)
    yield server, page
    page.close()


@pytest.fixture
def server(window) -> ComfyServer:
    return window[0]


@pytest.fixture
def page(window):
    """The window, in which nothing may go wrong unseen."""
    _, page = window
    page.errors.clear()
    yield page
    assert page.errors == []


@pytest.fixture
def solid(server):
    """Uploads a picture of one colour and returns its name."""

    def upload(color: tuple[int, int, int], width: int = 160, height: int = 100) -> str:
        pixels = np.full((height, width, 3), color, dtype=np.uint8)
        return server.upload_image(pixels, "solid.png")

    return upload
