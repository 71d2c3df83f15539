"""Write pictures of every workflow and of the nodes, for the README, the templates and the help.

The workflows run in a real ComfyUI, seen by Chromium, with the tests' stand-ins for other packs and
no model but the bundled ones, on the damaged photo of the demo.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageOps
from playwright.sync_api import Error as BrowserError
from playwright.sync_api import FloatRect

from comfy_browser import ComfyBrowser, ComfyPage
from comfy_client import ComfyServerError
from comfy_server import PACK_NAME, ComfyServer
from demo import find_faces, measure, restore, side_by_side
from environment import REPOSITORY, SetupError
from preset_sheet import write_preset_sheet
from sample import damage, sample_photo

WORKFLOWS = REPOSITORY / "workflows"
FOLDER = REPOSITORY / "docs" / "images"
HELP_FOLDER = REPOSITORY / "js" / "docs" / "images"
STAND_INS = REPOSITORY / "tests" / "support" / "packs"
PACKS = {
    PACK_NAME: REPOSITORY,
    "comfyui-reactor": STAND_INS / "reactor",
    "comfyui-videohelpersuite": STAND_INS / "video_helper",
}
WINDOW_SIZE = (1720, 1200)
LARGE_WINDOW_SIZE = (2600, 1700)  # for graphs that would be unreadable in the other
LARGE_GRAPH_PX = 2400
MARGIN_PX = 14.0
PICTURE_WIDTH_PX = 1660
THUMBNAIL_WIDTH_PX = 720
SHEET_WIDTH_PX = 1280
JPEG_QUALITY = 82
VIDEO_FRAMES = 6
FACE = (118, 4, 230)
"""Left, top and side, in pixels of the photo."""
SETTINGS = {
    "Comfy.Graph.CanvasInfo": False,
    "Comfy.Graph.CanvasMenu": False,
    "Comfy.NodeBadge.NodeSourceBadgeMode": "None",
    "LiteGraph.Canvas.MinFontSizeForLOD": 0,  # or small text is left out
}
NETWORK = "auto"
"""The network of every picture; the workflows that name one would have to download it."""
BYPASSED = 4  # LiteGraph's mode of a node that is off
FILE_WIDGETS = {
    "LoadImage": "image",
    "GPEN_LoadModel": "model_name",
    "LoadVideo": "file",
    "VHS_LoadVideo": "video",
}
"""The widget that names a file, of every node that loads one."""

FORGET = """() => fetch("/free", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ free_memory: true }),
})"""
SLIDERS = {"GPEN_BlendSwap", "GPEN_Compare", "GPEN_RestoreFaces"}
"""Nodes whose view shows before and after; they are pictured with the face close up."""
VIEWS = SLIDERS | {"GPEN_DetectFaces", "GPEN_SelectFaces"}
THUMBNAIL_NODES = {"gallery": {"What is where", "The sheet"}}
"""Titles of what a thumbnail shows; of other workflows it shows everything but the notes."""

HELP_PICTURES = {
    "load_model": ["6"],
    "detect_faces": ["3"],
    "select_faces": ["4"],
    "compare": ["5"],
    "restore_faces": ["7"],
    "crops": ["8", "9", "10", "11"],
    "face_mask": ["12", "13"],
    "blend_swap": ["14"],
}
"""Pictures of the help pages, and what of ``_help_prompt`` is on them."""


def main() -> int:
    """Write the pictures; the exit status is 0, or 1 with the reason on stderr."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("workflows", nargs="*", help="names of workflows; default: all")
    arguments = parser.parse_args()
    try:
        take_pictures(arguments.workflows)
    except (ComfyServerError, SetupError, BrowserError, OSError) as error:
        print(f"Screenshots failed. {error}", file=sys.stderr)
        return 1
    return 0


def take_pictures(names: Collection[str] = ()) -> None:
    """Run everything once and write the pictures.

    Args:
        names: Workflows to picture, and nothing else; none stands for all there is.
    """
    for folder in (FOLDER, HELP_FOLDER):
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gpen-screenshots-") as temporary:
        folder = Path(temporary)
        print("Starting ComfyUI ...", flush=True)
        with ComfyServer(packs=PACKS) as server, ComfyBrowser() as browser:
            server.set_settings(SETTINGS)
            page = browser.open(server, size=WINDOW_SIZE)
            for file in sorted(WORKFLOWS.glob("*.json")):
                if not names or file.stem in names:
                    _picture_workflow(page, server, file, folder)
            if names:
                return
            _write_restored(server)
            write_preset_sheet(server, _face(), HELP_FOLDER / "degrade.jpg")
            # What comes from the cache sends no pictures, and the page keeps those of other nodes.
            page.evaluate(FORGET)
            page.close()
            page = browser.open(server, size=WINDOW_SIZE)
            _picture_help(page, server)
            page.close()
            page = browser.open(server, vue_nodes=True, size=WINDOW_SIZE)
            _picture_views(page, server)


