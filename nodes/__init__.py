"""The nodes of the pack. They adapt sockets and widgets to ``gpen_core``, which does the work."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .blend_swap import GpenBlendSwap
from .compare import GpenCompare
from .crops import GpenCropFaces, GpenPasteFaces, GpenRestoreCrops
from .degrade_image import GpenDegrade
from .detect_faces import GpenDetectFaces
from .face_mask import GpenFaceMask
from .load_model import GpenLoadModel
from .model_folders import register_model_folders
from .restore_faces import GpenRestoreFaces
from .select_faces import GpenSelectFaces


class GpenExtension(ComfyExtension):
    """What ComfyUI loads."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """All nodes of the pack."""
        return [
            GpenLoadModel,
            GpenRestoreFaces,
            GpenDetectFaces,
            GpenSelectFaces,
            GpenCropFaces,
            GpenRestoreCrops,
            GpenPasteFaces,
            GpenFaceMask,
            GpenBlendSwap,
            GpenCompare,
            GpenDegrade,
        ]


async def comfy_entrypoint() -> GpenExtension:
    """Called once by ComfyUI, which asks for ``on_load`` only in newer versions."""
    register_model_folders()
    return GpenExtension()
