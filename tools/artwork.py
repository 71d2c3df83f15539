"""Make the pack's icon and banner in ``docs/images/``: a face, half as it was and half restored.

That of the icon is drawn; that of the banner is the sample's, restored by the bundled network.
"""

from __future__ import annotations

import sys

from PIL import Image, ImageDraw, ImageFont
from torchvision.transforms.functional import to_pil_image

from environment import REPOSITORY
from sample import damage, sample_photo, to_images

sys.path.append(str(REPOSITORY))  # appended, so that the pack's nodes/ shadows nothing

from gpen_core import BUNDLED_RESTORER, detect_faces, load_detector, load_model, restore_faces

FOLDER = REPOSITORY / "docs" / "images"
ICON_SIZE = 400  # at most, in the Comfy Registry
BANNER_SIZE = (1260, 540)  # 21:9
OVERSAMPLING = 4
N_BLOCKS = 14
FACE = (112, 8, 324, 220)
"""Left, top, right and bottom, in pixels of the sample."""

BACKGROUND = (24, 28, 38)
GLOW = (42, 52, 74)
SKIN = (238, 184, 150)
SHADE = (214, 150, 118)
HAIR = (74, 48, 44)
EYE = (250, 248, 244)
IRIS = (52, 112, 140)
DARK = (36, 26, 30)
LIPS = (190, 84, 86)
CLOTHES = (58, 128, 140)
LINE = (255, 205, 92)
TEXT = (244, 244, 246)
FAINT = (166, 174, 190)


def main() -> int:
    """Write both pictures."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, picture in (("icon", draw_icon()), ("banner", draw_banner())):
        file = FOLDER / f"{name}.png"
        picture.quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)
        print(f"{file.relative_to(REPOSITORY)} ({file.stat().st_size // 1024} KB)")
    return 0


def draw_icon() -> Image.Image:
    """The face with rounded corners around it."""
    face = half_restored(ICON_SIZE)
    mask = Image.new("L", (ICON_SIZE * OVERSAMPLING,) * 2)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, *mask.size), mask.width // 7, fill=255)
    face.putalpha(mask.resize(face.size, Image.Resampling.LANCZOS))
    return face


def draw_banner() -> Image.Image:
    """The sample's face beside the name of the pack."""
    width, height = BANNER_SIZE
    banner = Image.new("RGB", BANNER_SIZE, BACKGROUND)
    photo = sample_photo()
    damaged = to_images(damage(photo))
    faces = detect_faces(to_images(photo), load_detector())
    restored = restore_faces(damaged, faces, load_model(BUNDLED_RESTORER)).images
    halves = [
        to_pil_image(images[0]).resize((height, height), Image.Resampling.BICUBIC, FACE)
        for images in (damaged, restored)
    ]
    banner.paste(_join(*halves), (width - height, 0))
    draw = ImageDraw.Draw(banner)
    draw.text((70, 178), "GPEN Face Restore", TEXT, ImageFont.load_default(68))
    draw.text((74, 276), "Every face of every frame,", FAINT, ImageFont.load_default(36))
    draw.text((74, 324), "blended back in full precision.", FAINT, ImageFont.load_default(36))
    return banner


def half_restored(size: int) -> Image.Image:
    """The drawn face: its left half in blocks, its right half as drawn."""
    sharp = draw_face(size * OVERSAMPLING).resize((size, size), Image.Resampling.LANCZOS)
    coarse = sharp.resize((N_BLOCKS, N_BLOCKS), Image.Resampling.BOX)
    return _join(coarse.resize((size, size), Image.Resampling.NEAREST), sharp)


def _join(before: Image.Image, after: Image.Image) -> Image.Image:
    """The left half of a square and the right half of another, with a slider between."""
    joined, size = after.copy(), after.width
    middle = size // 2
    joined.paste(before.crop((0, 0, middle, size)), (0, 0))
    draw = ImageDraw.Draw(joined)
    draw.line((middle, 0, middle, size), LINE, max(2, size // 90))
    radius = size // 26
    at = (middle, size - size // 9)
    draw.circle(at, radius, LINE)
    for side in (-1, 1):
        tip = at[0] + side * radius * 0.62
        inner = at[0] + side * radius * 0.2
        draw.polygon(
            ((tip, at[1]), (inner, at[1] - radius * 0.42), (inner, at[1] + radius * 0.42)),
            BACKGROUND,
        )
    return joined


def draw_face(size: int) -> Image.Image:
    """A face from simple shapes, in a square of ``size`` pixels."""
    picture = Image.new("RGB", (size, size), BACKGROUND)
    draw = ImageDraw.Draw(picture)

    def box(x: float, y: float, half_width: float, half_height: float) -> tuple[float, ...]:
        """Left, top, right and bottom from a centre, all in thousandths of the picture."""
        edges = (x - half_width, y - half_height, x + half_width, y + half_height)
        return tuple(edge * size / 1000 for edge in edges)

    draw.ellipse(box(500, 470, 430, 430), GLOW)
    draw.ellipse(box(500, 1010, 360, 230), CLOTHES)
    draw.ellipse(box(500, 400, 285, 300), HAIR)
    draw.rounded_rectangle(box(500, 560, 285, 190), size * 0.1, HAIR)
    draw.rounded_rectangle(box(500, 740, 85, 130), size * 0.08, SHADE)
    for side in (-1, 1):
        draw.ellipse(box(500 + side * 232, 500, 38, 62), SHADE)
    draw.ellipse(box(500, 490, 225, 290), SKIN)
    draw.chord(box(500, 370, 242, 215), 180, 360, HAIR)
    for side in (-1, 1):
        x = 500 + side * 98
        draw.ellipse(box(x, 470, 54, 31), EYE)
        draw.ellipse(box(x, 470, 29, 29), IRIS)
        draw.ellipse(box(x, 470, 14, 14), DARK)
        draw.ellipse(box(x + 10, 460, 7, 7), EYE)
        draw.arc(box(x, 478, 62, 46), 195, 345, DARK, size // 90)
        draw.arc(box(x, 432, 78, 46), 200, 340, HAIR, size // 48)
        draw.ellipse(box(500 + side * 128, 580, 44, 26), (240, 166, 138))
    draw.arc(box(512, 560, 34, 40), 20, 150, SHADE, size // 70)
    draw.line([c * size / 1000 for c in (510, 470, 496, 566)], SHADE, size // 90)
    draw.chord(box(500, 660, 82, 44), 0, 180, LIPS)
    draw.ellipse(box(460, 662, 44, 15), LIPS)
    draw.ellipse(box(540, 662, 44, 15), LIPS)
    draw.arc(box(500, 640, 84, 30), 20, 160, DARK, size // 130)
    return picture


if __name__ == "__main__":
    sys.exit(main())
