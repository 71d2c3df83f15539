"""After a face swap: original and swapped IMAGE -> the swap, restored and blended."""

from __future__ import annotations

import time
from dataclasses import replace
from enum import Enum
from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ..gpen_core import (
    Faces,
    RunOptions,
    SwapPairs,
    SwapResult,
    SwapSettings,
    blend_swap,
    fill_in_dropped,
    is_withheld,
    match_frames,
    pick_settings,
    stabilize_faces,
)
from .host import (
    faces_at_once,
    fit_masks,
    to_channels_first,
    to_channels_last,
)
from .models import host_parser
from .preview import before_after_ui
from .progress import face_monitor
from .report import count_text, crop_outputs, restored_text
from .schema import node_schema
from .types import (
    GpenFacesSocket,
    GpenModelSocket,
    HostedFaces,
    HostedModel,
    ReactorFaceModelSocket,
)
from .widget_values import checks_widgets
from .widgets import (
    NO_PARSER,
    detector_inputs,
    fraction_input,
    load_and_find,
    output_crops_input,
    parser_input,
    smoothing_input,
    template_input,
)

_DEFAULTS = SwapSettings()
_NAME = "Blend Swap (GPEN)"


class DroppedFrames(str, Enum):
    """How frames that the swap left out are handled."""

    FILL_IN = "fill in from original"
    LEAVE_OUT = "leave out"


