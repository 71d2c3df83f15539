"""Write pictures of every workflow and of the views in the nodes into ``docs/images/``.

The workflows run in a real ComfyUI, seen by Chromium. Without a GPEN checkpoint an identity
checkpoint stands in, as in the demo: the nodes then say that nothing was restored. The pictures of
the views need no checkpoint: they compare a photo with a blurred copy of it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageFilter
from playwright.sync_api import Error as BrowserError
from playwright.sync_api import FloatRect

from comfy_browser import ComfyBrowser, ComfyPage
from comfy_client import ComfyServerError
from comfy_server import ComfyServer
from demo import DemoError, ensure_checkpoint, ensure_detector
from environment import REPOSITORY, SetupError
from model_files import models_folders, write_identity_checkpoint

WORKFLOWS = REPOSITORY / "workflows"
FOLDER = REPOSITORY / "docs" / "images"
WINDOW_SIZE = (1720, 1050)
# Of the window: what is not the host's tabs and side bar, in pixels.
CANVAS = FloatRect(x=60.0, y=82.0, width=WINDOW_SIZE[0] - 60.0, height=WINDOW_SIZE[1] - 82.0)
JPEG_QUALITY = 82
VIDEO_FRAMES = 6


def main() -> int:
    """Write the pictures; the exit status is 0, or 1 with the reason on stderr."""
    try:
        take_pictures()
    except (DemoError, ComfyServerError, SetupError, BrowserError, OSError) as error:
        print(f"Screenshots failed. {error}", file=sys.stderr)
        return 1
    return 0


def take_pictures() -> None:
    """Run everything once and write the pictures.

    Raises:
        DemoError: The detector is missing.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gpen-screenshots-") as temporary:
        folder = Path(temporary)
        ensure_detector()
        checkpoint = ensure_checkpoint()
        stand_in = [] if checkpoint is not None else [folder]
        checkpoint = checkpoint or write_identity_checkpoint(folder)
        print(f"Checkpoint: {checkpoint.name}. Starting ComfyUI ...", flush=True)
        models = [*stand_in, *models_folders()]
        with ComfyServer(models=models) as server, ComfyBrowser() as browser:
            page = browser.open(server, size=WINDOW_SIZE)
            for file in sorted(WORKFLOWS.glob("*.json")):
                _picture_workflow(page, server, file, checkpoint.name, folder)
            page.close()
            page = browser.open(server, vue_nodes=True, size=WINDOW_SIZE)
            _picture_views(page, server)


def _picture_workflow(
    page: ComfyPage, server: ComfyServer, file: Path, checkpoint: str, folder: Path
) -> None:
    """Open a workflow with a sample in place of what it loads, run it and take its picture."""
    workflow = json.loads(file.read_text("utf-8"))
    photo = server.upload_image(_photo(), "astronaut.png")
    samples = {"LoadImage": photo, "GPEN_LoadModel": checkpoint}
    if any(node["type"] == "LoadVideo" for node in workflow["nodes"]):
        samples["LoadVideo"] = server.upload_image(_write_clip(folder / "clip.mp4"))
    for node in workflow["nodes"]:
        if node["type"] in samples:
            node["widgets_values"][0] = samples[node["type"]]
    page.load_workflow(workflow)
    page.run()
    for node in workflow["nodes"]:
        if node["type"] in ("GPEN_RestoreFaces", "GPEN_DetectFaces", "GPEN_SelectFaces"):
            page.show(node["id"])  # so that its pictures are loaded
    page.fit()
    page.page.wait_for_load_state("networkidle")
    _write(FOLDER / f"workflow_{file.stem}.jpg", page.page.screenshot(clip=CANVAS))


def _picture_views(page: ComfyPage, server: ComfyServer) -> None:
    photo = Image.fromarray(_photo())
    blurred = photo.filter(ImageFilter.GaussianBlur(3))
    names = [
        server.upload_image(np.asarray(image), name)
        for image, name in ((blurred, "blurred.png"), (photo, "photo.png"))
    ]
    prompt: dict[str, dict[str, Any]] = {
        "1": {"class_type": "LoadImage", "inputs": {"image": names[0]}},
        "2": {"class_type": "LoadImage", "inputs": {"image": names[1]}},
        "3": {"class_type": "GPEN_DetectFaces", "inputs": {"image": ["2", 0]}},
        "4": {"class_type": "GPEN_SelectFaces", "inputs": {"faces": ["3", 0], "indices": "0"}},
        "5": {
            "class_type": "GPEN_Compare",
            "inputs": {"before": ["1", 0], "after": ["2", 0], "faces": ["4", 0]},
        },
    }
    page.build(prompt)
    page.evaluate("() => { for (const n of window.app.graph.nodes) n.setSize([420, 600]); }")
    page.run()
    for node, name in ((3, "detect_faces"), (4, "face_picker"), (5, "before_after")):
        page.show(node)
        page.page.wait_for_load_state("networkidle")
        shot = page.page.locator(f'[data-node-id="{node}"]').screenshot()
        _write(FOLDER / f"{name}.jpg", shot)


def _photo() -> np.ndarray:
    from skimage.data import astronaut

    return np.asarray(astronaut())  # type: ignore[no-untyped-call]


def _write_clip(file: Path) -> Path:
    """A short clip: a window that moves over the photo."""
    photo = _photo()
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 448, 448, "yuv420p"
        for i in range(VIDEO_FRAMES):
            frame = av.VideoFrame.from_ndarray(photo[:448, 4 * i : 4 * i + 448].copy(), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file


def _write(file: Path, screenshot: bytes) -> None:
    temporary = file.with_suffix(".png")
    temporary.write_bytes(screenshot)
    with Image.open(temporary) as image:
        image.convert("RGB").save(file, quality=JPEG_QUALITY, optimize=True)
    temporary.unlink()
    print(f"{file} ({file.stat().st_size // 1024} KB)", flush=True)


if __name__ == "__main__":
    sys.exit(main())
