"""ComfyUI's web page in a real Chromium: graphs are built, run and looked at as users do.

Example::

    with ComfyBrowser() as browser:
        page = browser.open(server, vue_nodes=True)
        page.build({"1": {"class_type": "LoadImage", "inputs": {"image": name}}, ...})
        page.run()
        page.view("2").screenshot(path="node.png")
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Mapping
from typing import Any

from playwright.sync_api import Browser, FloatRect, Locator, Page, Playwright, sync_playwright

from comfy_client import ComfyClient

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",  # Chromium refuses to run as root with it
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
)
TIMEOUT_MS = 30_000.0
RUN_TIMEOUT_MS = 300_000.0


def find_chromium() -> str | None:
    """The browser's executable: CHROMIUM, or the first one on the path."""
    names = (os.environ.get("CHROMIUM", ""), *CHROMIUM_NAMES)
    return next((path for name in names if name and (path := shutil.which(name))), None)


class ComfyBrowser:
    """A headless Chromium; a context manager."""

    def __init__(self) -> None:
        """Prepare; entering the context starts it."""
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None

    def __enter__(self) -> ComfyBrowser:
        executable = find_chromium()
        if executable is None:
            raise FileNotFoundError(
                f"Chromium: expected one of {', '.join(CHROMIUM_NAMES)} on the path, got none. "
                "Install it, or name it in the environment variable CHROMIUM."
            )
        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(
            executable_path=executable, args=list(ARGUMENTS)
        )
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._browser is not None:
            self._browser.close()
        if self._playwright is not None:
            self._playwright.stop()

    def open(
        self,
        server: ComfyClient,
        *,
        vue_nodes: bool = False,
        palette: str = "dark",
        locale: str = "en",
        size: tuple[int, int] = (1400, 1000),
        has_touch: bool = False,
    ) -> ComfyPage:
        """Open the page of a server in a window of its own, with an empty graph.

        Args:
            server: A running ComfyUI.
            vue_nodes: Draw nodes with Vue ("Nodes 2.0") instead of on the canvas.
            palette: ComfyUI's colours, "dark" or "light".
            locale: ComfyUI's code of a language.
            size: Width and height of the window in pixels.
            has_touch: The window has a touch screen.
        """
        assert self._browser is not None, "enter the context first"
        server.set_settings(
            {
                "Comfy.VueNodes.Enabled": vue_nodes,
                "Comfy.ColorPalette": palette,
                "Comfy.Locale": locale,
                "Comfy.TutorialCompleted": True,  # or the template browser opens over everything
                "Comfy.Workflow.ShowMissingModelsWarning": False,
                "Comfy.Minimap.Visible": False,
            }
        )
        context = self._browser.new_context(
            viewport={"width": size[0], "height": size[1]}, has_touch=has_touch
        )
        page = context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        comfy = ComfyPage(page, server.url)
        comfy.load()
        return comfy


