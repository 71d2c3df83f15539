"""A sheet of what each preset of Degrade Image does to a face, for its help page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from comfy_client import ComfyClient

NODE = "GPEN_Degrade"
SEED = 8
COLUMNS = 3
PICTURE_PX = 280
JPEG_QUALITY = 80


def write_preset_sheet(server: ComfyClient, face: Image.Image, file: Path) -> None:
    """Degrade a face with every preset in a running ComfyUI and write them side by side.

    Args:
        server: With the pack in it.
        face: Square; the first on the sheet, as it is.
        file: Where to write the sheet, as JPEG.
    """
    widgets = server.object_info(NODE)["input"]["required"]
    defaults = {name: spec[1]["default"] for name, spec in widgets.items() if "default" in spec[1]}
    presets = [name for name in widgets["preset"][1]["options"] if name != "custom"]
    name = server.upload_image(np.asarray(face), "face.png")
    prompt: dict[str, Any] = {"face": {"class_type": "LoadImage", "inputs": {"image": name}}}
    for preset in presets:
        inputs = {**defaults, "image": ["face", 0], "preset": preset, "seed": SEED}
        prompt[preset] = {"class_type": NODE, "inputs": inputs}
        shown = {"images": [preset, 0]}
        prompt[f"{preset} shown"] = {"class_type": "PreviewImage", "inputs": shown}
    result = server.run(prompt)
    pictures = {"as it was": face}
    for preset in presets:
        (reference,) = result.images(f"{preset} shown")
        pictures[preset] = Image.fromarray(server.read_image(reference))
    n_rows = -(-len(pictures) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * PICTURE_PX, n_rows * PICTURE_PX))
    for i, (label, picture) in enumerate(pictures.items()):
        cell = picture.resize((PICTURE_PX, PICTURE_PX))
        font = ImageFont.load_default(20)
        ImageDraw.Draw(cell).text((8, 6), label, "white", font, stroke_width=2, stroke_fill="black")
        sheet.paste(cell, (i % COLUMNS * PICTURE_PX, i // COLUMNS * PICTURE_PX))
    sheet.save(file, quality=JPEG_QUALITY, optimize=True)
    print(f"{file} ({file.stat().st_size // 1024} KB)", flush=True)
