"""The two halves of restoring, and the network between them, as nodes of their own."""

from __future__ import annotations

import time
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..gpen_core import BlendSettings, crop_faces, paste_faces, restore_crops
from .host import (
    faces_at_once,
    fit_masks,
    load_together,
    show_text,
    to_channels_first,
    to_channels_last,
)
from .progress import face_monitor, node_monitor
from .report import restored_text
from .schema import node_schema
from .types import GpenFacesSocket, GpenModelSocket, HostedFaces, HostedModel
from .widget_values import checks_widgets
from .widgets import blend_inputs, template_input


class GpenCropFaces(io.ComfyNode):
    """Cut aligned faces out of images."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Sockets and widgets."""
        return node_schema(
            node_id="GPEN_CropFaces",
            search_aliases=["align faces", "face crop", "cut out faces"],
            display_name="Crop Faces (GPEN)",
            description=(
                "Cuts every face out of its image, upright and centred, as the network expects "
                "it. Do what you like with the crops and put them back with Paste Faces (GPEN)."
            ),
            shown=("size",),
            inputs=[
                io.Image.Input("image", tooltip="The image or batch that the faces are in."),
                GpenFacesSocket.Input("faces", tooltip="Faces from Detect Faces (GPEN)."),
                io.Int.Input(
                    "size",
                    default=512,
                    min=64,
                    max=4096,
                    step=64,
                    tooltip=(
                        "Height and width of the crops in pixels. Use the network's: 256, 512, "
                        "1024 or 2048."
                    ),
                ),
                template_input(),
            ],
            outputs=[
                io.Image.Output(
                    "crops",
                    display_name="crops",
                    tooltip="One square RGB image per face, in the order of the faces.",
                ),
            ],
        )

    @classmethod
    @checks_widgets
    def execute(cls, image: Tensor, faces: HostedFaces, size: int, template: str) -> io.NodeOutput:
        """Cut the faces out."""
        crops = crop_faces(
            to_channels_first(image),
            faces.faces,
            size,
            template=template,
            monitor=node_monitor(len(faces.faces)),
        )
        return io.NodeOutput(to_channels_last(crops))


class GpenRestoreCrops(io.ComfyNode):
    """Run the network on crops."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Sockets and widgets."""
        return node_schema(
            node_id="GPEN_RestoreCrops",
            search_aliases=["restore aligned faces", "gpen network"],
            display_name="Restore Crops (GPEN)",
            description=(
                "Runs the network on faces that are already aligned. Nothing is detected, masked "
                "or blended."
            ),
            inputs=[
                GpenModelSocket.Input("model", tooltip="Network from the Load GPEN Model node."),
                io.Image.Input(
                    "crops",
                    tooltip=(
                        "Aligned faces from Crop Faces (GPEN); crops of another size are resized "
                        "to the network's."
                    ),
                ),
            ],
            outputs=[
                io.Image.Output(
                    "restored",
                    display_name="crops",
                    tooltip="The restored faces at the network's size, in the same order.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, model: HostedModel, crops: Tensor) -> io.NodeOutput:
        """Restore the crops."""
        inputs = to_channels_first(crops)[:, :3].float()
        started = time.monotonic()
        load_together(model)
        restored = restore_crops(
            inputs,
            model.network,
            max_batch=faces_at_once(model),
            monitor=face_monitor(len(inputs)),
        )
        seconds = time.monotonic() - started
        crops_text = "1 crop" if len(inputs) == 1 else f"{len(inputs)} crops"
        show_text(restored_text(model, crops_text, seconds), cls.hidden.unique_id)
        return io.NodeOutput(to_channels_last(restored))


class GpenPasteFaces(io.ComfyNode):
    """Blend crops back into their images."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Sockets and widgets."""
        return node_schema(
            node_id="GPEN_PasteFaces",
            search_aliases=["paste back", "composite faces", "uncrop faces"],
            display_name="Paste Faces (GPEN)",
            description=(
                "Blends crops from Crop Faces (GPEN) back to where they came from. What was not "
                "changed in between is unchanged in the image, bit for bit."
            ),
            shown=(
                "blend",
                "detail",
                "color",
                "grain",
            ),
            inputs=[
                io.Image.Input("image", tooltip="The image that Crop Faces (GPEN) was given."),
                io.Image.Input(
                    "crops",
                    tooltip=(
                        "The changed crops, in the number and order in which Crop Faces (GPEN) "
                        "returned them. Their size may have changed."
                    ),
                ),
                GpenFacesSocket.Input(
                    "faces", tooltip="The faces that Crop Faces (GPEN) was given."
                ),
                template_input(),
                *blend_inputs(),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Faces are pasted only inside it; resized to the image if necessary.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "pasted", display_name="image", tooltip="The images with the crops pasted in."
                ),
                io.Mask.Output(
                    "pasted_mask",
                    display_name="mask",
                    tooltip="Where faces were pasted: 1 inside, 0 outside, soft in between.",
                ),
            ],
        )

    @classmethod
    @checks_widgets
    def execute(
        cls,
        image: Tensor,
        crops: Tensor,
        faces: HostedFaces,
        mask: Tensor | None = None,
        **blending: Any,
    ) -> io.NodeOutput:
        """Paste the crops."""
        images = to_channels_first(image)
        result = paste_faces(
            images,
            faces.faces,
            to_channels_first(crops)[:, :3],
            settings=BlendSettings(**blending),
            user_masks=fit_masks(mask, images),
            monitor=node_monitor(len(faces.faces)),
        )
        return io.NodeOutput(to_channels_last(result.images), result.masks)