class ComfyPage:
    """One window with ComfyUI's page in it."""

    def __init__(self, page: Page, url: str) -> None:
        """Remember them; ``load`` loads the page."""
        self.page = page
        self._url = url
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def load(self) -> None:
        """Load the page and wait until graphs can be built."""
        self.page.goto(self._url, wait_until="domcontentloaded")
        self._wait_for_app()
        self.page.evaluate("() => window.app.graph.clear()")

    def checkpoint(self) -> None:
        """Let the page notice what was changed by scripts: a step of undo, kept for a reload."""
        self.page.evaluate("() => window.dispatchEvent(new MouseEvent('mouseup'))")

    def reload(self) -> None:
        """Press F5; the page brings its workflow back by itself."""
        self.checkpoint()
        self.page.reload(wait_until="domcontentloaded")
        self._wait_for_app()

    def close(self) -> None:
        """Close the window."""
        self.page.context.close()

    def build(
        self,
        prompt: Mapping[str, Mapping[str, Any]],
        places: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        """Make the nodes of a graph in API format, with their links, in place of what was there.

        Widgets that it does not name keep their defaults; ids become those of the nodes. Nodes
        stand beside each other unless ``places`` says where.
        """
        # Vue takes a node for the same one if its id is taken again before it has drawn.
        self.page.evaluate("() => window.app.graph.clear()")
        self.settle()
        self.page.evaluate(_BUILD, [prompt, dict(places or {})])

    def load_workflow(self, workflow: Mapping[str, Any]) -> None:
        """Open a workflow as from its file."""
        self.page.evaluate("workflow => window.app.loadGraphData(workflow)", workflow)

    def run(self) -> None:
        """Queue the graph as the Run button does, and wait until it has run.

        Raises:
            AssertionError: It failed; the message is the server's.
        """
        outcome = self.page.evaluate(_RUN, RUN_TIMEOUT_MS)
        assert outcome == "execution_success", outcome

    def evaluate(self, expression: str, argument: Any = None) -> Any:
        """What a JavaScript function returns in the page."""
        return self.page.evaluate(expression, argument)

    def view(self, node_id: str | int) -> Locator:
        """The element of the pack's view in a node of the graph that is open."""
        self.page.evaluate(_MARK_VIEW, str(node_id))
        return self.page.locator(f'[data-test-node="{node_id}"]')

    def show(self, node_id: str | int, scale: float = 1.0) -> Locator:
        """Bring a node into the window at a scale of the graph; its view with its pictures."""
        self.page.evaluate(_CENTER, [str(node_id), scale])
        self.page.wait_for_function(_IS_LOADED, arg=str(node_id))
        view = self.view(node_id)
        view.wait_for(state="visible")
        view.evaluate(_DECODE)
        self.settle()
        return view

    def resize(self, node_id: str | int, right: float, down: float) -> None:
        """Make a node larger by pixels of the window, with the mouse where Vue draws it."""
        handle = self.page.locator(f'[data-node-id="{node_id}"] [aria-label*="bottom-right"]')
        if not handle.count():
            self.page.evaluate(_RESIZE, [str(node_id), right, down])
            return
        box = handle.bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + right, y + down, steps=5)
        self.page.mouse.up()

    def fit(self, node_ids: Collection[int] = (), max_scale: float = 1.0) -> FloatRect:
        """Zoom the graph so that nodes are in the window, all of them if none is named.

        Returns:
            Where they are then, with the groups if it is all of them, in pixels of the window.
        """
        x, y, width, height = self.page.evaluate(_FIT, [list(node_ids), max_scale])
        self.settle()
        return FloatRect(x=x, y=y, width=width, height=height)

    def settle(self) -> None:
        """Wait until what has changed is drawn."""
        self.page.evaluate(_NEXT_FRAMES)

    def _wait_for_app(self) -> None:
        self.page.wait_for_function(
            "() => window.app?.graph && window.app.canvas && window.app.extensions?.length"
            " && window.LiteGraph?.registered_node_types?.GPEN_RestoreFaces"
            " && !document.querySelector('#splash-loader')"
        )


_NEXT_FRAMES = """() => new Promise(done =>
    requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(done))))"""

_BUILD = """([prompt, places]) => {
    const graph = window.app.graph;
    const nodes = {};
    let x = 60;
    for (const [id, { class_type }] of Object.entries(prompt)) {
        const node = window.LiteGraph.createNode(class_type);
        node.id = Number(id);
        node.pos = places[id] ?? [x, 100];
        graph.add(node);
        x = node.pos[0] + node.size[0] + 40;
        nodes[id] = node;
    }
    for (const [id, { inputs }] of Object.entries(prompt)) {
        for (const [name, value] of Object.entries(inputs)) {
            if (Array.isArray(value)) {
                const slot = nodes[id].inputs.findIndex(input => input.name === name);
                nodes[value[0]].connect(value[1], nodes[id], slot);
            } else {
                const widget = nodes[id].widgets.find(widget => widget.name === name);
                widget.value = value;
                widget.callback?.(value);
            }
        }
    }
}"""

