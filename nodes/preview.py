"""Pictures for the nodes' own views: the before/after slider and the face picker.

They are temporary files that the web page fetches, as those of ComfyUI's Preview Image are. Their
number and size are bounded, so that a long clip costs no more than a few pictures.
"""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from math import sqrt
from pathlib import Path
from typing import Any

import folder_paths
import torch.nn.functional as F
from torch import Tensor

from ..gpen_core import FaceOrder, Faces, long_sides, number_faces
from .types import Frame, HostedFaces

_MAX_FRAMES = 16
_MAX_PIXELS = 32e6
"""Of all pictures of a node together; more are shrunk to it."""
_WRITERS = 4

Json = dict[str, Any]


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


def host_faces(images: Tensor, faces: Faces) -> HostedFaces:
    """Faces with pictures of the (B, C, H, W) images in [0, 1] that they were found in."""
    frames = _save(images, _spread(len(images)), _MAX_PIXELS)
    return HostedFaces(faces, len(images), tuple(frames))


def numbered_faces_ui(
    hosted: HostedFaces,
    text: str,
    *,
    order: str = FaceOrder.LARGE_SMALL.value,
    indices: str = "",
    min_size: int = 0,
    min_score: float = 0.0,
) -> Json:
    """Pictures of the faces with the numbers by which Select Faces knows them, and the node's text.

    Args:
        hosted: What to show.
        text: What the node says.
        order: The value of that widget of Select Faces, and so are the others.
        indices: Which numbers it keeps.
        min_size: Smallest size of a face that has a number, in pixels.
        min_score: Smallest score of a face that has a number, in [0, 1].
    """
    faces = hosted.faces
    # In every order, so that the view can follow the widget without counting by itself.
    numbers = {
        order.value: number_faces(faces, order=order, min_size=min_size, min_score=min_score)
        for order in FaceOrder
    }
    shown = []
    for frame in hosted.frames:
        rows = (faces.image_index == frame.index).nonzero().flatten()
        described = _faces_json(faces.select(rows))
        for row, face in zip(rows.tolist(), described, strict=True):
            face["numbers"] = {order: int(known[row]) for order, known in numbers.items()}
        shown.append({**_frame_json(frame), "picture": frame.picture, "faces": described})
    run = {"total": hosted.n_images, "frames": shown, "order": order, "indices": indices}
    run |= {"min_size": min_size, "min_score": min_score}
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
