"""Pictures for the nodes' own views: the before/after slider and the face picker.

They are temporary files that the web page fetches, as those of ComfyUI's Preview Image are. Their
number and size are bounded, so that a long clip costs no more than a few pictures.
"""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import folder_paths
import torch.nn.functional as F
from torch import Tensor

from ..gpen_core import FaceOrder, Faces, long_sides, number_faces

_MAX_FRAMES = 16
_MAX_PIXELS = 32e6
"""Of all pictures of a node together; more are shrunk to it."""
_WRITERS = 4

Json = dict[str, Any]


@dataclass(frozen=True)
class Frame:
    """A picture of one image of a batch."""

    index: int
    """Which image of the batch it is."""
    height: int
    """Of the image, in pixels; the picture may be smaller."""
    width: int
    picture: Json
    """How the web page asks for it."""


# A GPEN_FACES that came from images leads to their pictures, for as long as it lives.
_frames_of_faces: WeakKeyDictionary[Faces, tuple[int, list[Frame]]] = WeakKeyDictionary()


def before_after_ui(
    before: Tensor, after: Tensor, faces: Faces, text: str, scale: tuple[float, float] = (1.0, 1.0)
) -> Json:
    """What the before/after slider shows, and the node's text.

    Args:
        before: (B, C, H, W) in [0, 1].
        after: (B, C, H', W') in [0, 1].
        faces: What to step through.
        text: What the node says.
        scale: What to multiply x and y of the faces with to get to pixels of ``after``.
    """
    indices = _spread(len(after))
    news = _save(after, indices, _MAX_PIXELS / 2)
    olds = news if before is after else _save(before, indices, _MAX_PIXELS / 2)
    frames = [
        {**_frame_json(new), "before": old.picture, "after": new.picture}
        for old, new in zip(olds, news, strict=True)
    ]
    for frame in frames:
        frame["faces"] = _faces_json(faces.of_image(frame["index"]), scale)
    return {"text": (text,), "gpen_compare": [{"total": len(after), "frames": frames}]}


def detected_faces_ui(images: Tensor, faces: Faces, text: str) -> Json:
    """What Detect Faces shows: the faces with their numbers. Select Faces can show them too."""
    frames = _save(images, _spread(len(images)), _MAX_PIXELS)
    _frames_of_faces[faces] = (len(images), frames)
    order = FaceOrder.LARGE_SMALL
    return _numbered_ui(faces, text, order=order.value, indices="", min_size=0, min_score=0.0)


def selected_faces_ui(faces: Faces, selected: Faces, text: str, **widgets: Any) -> Json:
    """What Select Faces shows: the faces it got, with the numbers by which it knows them.

    Args:
        faces: What it got.
        selected: What it made of them; a further Select Faces can show these.
        text: What the node says.
        widgets: The order, indices, min_size and min_score that it was run with.
    """
    if faces in _frames_of_faces:
        _frames_of_faces[selected] = _frames_of_faces[faces]
    return _numbered_ui(faces, text, **widgets)


def _numbered_ui(
    faces: Faces, text: str, *, min_size: int, min_score: float, **widgets: Any
) -> Json:
    total, frames = _frames_of_faces.get(faces, (0, []))
    # In every order, so that the view can follow the widget without counting by itself.
    numbers = {
        order.value: number_faces(faces, order=order, min_size=min_size, min_score=min_score)
        for order in FaceOrder
    }
    shown = []
    for frame in frames:
        rows = (faces.image_index == frame.index).nonzero().flatten()
        described = _faces_json(faces.select(rows))
        for row, face in zip(rows.tolist(), described, strict=True):
            face["numbers"] = {order: int(known[row]) for order, known in numbers.items()}
        shown.append({**_frame_json(frame), "picture": frame.picture, "faces": described})
    run = {"total": total, "frames": shown, "min_size": min_size, "min_score": min_score, **widgets}
    return {"text": (text,), "gpen_faces": [run]}


def _frame_json(frame: Frame) -> Json:
    return {"index": frame.index, "width": frame.width, "height": frame.height}


def _faces_json(faces: Faces, scale: tuple[float, float] = (1.0, 1.0)) -> list[Json]:
    factors = faces.boxes.new_tensor([*scale, *scale])
    return [
        {
            "box": [round(edge, 1) for edge in box],
            "size": round(size),
            "score": round(score, 3),
        }
        for box, size, score in zip(
            (faces.boxes * factors).tolist(),
            long_sides(faces.boxes).tolist(),
            faces.scores.tolist(),
            strict=True,
        )
    ]


def _spread(count: int) -> list[int]:
    """All images of a batch, or the first, the last and some between."""
    if count <= _MAX_FRAMES:
        return list(range(count))
    return [round(i * (count - 1) / (_MAX_FRAMES - 1)) for i in range(_MAX_FRAMES)]


def _save(images: Tensor, indices: list[int], max_pixels: float) -> list[Frame]:
    """Write some of (B, C, H, W) images as temporary files, without alpha and without loss."""
    height, width = images.shape[2:]
    share = max_pixels / max(len(indices), 1)
    scale = min(1.0, sqrt(share / (height * width)))
    size = (max(1, int(height * scale)), max(1, int(width * scale)))
    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    name = f"gpen_{uuid.uuid4().hex[:12]}"

    def save(index: int) -> Frame:
        filename = f"{name}_{index:05}.png"
        _write_png(folder / filename, images[index], size)
        picture = {"filename": filename, "subfolder": "", "type": "temp"}
        return Frame(index, height, width, picture)

    with ThreadPoolExecutor(_WRITERS) as pool:
        return list(pool.map(save, indices))


def _write_png(path: Path, image: Tensor, size: tuple[int, int]) -> None:
    """Write a (C, H, W) image in [0, 1], shrunk to a size, quickly rather than small."""
    import cv2  # here, because importing the pack must stay quick

    pixels = image[:3].detach().float()
    if pixels.shape[1:] != size:
        pixels = F.interpolate(pixels[None], size, mode="area")[0]
    rgb = (pixels.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    settings = (
        cv2.IMWRITE_PNG_COMPRESSION,
        1,
        cv2.IMWRITE_PNG_STRATEGY,
        cv2.IMWRITE_PNG_STRATEGY_RLE,
    )
    _, encoded = cv2.imencode(".png", rgb[..., ::-1], settings)
    path.write_bytes(encoded.tobytes())  # cv2.imwrite cannot write every name on Windows
