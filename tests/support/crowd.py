"""A group photo with 29 faces, made of the one that scikit-image has: no file is needed."""

from functools import cache

import cv2
import numpy as np
import skimage.data

N_FACES = 29
HEIGHT, WIDTH = 568, 1328
_HEAD = (slice(5, 345), slice(95, 355))  # down to the chest
_ROW_PX, _COLUMN_PX = 188, 131


@cache
def crowd() -> np.ndarray:
    """(568, 1328, 3) uint8, grey: three rows of heads, no two of one size, light or stretch."""
    draw = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    picture = 150 + 30 * np.sin(x / 300) + 20 * np.cos(y / 120) + draw.normal(0, 3, x.shape)
    head = cv2.cvtColor(skimage.data.astronaut()[_HEAD], cv2.COLOR_RGB2GRAY).astype(np.float32)
    edge = np.zeros_like(head)
    edge[20:-20, 20:-20] = 1
    edge = cv2.GaussianBlur(edge, (0, 0), 8)
    scales = draw.permutation(np.linspace(0.34, 0.46, N_FACES))
    for i, scale in enumerate(scales):
        row, column = divmod(i, 10)
        face = 255 * (head / 255) ** draw.uniform(0.8, 1.3) * draw.uniform(0.8, 1)
        # Light from one side, and from the other.
        face *= np.linspace(1, draw.uniform(0.7, 1), face.shape[1], dtype=np.float32)
        stretch = draw.uniform(0.95, 1.05)
        size = (round(face.shape[1] * scale * stretch), round(face.shape[0] * scale / stretch))
        face, share = (cv2.resize(a, size, interpolation=cv2.INTER_AREA) for a in (face, edge))
        if i % 2:
            face = face[:, ::-1]
        top = 5 + _ROW_PX * row + draw.integers(0, 20)
        left = 4 + _COLUMN_PX * column + draw.integers(0, 10)
        place = picture[top : top + size[1], left : left + size[0]]
        place += (face - place) * share
    grey = picture.clip(0, 255).round().astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)
