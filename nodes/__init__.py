"""The nodes of the pack. They adapt sockets and widgets to ``gpen_core``, which does the work."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .detect_faces import GpenDetectFaces
from .host import register_model_folders
from .load_model import GpenLoadModel
from .restore_faces import GpenRestoreFaces


class GpenExtension(ComfyExtension):
    """What ComfyUI loads."""

    async def on_load(self) -> None:
        """Tell ComfyUI where the models are."""
        register_model_folders()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """All nodes of the pack."""
        return [GpenLoadModel, GpenDetectFaces, GpenRestoreFaces]


async def comfy_entrypoint() -> GpenExtension:
    """Called once by ComfyUI."""
    return GpenExtension()
