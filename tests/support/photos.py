"""Photos with faces, and the detector that finds them: loaded once, and changed by no test."""

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from gpen_core import Faces, detect_faces, load_detector
from gpen_core.faces.retinaface import FaceDetector

from .crowd import crowd


def to_tensor(pixels: np.ndarray) -> torch.Tensor:
    """(1, 3, H, W) float32 in [0, 1] of (H, W, C) or grey (H, W) uint8 pixels, without alpha."""
    pixels = np.stack([pixels] * 3, -1) if pixels.ndim == 2 else pixels[..., :3]
    return torch.from_numpy(np.ascontiguousarray(pixels)).movedim(-1, 0)[None].float() / 255


@pytest.fixture(scope="session")
def detector() -> FaceDetector:
    """The bundled face detector on the CPU."""
    return load_detector()


@pytest.fixture(scope="session")
def astronaut_pixels() -> np.ndarray:
    """(512, 512, 3) uint8: one face of 94 x 122 pixels."""
    return skimage.data.astronaut()


@pytest.fixture(scope="session")
def astronaut(astronaut_pixels) -> torch.Tensor:
    """(1, 3, 512, 512) in [0, 1]: the same."""
    return to_tensor(astronaut_pixels)


@pytest.fixture(scope="session")
def group() -> torch.Tensor:
    """(1, 3, 568, 1328) in [0, 1]: 29 faces of one man."""
    return to_tensor(crowd())


@pytest.fixture(scope="session")
def solvay(test_data) -> torch.Tensor:
    """(1, 3, H, W) in [0, 1]: the 29 people of the Solvay conference of 1927."""
    with Image.open(test_data / "images" / "Solvay_conference_1927.png") as image:
        return to_tensor(np.array(image))


@pytest.fixture(scope="session")
def sitters(detector, solvay) -> Faces:
    """Their faces."""
    faces = detect_faces(solvay, detector)
    assert len(faces) == 29
    return faces
