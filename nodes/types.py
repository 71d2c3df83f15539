"""The pack's own socket types and what travels through them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io
from torch import nn

from ..gpen_core import Faces, GpenGenerator

NetworkT = TypeVar("NetworkT", bound=nn.Module)

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
class Hosted(Generic[NetworkT]):
    """A network in ComfyUI's memory management."""

    patcher: ModelPatcher
    working_bytes: int
    """What it needs beside its weights for the least that it does in one call."""

    @property
    def network(self) -> NetworkT:
        """The network, on whatever device it is at the moment."""
        return cast(NetworkT, self.patcher.model)


@dataclass(frozen=True)
class HostedModel(Hosted[GpenGenerator]):
    """A GPEN network: what a GPEN_MODEL socket holds."""

    name: str
    """The file it came from."""
    notice: str
    """What the file says users should know; mostly nothing."""