class GpenBlendSwap(io.ComfyNode):
    """Restore what a swap changed. The work is done in gpen_core; this class adapts sockets."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Sockets and widgets."""
        return node_schema(
            node_id="GPEN_BlendSwap",
            search_aliases=[
                "reactor restore",
                "face swap",
                "swap restore",
                "after reactor",
            ],
            display_name=_NAME,
            description=(
                "For use after a face swap such as ReActor's, with its own restoration off. Finds "
                "the faces that the swap changed, restores only those, and gives them the light "
                "and grain of the original. What the swap did not touch is unchanged, bit for "
                "bit."
            ),
            shown=(
                "restore",
                "detail",
                "color",
                "grain",
                "parser",
            ),
            inputs=[
                io.Image.Input(
                    "original",
                    tooltip=(
                        "The image or batch before the swap: ReActor's ORIGINAL_IMAGE, or the "
                        "image it was given. Resized to the swapped image if necessary."
                    ),
                ),
                io.Image.Input(
                    "swapped", tooltip="The same images after the swap: ReActor's SWAPPED_IMAGE."
                ),
                GpenModelSocket.Input("model", tooltip="Network from the Load GPEN Model node."),
                *_influence_inputs(),
                template_input(),
                *detector_inputs(),
                smoothing_input(),
                io.Combo.Input(
                    "dropped_frames",
                    options=DroppedFrames,
                    default=DroppedFrames.FILL_IN,
                    tooltip=(
                        "ReActor leaves out frames that its filter flags. fill in from original: "
                        "they are output unchanged, so that a video keeps its length and sound. "
                        "leave out: as many images as ReActor returned."
                    ),
                ),
                output_crops_input(),
                GpenFacesSocket.Input(
                    "faces",
                    optional=True,
                    tooltip=(
                        "Faces of the swapped image that may be restored, from Detect Faces "
                        "(GPEN). Not connected: all that the detector finds there."
                    ),
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip=(
                        "1: the swap shows. 0: the original shows, for example where the swap "
                        "covered a hand or a microphone. Resized to the image if necessary."
                    ),
                ),
                ReactorFaceModelSocket.Input(
                    "face_model",
                    optional=True,
                    tooltip="ReActor's FACE_MODEL, passed through unchanged.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "blended", display_name="image", tooltip="The swapped images, blended."
                ),
                io.Mask.Output(
                    "changed_mask",
                    display_name="mask",
                    tooltip="Where the swapped images were changed: 1 inside, 0 outside.",
                ),
                io.Image.Output(
                    "crops_before",
                    display_name="faces before",
                    tooltip="The swapped faces before restoration. Needs output_crops.",
                ),
                io.Image.Output(
                    "crops_after",
                    display_name="faces after",
                    tooltip="The same faces restored and matched. Needs output_crops.",
                ),
                ReactorFaceModelSocket.Output(
                    "face_model_out",
                    display_name="FACE_MODEL",
                    tooltip="The face_model input, unchanged.",
                ),
                io.Int.Output(
                    "count",
                    display_name="count",
                    tooltip="Number of faces that the swap changed, in all images.",
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
        original: Tensor | None,
        swapped: Tensor,
        model: HostedModel,
        parser: str,
        detector: str,
        smoothing: float,
        dropped_frames: str,
        output_crops: bool,
        faces: HostedFaces | None = None,
        mask: Tensor | None = None,
        face_model: Any | None = None,
        **widgets: Any,
    ) -> io.NodeOutput:
        """Blend the swap; ComfyUI gives None for an original that ReActor did not return."""
        started = time.monotonic()
        images = to_channels_first(swapped)
        reason = _nothing_swapped(original, images)
        if reason or original is None:
            result = SwapResult(images, torch.zeros(swapped.shape[:3]), Faces.empty())
            view = before_after_ui(images, images, result.faces, reason)
            return cls._output(result, reason, face_model, output_crops, view)

        originals = to_channels_first(original)
        hosted_parser = None if parser == NO_PARSER else host_parser(parser)
        networks = [model] if hosted_parser is None else [model, hosted_parser]
        frames = match_frames(originals, images)
        found = load_and_find(images, detector, widgets, *networks, known=faces)
        settings = pick_settings(SwapSettings, widgets)
        found = stabilize_faces(found, len(images), smoothing)
        result = blend_swap(
            SwapPairs(originals, images, frames),
            found,
            model.network,
            settings=settings,
            user_masks=_masks_of_frames(mask, frames, len(originals), images),
            parser=None if hosted_parser is None else hosted_parser.network,
            run=RunOptions(
                faces_at_once(model), keep_crops=output_crops, monitor=face_monitor(len(found))
            ),
        )
        seconds = time.monotonic() - started
        used = model if settings.restore else None
        text = _describe(used, len(result.faces), len(found), len(images), seconds)
        blended = result.images
        dropped = sorted(set(range(len(originals))) - set(frames))
        if dropped:
            is_filled = dropped_frames == DroppedFrames.FILL_IN.value
            if is_filled:
                filled = fill_in_dropped(result.images, result.masks, originals, frames)
                result = replace(result, images=filled[0], masks=filled[1])
            text += f" {_describe_dropped(dropped, is_filled=is_filled)}"
        view = before_after_ui(images, blended, result.faces, text)
        return cls._output(result, text, face_model, output_crops, view)

    @classmethod
    def _output(
        cls,
        result: SwapResult,
        text: str,
        face_model: Any | None,
        output_crops: bool,
        view: dict[str, Any],
    ) -> io.NodeOutput:
        return io.NodeOutput(
            to_channels_last(result.images),
            result.masks,
            *crop_outputs(result.crops, result.blended_crops, _NAME, wanted=output_crops),
            face_model,
            len(result.faces),
            text,
            ui=view,
        )


def _influence_inputs() -> list[io.Input]:
    """What each picture gives; the ids are fields of ``SwapSettings``, but for ``parser``."""
    return [
        fraction_input(
            "restore",
            _DEFAULTS.restore,
            "Share of the restoration. 0: the face as it was swapped. 1: fully restored.",
        ),
        fraction_input(
            "detail",
            _DEFAULTS.detail,
            (
                "Keeps the likeness of the swap: how far shapes come from it, and only fine "
                "detail from the restoration. 0: everything from the restoration. 1: only fine "
                "detail from it."
            ),
        ),
        io.Float.Input(
            "detail_size",
            default=_DEFAULTS.detail_size,
            min=0.01,
            max=0.5,
            step=0.01,
            tooltip=(
                "What counts as fine detail, as a fraction of the crop. 0.02: pores and lashes. "
                "0.1: eyes and lips too. 0.5: everything but the light."
            ),
        ),
        fraction_input(
            "color",
            _DEFAULTS.color,
            (
                "How far the light and colours of the face are matched to the original's face. 0: "
                "as swapped. 1: fully matched."
            ),
        ),
        fraction_input(
            "grain",
            _DEFAULTS.grain,
            (
                "How much of the noise around the original's face is added to the swapped one. 0: "
                "smooth. 1: as grainy as its surroundings."
            ),
        ),
        fraction_input(
            "keep",
            _DEFAULTS.keep,
            (
                "How much of the original returns where mask or parser exclude the swap. 0: none. "
                "1: all of it. Without mask and parser it does nothing."
            ),
        ),
        parser_input(
            "Network that separates hair, glasses, hats and hands from the face in the "
            "original, so that they come from the original. In models/facedetection, "
            "downloaded if it is missing. bisenet is faster, parsenet finer. none: only the "
            "mask excludes anything."
        ),
        io.Float.Input(
            "margin",
            default=_DEFAULTS.margin,
            min=0.0,
            max=0.5,
            step=0.01,
            tooltip=(
                "How far beyond the area that the swap touched the face may change, as a fraction "
                "of the crop. 0: not at all. 0.5: the whole crop. Raise it if an edge shows."
            ),
        ),
    ]


def _nothing_swapped(original: Tensor | None, swapped: Tensor) -> str:
    """Why there is nothing to do; empty if there may be."""
    if original is None:
        return (
            "Nothing was swapped: there is no original image, as when ReActor is switched off. The "
            "image is passed through unchanged."
        )
    if is_withheld(swapped):
        return (
            "Nothing to restore: the swap is one black image of 512 pixels, which ReActor returns "
            "when its filter has flagged every frame. It is passed through unchanged."
        )
    return ""


def _masks_of_frames(
    mask: Tensor | None, frames: list[int], n_originals: int, images: Tensor
) -> Tensor | None:
    """One mask for each swapped frame, also where there is one for each original."""
    if mask is not None and mask.ndim == 3 and len(mask) == n_originals != len(images):
        mask = mask[frames]
    return fit_masks(mask, images)


def _describe(
    model: HostedModel | None, n_swapped: int, n_faces: int, n_images: int, seconds: float
) -> str:
    if not n_faces:
        return "No face found in the swapped image: nothing is changed. Lower the threshold."
    if not n_swapped:
        none = "did not change the" if n_faces == 1 else "changed none of the"
        return f"The swap {none} {count_text(n_faces, n_images)}: the image is unchanged."
    of = "" if n_swapped == n_faces else f", of {n_faces} found,"
    faces = count_text(n_swapped, n_images).replace("face", "swapped face", 1)
    if model is None:
        return f"Blended {faces}{of} in {seconds:.1f} s. Nothing was restored: restore is 0."
    return restored_text(model, faces + of, seconds)


def _describe_dropped(dropped: list[int], *, is_filled: bool) -> str:
    shown = ", ".join(map(str, dropped[:8])) + (", ..." if len(dropped) > 8 else "")
    frames = f"frame {shown}" if len(dropped) == 1 else f"{len(dropped)} frames ({shown})"
    done = "filled in from the original" if is_filled else "left out"
    return f"The swap dropped {frames}: {done}."
