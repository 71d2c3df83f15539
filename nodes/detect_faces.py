"""IMAGE -> GPEN_FACES, with a preview."""

from __future__ import annotations

from comfy_api.latest import io, ui
from torch import Tensor

from ..gpen_core import Faces, detect_faces
from ..gpen_core.annotation import draw_faces
from ..gpen_core.detection import DEFAULT_DETECTION_SIZE, DEFAULT_THRESHOLD
from ..gpen_core.registry import DETECTOR_MODELS
from .host import (
    AUTO,
    check_interrupt,
    load_detector_on_device,
    progress_bar,
    show_text,
    to_channels_first,
    to_channels_last,
)
from .types import CATEGORY, GpenFacesSocket

_MAX_PREVIEWS = 16


def detector_inputs() -> list[io.Input]:
    """The widgets that say how faces are found."""
    return [
        io.Combo.Input(
            "detector",
            options=[AUTO, *DETECTOR_MODELS],
            default=AUTO,
            tooltip=(
                "RetinaFace variant, read from models/facedetection. resnet50 (109 MB) misses "
                "fewer faces, mobile0.25 (1.8 MB) is faster. auto: resnet50 if its file is "
                "there, else mobile0.25."
            ),
        ),
        io.Int.Input(
            "detection_size",
            default=DEFAULT_DETECTION_SIZE,
            min=0,
            max=4096,
            step=32,
            tooltip=(
                "Short side, in pixels, of the copy in which faces are looked for; larger images "
                "are shrunk to it. Higher finds smaller faces, lower avoids false ones in large "
                "portraits. 0: full resolution."
            ),
        ),
        io.Float.Input(
            "threshold",
            default=DEFAULT_THRESHOLD,
            min=0.05,
            max=1.0,
            step=0.01,
            tooltip="Confidence a face needs. Low: more faces, some false. High: only sure ones.",
        ),
    ]


def find_faces(images: Tensor, detector: str, detection_size: int, threshold: float) -> Faces:
    """Detect the faces of a batch of (B, C, H, W) images with the host's progress and cancel."""
    return detect_faces(
        images,
        load_detector_on_device(detector),
        detection_size=detection_size,
        threshold=threshold,
        on_progress=progress_bar(len(images)),
        check_interrupt=check_interrupt,
    )


def count_text(n_faces: int, n_images: int) -> str:
    """'3 faces in 2 images', in proper English."""
    faces = "1 face" if n_faces == 1 else f"{n_faces} faces"
    return f"{faces} in {'1 image' if n_images == 1 else f'{n_images} images'}"


class GpenDetectFaces(io.ComfyNode):
    """Find the faces in a batch of images."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Sockets and widgets."""
        return io.Schema(
            node_id="GPEN_DetectFaces",
            display_name="Detect Faces (GPEN)",
            category=CATEGORY,
            description=(
                "Finds every face and its five landmarks, and shows them numbered. Connect the "
                "faces to Restore Faces (GPEN) to restore exactly these."
            ),
            inputs=[
                io.Image.Input("image", tooltip="One image or a batch, RGB or RGBA."),
                *detector_inputs(),
            ],
            outputs=[
                GpenFacesSocket.Output(
                    "faces",
                    display_name="faces",
                    tooltip="Boxes, landmarks and scores of all faces, best first in each image.",
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
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls, image: Tensor, detector: str, detection_size: int, threshold: float
    ) -> io.NodeOutput:
        """Find the faces and draw them."""
        images = to_channels_first(image)
        faces = find_faces(images, detector, detection_size, threshold)
        show_text(f"Found {count_text(len(faces), len(images))}.", cls.hidden.unique_id)
        preview = to_channels_last(draw_faces(images, faces))
        return io.NodeOutput(
            faces, preview, len(faces), ui=ui.PreviewImage(preview[:_MAX_PREVIEWS], cls=cls)
        )
