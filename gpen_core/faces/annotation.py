"""Draw detected faces on their images, for people to look at."""

from __future__ import annotations

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .faces import Faces

_BOX_COLOR = (80, 220, 100)
_TEXT_COLOR = (0, 0, 0)
_LANDMARK_COLOR = (255, 200, 0)


def draw_faces(images: Tensor, faces: Faces) -> Tensor:
    """Number the faces of each image and draw their boxes and landmarks.

    Args:
        images: (B, C, H, W) floating, C >= 3, RGB first, in [0, 1].
        faces: Numbered from 0 within each image, in the order given.

    Returns:
        (B, 3, H, W) float32 in [0, 1] on the images' device; images with faces on them are
        rounded to 8 bits.
    """
    drawn = images[:, :3].to(torch.float32, copy=True)
    for index in sorted(set(faces.image_index.tolist())):
        pixels = (drawn[index].clamp(0, 1) * 255).round().to("cpu", torch.uint8)
        picture = Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
        _draw(picture, faces.of_image(index))
        data = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
        drawn[index] = data.view(*pixels.shape[1:], 3).permute(2, 0, 1).to(drawn.device) / 255
    return drawn


def _draw(picture: Image.Image, faces: Faces) -> None:
    short_side = min(picture.size)
    line_width = max(1, round(short_side / 400))
    font = ImageFont.load_default(size=max(11, round(short_side / 35)))
    canvas = ImageDraw.Draw(picture)
    for number, (box, points) in enumerate(
        zip(faces.boxes.tolist(), faces.landmarks.tolist(), strict=True)
    ):
        canvas.rectangle(box, outline=_BOX_COLOR, width=line_width)
        for x, y in points:
            radius = line_width
            canvas.ellipse((x - radius, y - radius, x + radius, y + radius), _LANDMARK_COLOR)
        # The number stands on a tab above the box, or inside it at the image's edge.
        _, _, right, bottom = canvas.textbbox((0, 0), str(number), font=font)
        width, height = right + 2 * line_width + 2, bottom + 2 * line_width
        x, y = box[0], box[1] - height if box[1] >= height else box[1]
        canvas.rectangle((x, y, x + width, y + height), fill=_BOX_COLOR)
        canvas.text((x + line_width + 1, y + line_width), str(number), _TEXT_COLOR, font=font)
