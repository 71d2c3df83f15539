"""The pack's own socket types and what travels through them."""

from __future__ import annotations

from dataclasses import dataclass

from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from ..gpen_core import GpenGenerator

CATEGORY = "image/face restoration"

GpenModelSocket = io.Custom("GPEN_MODEL")
GpenFacesSocket = io.Custom("GPEN_FACES")
ReactorFaceModelSocket = io.Custom("FACE_MODEL")


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
