"""What a view shows, read from a screenshot."""

import io
import time

import numpy as np
from PIL import Image

PATIENCE_S = 10.0
POLL_INTERVAL_MS = 100


def screenshot(locator) -> np.ndarray:
    """(H, W, 3) uint8 RGB pixels of an element as they are on the screen."""
    with Image.open(io.BytesIO(locator.screenshot())) as image:
        return np.asarray(image.convert("RGB"))


def color_at(pixels: np.ndarray, x: float, y: float = 0.35) -> tuple[int, int, int]:
    """The colour at a place given as fractions of width and height."""
    row, column = int(y * len(pixels)), int(x * pixels.shape[1])
    return tuple(int(level) for level in pixels[row, column])


def drag(page, locator, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag with the mouse between two places given as fractions of the element's size."""
    box = locator.bounding_box()
    points = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in (start, end)]
    mouse = page.page.mouse
    mouse.move(*points[0])
    mouse.down()
    mouse.move(*points[1], steps=5)
    mouse.up()
    page.settle()


def wait_for_colors(page, locate, expected: dict[float, tuple[int, int, int]]) -> None:
    """Wait until the element that ``locate`` returns shows these colours at these shares of x."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        pixels = screenshot(locate())
        colors = {x: color_at(pixels, x) for x in expected}
        if colors == expected or time.monotonic() > deadline:
            break
        page.page.wait_for_timeout(POLL_INTERVAL_MS)
    assert colors == expected
