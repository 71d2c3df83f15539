"""GPEN_FACES -> some of them, in a chosen order."""

from __future__ import annotations

from dataclasses import replace

from comfy_api.latest import io

from ..gpen_core import FaceOrder, select_faces
from .preview import numbered_faces_ui
from .schema import node_schema
from .types import GpenFacesSocket, HostedFaces
from .widget_values import checks_widgets


class GpenSelectFaces(io.ComfyNode):
    """Choose which faces to go on with."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Sockets and widgets."""
        return node_schema(
            node_id="GPEN_SelectFaces",
            search_aliases=["pick faces", "filter faces", "face index", "reactor index"],
            display_name="Select Faces (GPEN)",
            description=(
                "Keeps some of the faces of each image, chosen by size, score and number. Faces "
                "are counted in the same orders as in ReActor."
            ),
            inputs=[
                GpenFacesSocket.Input("faces", tooltip="From Detect Faces (GPEN)."),
                io.Combo.Input(
                    "order",
                    options=FaceOrder,
                    default=FaceOrder.LARGE_SMALL,
                    tooltip=(
                        "How the faces of an image are counted, as in ReActor: by the area of the "
                        "box, by its left edge or by its upper edge. Number 0 is the first: with "
                        "large-small the largest, with left-right the one furthest left."
                    ),
                ),
                io.String.Input(
                    "indices",
                    default="",
                    tooltip=(
                        "Numbers of the faces to keep in each image, from 0, in the chosen order: "
                        "'0' is the first, '0,2' the first and the third, '0-3' the first four. "
                        "Empty: all. Numbers that an image does not have are ignored."
                    ),
                ),
                io.Int.Input(
                    "min_size",
                    default=0,
                    min=0,
                    max=8192,
                    step=8,
                    tooltip=(
                        "Minimum size of a face: the longer side of its box, in pixels of the "
                        "image. Smaller ones are dropped before counting. 0: any size. 8192: only "
                        "faces that fill an 8K image."
                    ),
                ),
                io.Float.Input(
                    "min_score",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip=(
                        "Minimum confidence of the detector. Less certain faces are dropped "
                        "before counting. 0: all that were detected. 1: hardly any."
                    ),
                ),
                io.Boolean.Input(
                    "largest_only",
                    default=False,
                    tooltip=(
                        "On: of the faces that the other settings leave, only the largest of each "
                        "image. Off: all of them."
                    ),
                ),
            ],
            outputs=[
                GpenFacesSocket.Output(
                    "selected",
                    display_name="faces",
                    tooltip=(
                        "The kept faces, image by image, in the chosen order. There may be none."
                    ),
                ),
                io.Int.Output(
                    "count",
                    display_name="count",
                    tooltip="Number of faces kept in all images; 0 if none are left.",
                ),
            ],
            is_output_node=True,  # runs, and shows its faces, with no output connected
        )

    @classmethod
    @checks_widgets
    def execute(
        cls,
        faces: HostedFaces,
        order: str,
        indices: str,
        min_size: int,
        min_score: float,
        largest_only: bool,
    ) -> io.NodeOutput:
        """Select and count."""
        selected = select_faces(
            faces.faces,
            order=order,
            indices=indices,
            min_size=min_size,
            min_score=min_score,
            largest_only=largest_only,
        )
        text = f"Kept {len(selected)} of {len(faces.faces)} faces."
        shown = numbered_faces_ui(
            faces,
            text,
            order=order,
            indices=indices,
            min_size=min_size,
            min_score=min_score,
        )
        return io.NodeOutput(replace(faces, faces=selected), len(selected), ui=shown)