def _write_restored(server: ComfyServer) -> None:
    """Write what the demo shows: the photo, damaged and restored."""
    photo, damaged = sample_photo(), _damaged_photo()
    pictures = {"original": photo, "damaged": damaged, "restored": restore(server, damaged)}
    faces = find_faces(photo)
    sheet = Image.fromarray(side_by_side(pictures, faces, measure(pictures, faces)))
    _save(FOLDER / "restored.jpg", sheet, SHEET_WIDTH_PX)


def _picture_workflow(page: ComfyPage, server: ComfyServer, file: Path, folder: Path) -> None:
    """Open a workflow with a sample in place of what it loads, run it and take its picture."""
    workflow = json.loads(file.read_text("utf-8"))
    clip = server.upload_image(_write_clip(folder / "clip.mp4"))
    damages_itself = any(node["type"] == "GPEN_Degrade" for node in workflow["nodes"])
    sample = sample_photo() if damages_itself else _damaged_photo()
    photo = server.upload_image(sample, "photo.png")
    face = server.upload_image(np.ascontiguousarray(_damaged_photo()[:, ::-1]), "face.png")
    page.load_workflow(workflow)
    for node in workflow["nodes"]:
        widget = FILE_WIDGETS.get(node["type"])
        if widget is None or node.get("mode") == BYPASSED:
            continue
        samples = {"image": photo, "model_name": NETWORK, "file": clip, "video": clip}
        if node.get("title") == "The face to put in":
            samples["image"] = face
        page.evaluate(_SET, [node["id"], widget, samples[widget]])
    page.run()
    for node in workflow["nodes"]:
        if node["type"] in VIEWS:
            _show(page, node["id"], node["type"])
    is_large = page.evaluate(_WIDTH) > LARGE_GRAPH_PX
    width, height = LARGE_WINDOW_SIZE if is_large else WINDOW_SIZE
    page.page.set_viewport_size({"width": width, "height": height})
    _write(FOLDER / f"workflow_{file.stem}.jpg", _shoot(page), PICTURE_WIDTH_PX)
    page.page.set_viewport_size({"width": WINDOW_SIZE[0], "height": WINDOW_SIZE[1]})
    titles = THUMBNAIL_NODES.get(file.stem)
    shown = [
        node["id"]
        for node in workflow["nodes"]
        if (node.get("title") in titles if titles else node["type"] != "MarkdownNote")
    ]
    _write(file.with_suffix(".jpg"), _shoot(page, shown), THUMBNAIL_WIDTH_PX)


def _picture_help(page: ComfyPage, server: ComfyServer) -> None:
    """Take a picture of every node for its help page."""
    prompt = _help_prompt(server)
    page.build(prompt)
    page.evaluate(_LAY_OUT)
    page.run()
    for key, node in prompt.items():
        if node["class_type"] in VIEWS:
            _show(page, int(key), node["class_type"])
    for name, nodes in HELP_PICTURES.items():
        shot = _shoot(page, [int(node) for node in nodes])
        _write(HELP_FOLDER / f"{name}.jpg", shot, 960)


def _picture_views(page: ComfyPage, server: ComfyServer) -> None:
    """Take pictures of the views in Vue nodes."""
    prompt = {key: node for key, node in _help_prompt(server).items() if int(key) <= 7}
    page.build(prompt)
    page.evaluate("() => { for (const n of window.app.graph.nodes) n.setSize([420, 600]); }")
    page.run()
    for node, name in ((3, "detect_faces"), (4, "face_picker"), (5, "before_after")):
        _show(page, node, prompt[str(node)]["class_type"])
        page.page.wait_for_load_state("networkidle")
        shot = page.page.locator(f'[data-node-id="{node}"]').screenshot()
        _write(FOLDER / f"{name}.jpg", shot)


def _help_prompt(server: ComfyServer) -> dict[str, dict[str, Any]]:
    """A graph in API format with every node of the pack; 1 loads a photo, 2 the damaged one."""
    photos = {"photo.png": sample_photo(), "damaged.png": _damaged_photo()}
    names = [server.upload_image(pixels, name) for name, pixels in photos.items()]
    faces = {"image": ["2", 0], "faces": ["4", 0]}
    swap = {"original": ["2", 0], "swapped": ["17", 0], "model": ["6", 0]}
    source = {"input_image": ["2", 0], "source_image": ["1", 0]}
    nodes: list[tuple[str, dict[str, Any]]] = [
        ("LoadImage", {"image": names[0]}),
        ("LoadImage", {"image": names[1]}),
        ("GPEN_DetectFaces", {"image": ["2", 0]}),
        ("GPEN_SelectFaces", {"faces": ["3", 0], "indices": "0"}),
        ("GPEN_Compare", {"before": ["2", 0], "after": ["7", 0], "faces": ["4", 0]}),
        ("GPEN_LoadModel", {"model_name": NETWORK}),
        ("GPEN_RestoreFaces", {"model": ["6", 0], "image": ["2", 0]}),
        ("GPEN_CropFaces", faces),
        ("GPEN_RestoreCrops", {"model": ["6", 0], "crops": ["8", 0]}),
        ("GPEN_PasteFaces", {**faces, "crops": ["9", 0]}),
        ("PreviewImage", {"images": ["10", 0]}),
        ("GPEN_FaceMask", {**faces, "shape": "ellipse"}),
        ("MaskPreview", {"mask": ["12", 0]}),
        ("GPEN_BlendSwap", swap),
        # They run only if something asks for their pictures.
        ("PreviewImage", {"images": ["7", 0]}),
        ("PreviewImage", {"images": ["14", 0]}),
        ("ReActorFaceSwap", {**_defaults(server, "ReActorFaceSwap"), **source}),
    ]
    return {
        str(number): {"class_type": kind, "inputs": inputs}
        for number, (kind, inputs) in enumerate(nodes, start=1)
    }


