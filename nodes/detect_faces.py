"""IMAGE -> GPEN_FACES, with a preview."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..gpen_core import FaceOrder, draw_faces, select_faces
from .host import to_channels_first, to_channels_last
from .preview import host_faces, numbered_faces_ui
from .report import count_text
from .schema import node_schema
from .types import GpenFacesSocket
from .widget_values import checks_widgets
from .widgets import detector_inputs, load_and_find


class GpenDetectFaces(io.ComfyNode):
    """Find the faces in a batch of images."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Sockets and widgets."""
        return node_schema(
            node_id="GPEN_DetectFaces",
            search_aliases=["face detection", "find faces", "retinaface", "landmarks"],
            display_name="Detect Faces (GPEN)",
            description=(
                "Finds every face and its five landmarks, and shows them numbered from the "
                "largest. Connect the faces to Restore Faces (GPEN) to restore exactly these."
            ),
            shown=(
                "detector",
                "threshold",
                "min_face_size",
            ),
            inputs=[
                io.Image.Input("image", tooltip="One image or a batch, RGB or RGBA."),
                *detector_inputs(),
            ],
            outputs=[
                GpenFacesSocket.Output(
                    "faces",
                    display_name="faces",
                    tooltip="Boxes, landmarks and scores of all faces, the largest first.",
                ),
                io.Image.Output(
                    "preview",
                    display_name="preview",
                    tooltip="The image with numbered boxes and landmarks drawn on it, RGB.",
                ),
                io.Int.Output(
                    "count", display_name="count", tooltip="Number of faces in all images."
                ),
            ],
            is_output_node=True,  # runs, and shows its faces, with no output connected
        )

    @classmethod
    @checks_widgets
    def execute(cls, image: Tensor, detector: str, **search: Any) -> io.NodeOutput:
        """Find the faces and draw them."""
        images = to_channels_first(image)
        faces = load_and_find(images, detector, search)
        # As Select Faces counts unless told otherwise, so that its numbers are these.
        faces = select_faces(faces, order=FaceOrder.LARGE_SMALL)
        text = f"Found {count_text(len(faces), len(images))}."
        preview = to_channels_last(draw_faces(images, faces))
        hosted = host_faces(images, faces)
        return io.NodeOutput(hosted, preview, len(faces), ui=numbered_faces_ui(hosted, text))
