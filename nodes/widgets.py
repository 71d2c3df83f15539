"""Widgets that several nodes share, and what their values stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..gpen_core import (
    DETECTOR_MODELS,
    PARSER_NAMES,
    BlendSettings,
    Faces,
    FineGrain,
    MaskShape,
    Rotations,
    Scales,
    SearchSettings,
    Template,
    pick_settings,
    search_faces,
)
from .host import AUTO, load_together
from .models import host_detector
from .progress import node_monitor
from .types import Hosted, HostedFaces

_DEFAULTS = BlendSettings()
_SEARCH = SearchSettings()
NO_PARSER = "none"


def detector_inputs() -> list[io.Input]:
    """How faces are found; the ids are the fields of ``SearchSettings``, but for ``detector``."""
    return [
        io.Combo.Input(
            "detector",
            options=[AUTO, *DETECTOR_MODELS],
            default=AUTO,
            tooltip=(
                "RetinaFace variant. mobile0.25 is bundled and faster. resnet50 (109 MB) misses "
                "fewer faces; choosing it downloads it into models/facedetection if it is "
                "missing. auto: resnet50 if its file is there, else the bundled mobile0.25; "
                "downloads nothing."
            ),
        ),
        io.Int.Input(
            "detection_size",
            default=_SEARCH.detection_size,
            min=0,
            max=4096,
            step=32,
            tooltip=(
                "Short side, in pixels, of the copy that is searched for faces; larger images are "
                "shrunk to it. Higher finds smaller faces, lower avoids false ones in large "
                "portraits. 0: full resolution."
            ),
        ),
        io.Float.Input(
            "threshold",
            default=_SEARCH.threshold,
            min=0.05,
            max=1.0,
            step=0.01,
            tooltip=(
                "Minimum confidence of a face. Low: more faces, some of them false. High: "
                "only certain ones."
            ),
        ),
        io.Combo.Input(
            "scales",
            options=Scales,
            default=_SEARCH.scales,
            tooltip=(
                "Additional copies to search. also small: one twice as large, for faces down to "
                "half the size; five times the work. also large: one half as large, for faces "
                "that fill the picture."
            ),
        ),
        io.Combo.Input(
            "rotations",
            options=Rotations,
            default=_SEARCH.rotations,
            tooltip=(
                "For tilted faces. off: only upright faces are found. when none is found: tilted "
                "faces are turned upright and searched again, and a picture without a face is "
                "searched in quarter turns. always: every picture is searched in quarter turns; "
                "four times the work."
            ),
        ),
        io.Int.Input(
            "min_face_size",
            default=0,
            min=0,
            max=4096,
            step=8,
            tooltip=(
                "Smaller faces are left out: minimum long side of the box, in pixels of the "
                "image. 0: none are left out. Raise it to leave a crowd in the background alone."
            ),
        ),
    ]


def fraction_input(name: str, default: float, tooltip: str) -> io.Input:
    """How much of something, from none to all of it."""
    return io.Float.Input(name, default=default, min=0.0, max=1.0, step=0.05, tooltip=tooltip)


def template_input() -> io.Input:
    """How tightly faces are cropped."""
    return io.Combo.Input(
        "template",
        options=Template,
        default=_DEFAULTS.template,
        tooltip=(
            "How tightly the face is cropped for the network. ffhq: as ReActor and FaceFusion do. "
            "gpen: as the GPEN authors do, with more of the head."
        ),
    )


def blend_inputs() -> list[io.Input]:
    """How restored faces are blended in; the ids are the fields of ``BlendSettings``."""
    return [
        fraction_input(
            "blend",
            _DEFAULTS.blend,
            "Share of the restored face. 0: the original image. 1: fully restored.",
        ),
        io.Combo.Input(
            "shape",
            options=MaskShape,
            default=_DEFAULTS.shape,
            tooltip=(
                "Outline of the pasted area. box: the whole crop, with hair and neck. ellipse: "
                "the face without the corners."
            ),
        ),
        io.Float.Input(
            "padding",
            default=_DEFAULTS.padding,
            min=0.0,
            max=0.3,
            step=0.01,
            tooltip=(
                "Strip along the edge of the crop that is not pasted, as a fraction of the crop. "
                "0: paste up to the edge. 0.3: only the middle of the face."
            ),
        ),
        io.Float.Input(
            "feather",
            default=_DEFAULTS.feather,
            min=0.0,
            max=0.5,
            step=0.01,
            tooltip=(
                "Width of the soft edge inside the padding, as a fraction of the crop. 0: a hard "
                "edge. Raise it if a seam shows."
            ),
        ),
        fraction_input(
            "color",
            _DEFAULTS.color,
            (
                "How far the colours and light of the restored face are matched to the input "
                "face. 0: as the network made them. 1: fully matched. Raise it if the face is too "
                "warm or pale."
            ),
        ),
        fraction_input(
            "detail",
            _DEFAULTS.detail,
            (
                "Keeps the likeness: how far shapes come from the input, and only fine detail "
                "from the restoration. 0: everything from the restoration. 1: only fine detail "
                "from it."
            ),
        ),
        io.Float.Input(
            "detail_size",
            default=_DEFAULTS.detail_size,
            min=0.01,
            max=0.5,
            step=0.01,
            tooltip=(
                "What counts as fine detail, as a fraction of the crop; used with detail. 0.02: "
                "pores and lashes. 0.1: eyes and lips too. 0.5: everything but the light."
            ),
        ),
        fraction_input(
            "grain",
            _DEFAULTS.grain,
            (
                "How much of the noise around the face is added back to it. 0: as smooth as the "
                "network made it. 1: as grainy as its surroundings."
            ),
        ),
        io.Combo.Input(
            "fine_grain",
            options=FineGrain,
            default=_DEFAULTS.fine_grain,
            tooltip=(
                "How detail too fine for the network's crop is handled, on faces larger than the "
                "crop. keep: it is unchanged. replace: it is removed, along with noise and "
                "scratches."
            ),
        ),
    ]


def smoothing_input() -> io.Input:
    """How steady the faces of a clip are held."""
    return fraction_input(
        "smoothing",
        0.0,
        (
            "For a batch that is a clip: holds the faces steady from frame to frame. 0: each "
            "image on its own. 0.5: usual for video. 1: strong."
        ),
    )


def parser_input(tooltip: str) -> io.Input:
    """Which network separates the regions of a face, or none."""
    options = [NO_PARSER, *PARSER_NAMES]
    return io.Combo.Input("parser", options=options, default=NO_PARSER, tooltip=tooltip)


def output_crops_input() -> io.Input:
    """Whether the faces before and after are returned too."""
    return io.Boolean.Input(
        "output_crops",
        default=False,
        tooltip=(
            "Also outputs every face before and after, at the network's size. Off saves memory: a "
            "face at 2048 takes 100 MB."
        ),
    )


def load_and_find(
    images: Tensor,
    detector: str,
    widgets: Mapping[str, Any],
    *others: Hosted[Any],
    known: HostedFaces | None = None,
) -> Faces:
    """Load all networks of a node, and find faces with the host's progress and cancel.

    Args:
        images: (B, C, H, W), where to look.
        detector: The value of that widget.
        widgets: The values of the others of ``detector_inputs``, and any more.
        *others: The networks that the node needs beside the detector.
        known: If the faces are known already, they are returned and no detector is loaded.
    """
    if known is not None:
        load_together(*others)
        return known.faces
    settings = pick_settings(SearchSettings, widgets)
    hosted = host_detector(detector, images.shape, settings)
    load_together(hosted, *others)
    return search_faces(images, hosted.network, settings, monitor=node_monitor(len(images)))