def _defaults(server: ComfyServer, node_type: str) -> dict[str, Any]:
    """What the required widgets of a node are at."""
    values = {}
    for name, (kind, *options) in server.object_info(node_type)["input"]["required"].items():
        if isinstance(kind, list):
            values[name] = kind[0]
        if options and "default" in options[0]:
            values[name] = options[0]["default"]
    return values


@cache
def _damaged_photo() -> np.ndarray:
    return damage(sample_photo())


def _face() -> Image.Image:
    left, top, side = FACE
    photo = Image.fromarray(sample_photo())
    return photo.crop((left, top, left + side, top + side)).resize((512, 512))


def _write_clip(file: Path) -> Path:
    """A short clip: a window that moves over the photo."""
    photo = _damaged_photo()
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 448, 448, "yuv420p"
        for i in range(VIDEO_FRAMES):
            frame = av.VideoFrame.from_ndarray(photo[:448, 4 * i : 4 * i + 448].copy(), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file


def _show(page: ComfyPage, node_id: int, node_type: str) -> None:
    """Bring a node into the window, so that its pictures are loaded; a slider at the first face."""
    view = page.show(node_id)
    next_face = view.get_by_role("button", name="Next face")
    if node_type in SLIDERS and next_face.count() and next_face.is_visible():
        next_face.dispatch_event("click")
        page.evaluate("() => window.app.canvas.deselectAll()")  # focus selected the node
        page.settle()


def _shoot(page: ComfyPage, node_ids: Collection[int] = ()) -> bytes:
    """A screenshot of nodes of the graph, all if none is named, with a margin around them."""
    box = page.fit(node_ids)
    page.page.wait_for_load_state("networkidle")
    page.page.wait_for_function(_IS_COMPLETE, arg=list(node_ids))
    page.settle()
    clip = FloatRect(
        x=box["x"] - MARGIN_PX,
        y=box["y"] - MARGIN_PX,
        width=box["width"] + 2 * MARGIN_PX,
        height=box["height"] + 2 * MARGIN_PX,
    )
    return page.page.screenshot(clip=clip)


def _write(file: Path, screenshot: bytes, max_width: int | None = None) -> None:
    """Write a screenshot as JPEG, shrunk to a width in pixels if it is wider."""
    with Image.open(io.BytesIO(screenshot)) as picture:
        image = picture.convert("RGB")
    _save(file, image, max_width)


def _save(file: Path, image: Image.Image, max_width: int | None = None) -> None:
    if max_width is not None and image.width > max_width:
        image = ImageOps.contain(image, (max_width, image.height), Image.Resampling.LANCZOS)
    image.save(file, quality=JPEG_QUALITY, optimize=True)
    print(f"{file} ({file.stat().st_size // 1024} KB)", flush=True)


_SET = """([id, name, value]) => {
    const widget = window.app.graph.getNodeById(id).widgets.find(widget => widget.name === name);
    widget.value = value;
    widget.callback?.(value);
}"""

_WIDTH = """() => {
    const nodes = window.app.graph.nodes;
    return Math.max(...nodes.map(node => node.pos[0] + node.size[0]))
        - Math.min(...nodes.map(node => node.pos[0]));
}"""

_IS_COMPLETE = """ids => window.app.graph.nodes
    .filter(node => !ids.length || ids.includes(node.id))
    .filter(node => /^(Save|Preview)Image$/.test(node.type) && node.mode === 0)
    .every(node => node.imgs?.every(image => image.complete))"""

_LAY_OUT = """() => {
    let x = 0;
    for (const node of window.app.graph.nodes) {
        const least = node.computeSize();
        const view = node._gpenView ? 160 : /LoadModel|RestoreCrops/.test(node.type) ? 90 : 0;
        node.setSize([380, /Preview/.test(node.type) ? 400 : least[1] + view]);
        node.pos = [x, 0];
        x += 440;
    }
}"""


if __name__ == "__main__":
    sys.exit(main())