_RUN = """timeout => new Promise((done, fail) => {
    const api = window.comfyAPI.api.api;
    const outcomes = ['execution_success', 'execution_error', 'execution_interrupted'];
    const timer = setTimeout(() => fail(new Error('the graph did not finish')), timeout);
    const finish = event => {
        for (const name of outcomes) api.removeEventListener(name, finish);
        clearTimeout(timer);
        done(event.type === 'execution_success' ? event.type : JSON.stringify(event.detail));
    };
    for (const name of outcomes) api.addEventListener(name, finish);
    window.app.queuePrompt(0, 1).then(() => {
        const errors = window.app.lastNodeErrors ?? {};
        if (Object.keys(errors).length) finish({ type: 'rejected', detail: errors });
    });
})"""

_MARK_VIEW = """id => {
    const node = window.app.canvas.graph.nodes.find(node => String(node.id) === id);
    node._gpenView.element.dataset.testNode = id;
}"""

_RESIZE = """([id, right, down]) => {
    const canvas = window.app.canvas;
    const node = canvas.graph.nodes.find(node => String(node.id) === id);
    node.setSize([node.size[0] + right, node.size[1] + down]);
    canvas.setDirty(true, true);
}"""

_FIT = """([ids, maxScale]) => {
    const canvas = window.app.canvas;
    const screen = canvas.canvas.getBoundingClientRect();
    const nodes = canvas.graph.nodes.filter(({ id }) => !ids.length || ids.includes(id));
    const boxes = [
        ...nodes.map(({ pos, size }) => [pos[0], pos[1] - 30, size[0], size[1] + 30]),
        ...(ids.length ? [] : canvas.graph.groups.map(({ pos, size }) => [...pos, ...size])),
    ];
    const [left, top, right, bottom] = boxes.reduce(
        ([left, top, right, bottom], [x, y, width, height]) => [
            Math.min(left, x), Math.min(top, y),
            Math.max(right, x + width), Math.max(bottom, y + height),
        ], [Infinity, Infinity, -Infinity, -Infinity]);
    const [x, y] = [screen.width - 120, screen.height - 250];  // beside the host's own buttons
    const scale = Math.min(x / (right - left), y / (bottom - top), maxScale);
    const { ds } = canvas;
    ds.scale = scale;
    ds.offset[0] = (70 + x / 2) / scale - (left + right) / 2;
    ds.offset[1] = (190 + y / 2) / scale - (top + bottom) / 2;
    canvas.setDirty(true, true);
    return [
        screen.left + (left + ds.offset[0]) * scale, screen.top + (top + ds.offset[1]) * scale,
        (right - left) * scale, (bottom - top) * scale,
    ];
}"""

_IS_LOADED = """id => {
    const node = window.app.canvas.graph.nodes.find(node => String(node.id) === id);
    const view = node?._gpenView;
    const pictures = [...view?.element.querySelectorAll('img[src]') ?? []];
    return view?.element.isConnected && pictures.every(
        picture => picture.complete && (picture.naturalWidth || view.message.textContent));
}"""

_DECODE = """view => Promise.allSettled(
    [...view.querySelectorAll('img[src]')].map(picture => picture.decode()))"""

_CENTER = """([id, scale]) => {
    const canvas = window.app.canvas;
    const node = canvas.graph.nodes.find(node => String(node.id) === id);
    canvas.ds.scale = scale;
    const bounds = canvas.canvas.getBoundingClientRect();
    canvas.ds.offset[0] = bounds.width / 2 / scale - node.pos[0] - node.size[0] / 2;
    canvas.ds.offset[1] = bounds.height / 2 / scale - node.pos[1] - node.size[1] / 2;
    canvas.setDirty(true, true);
}"""
