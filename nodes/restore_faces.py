"""The all-in-one node: IMAGE -> the same image with restored faces."""

from __future__ import annotations

import time
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..gpen_core import (
    BlendSettings,
    CanvasSettings,
    RunOptions,
    canvas_scale,
    pick_settings,
    restore_faces,
    stabilize_faces,
)
from .canvas import canvas_inputs, make_canvas
from .host import (
    faces_at_once,
    fit_masks,
    load_together,
    to_channels_first,
    to_channels_last,
)
from .preview import before_after_ui
from .progress import face_monitor
from .report import count_text, crop_outputs, restored_text
from .schema import node_schema
from .types import GpenFacesSocket, GpenModelSocket, HostedFaces, HostedModel
from .widget_values import checks_widgets
from .widgets import (
    blend_inputs,
    detector_inputs,
    load_and_find,
    output_crops_input,
    smoothing_input,
    template_input,
)


class GpenRestoreFaces(io.ComfyNode):
    """Restore faces with GPEN. The work is done in gpen_core; this class only adapts sockets."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Sockets and widgets."""
        return node_schema(
            node_id="GPEN_RestoreFaces",
            search_aliases=[
                "face restore",
                "face restoration",
                "face enhance",
                "fix face",
                "gpen",
            ],
            display_name="Restore Faces (GPEN)",
            description=(
                "Finds every face, restores it and blends it back. Pixels outside the mask are "
                "unchanged, bit for bit. No face: the whole image is unchanged."
            ),
            shown=(
                "blend",
                "detail",
                "color",
                "grain",
                "output_size",
            ),
            inputs=[
                GpenModelSocket.Input("model", tooltip="Network from the Load GPEN Model node."),
                io.Image.Input(
                    "image",
                    tooltip="One image or a batch, RGB or RGBA. Count, order and alpha are kept.",
                ),
                template_input(),
                *blend_inputs(),
                *canvas_inputs(),
                *detector_inputs(),
                smoothing_input(),
                output_crops_input(),
                GpenFacesSocket.Input(
                    "faces",
                    optional=True,
                    tooltip=(
                        "Faces to restore, from Detect Faces (GPEN) on the same image. Not "
                        "connected: all faces that the detector finds."
                    ),
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip=(
                        "Faces are pasted only inside it: 1 inside, 0 outside. Resized to the "
                        "image if necessary."
                    ),
                ),
                io.UpscaleModel.Input(
                    "upscale_model",
                    optional=True,
                    tooltip=(
                        "Enlarges the background when output_size is not 'as input'. Not "
                        "connected: Lanczos interpolation."
                    ),
                ),
            ],
            outputs=[
                io.Image.Output(
                    "restored", display_name="image", tooltip="The images with restored faces."
                ),
                io.Mask.Output(
                    "pasted_mask",
                    display_name="mask",
                    tooltip="Where faces were pasted: 1 inside, 0 outside, soft in between.",
                ),
                io.Image.Output(
                    "crops_before",
                    display_name="faces before",
                    tooltip="The aligned faces as the network got them. Needs output_crops.",
                ),
                io.Image.Output(
                    "crops_after",
                    display_name="faces after",
                    tooltip="The same faces as the network returned them. Needs output_crops.",
                ),
                io.String.Output(
                    "text", display_name="text", tooltip="What was done, or why nothing was done."
                ),
            ],
        )

    @classmethod
    @checks_widgets
    def execute(
        cls,
        model: HostedModel,
        image: Tensor,
        detector: str,
        smoothing: float,
        output_crops: bool,
        faces: HostedFaces | None = None,
        mask: Tensor | None = None,
        upscale_model: Any | None = None,
        **widgets: Any,
    ) -> io.NodeOutput:
        """Restore the faces."""
        started = time.monotonic()
        images = to_channels_first(image)
        found = load_and_find(images, detector, widgets, model, known=faces)
        found = stabilize_faces(found, len(images), smoothing)
        blending = pick_settings(BlendSettings, widgets)
        factor = canvas_scale(
            found,
            (images.shape[2], images.shape[3]),
            model.network.config.size,
            pick_settings(CanvasSettings, widgets),
            template=blending.template,
        )
        canvas = make_canvas(images, factor, upscale_model) if factor > 1 else None
        if upscale_model is not None:
            load_together(model)  # that model may have taken its place
        result = restore_faces(
            images,
            found,
            model.network,
            settings=blending,
            user_masks=fit_masks(mask, images if canvas is None else canvas),
            into=canvas,
            run=RunOptions(
                faces_at_once(model), keep_crops=output_crops, monitor=face_monitor(len(found))
            ),
        )
        seconds = time.monotonic() - started
        text = _describe(model, len(found), len(images), seconds, is_enlarged=canvas is not None)
        if len(found) and not bool(result.masks.any()):
            text += " None of it is visible: the mask is empty where the faces are."
        is_changed = len(found) > 0 or canvas is not None
        after = result.images if is_changed else images  # one picture less to write
        return io.NodeOutput(
            to_channels_last(result.images),
            result.masks,
            *crop_outputs(
                result.crops, result.restored_crops, "Restore Faces (GPEN)", wanted=output_crops
            ),
            text,
            ui=before_after_ui(images, after, found, text, (factor, factor)),
        )


def _describe(
    model: HostedModel, n_faces: int, n_images: int, seconds: float, *, is_enlarged: bool
) -> str:
    if n_faces == 0:
        images = "the image is" if n_images == 1 else f"the {n_images} images are"
        state = "only enlarged" if is_enlarged else "unchanged"
        return f"No face found: {images} {state}. Lower the threshold if there is one."
    return restored_text(model, count_text(n_faces, n_images), seconds)
