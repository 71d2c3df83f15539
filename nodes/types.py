"""The pack's own socket types and what travels through them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from ..gpen_core import Faces, GpenGenerator

CATEGORY = "image/face restoration"

GpenModelSocket = io.Custom("GPEN_MODEL")
GpenFacesSocket = io.Custom("GPEN_FACES")
ReactorFaceModelSocket = io.Custom("FACE_MODEL")


@dataclass(frozen=True)
class Frame:
    """A picture of one image of a batch, for the web page."""

    index: int
    """Which image of the batch it is."""
    height: int
    """Of the image, in pixels; the picture may be smaller."""
    width: int
    picture: dict[str, Any]
    """How the web page asks for it."""


@dataclass(frozen=True, eq=False)
class HostedFaces:
    """Faces with pictures of the images that they were found in: what a GPEN_FACES socket holds."""

    faces: Faces
    n_images: int
    frames: tuple[Frame, ...]
    """Of the images, or of some of them evenly spread."""


@dataclass(frozen=True)
class HostedModel:
    """A GPEN network in ComfyUI's memory management."""

    name: str
    """The file it came from."""
    notice: str
    """What the file says users should know; mostly nothing."""
    patcher: ModelPatcher

    @property
    def network(self) -> GpenGenerator:
        """The network, on whatever device it is at the moment."""
        network = self.patcher.model
        assert isinstance(network, GpenGenerator)
        return network
