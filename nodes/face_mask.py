"""GPEN_FACES -> MASK."""

from __future__ import annotations

from comfy_api.latest import io
from torch import Tensor

from ..gpen_core import (
    FACE_REGIONS,
    REGIONS,
    BlendSettings,
    FaceRegion,
    MaskShape,
    face_masks,
    intersect,
    parse_regions,
)
from .host import fit_masks, load_together, to_channels_first
from .models import host_parser
from .progress import node_monitor
from .schema import node_schema
from .types import GpenFacesSocket, HostedFaces
from .widget_values import checks_widgets
from .widgets import NO_PARSER, parser_input, template_input


class GpenFaceMask(io.ComfyNode):
    """Where the faces are, as a mask."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Sockets and widgets."""
        sides = [
            io.Float.Input(
                f"padding_{side}",
                default=BlendSettings.padding,
                min=0.0,
                max=0.5,
                step=0.01,
                tooltip=(
                    f"Strip along the {side} of the crop that is left out, as a fraction of the "
                    "crop. 0: up to the edge. 0.5: half the crop."
                ),
            )
            for side in ("left", "top", "right", "bottom")
        ]
        toggles = [
            io.Boolean.Input(
                region.value,
                default=region in FACE_REGIONS,
                tooltip=(
                    f"Used with a parser. On: the mask includes the {region.value}. Off: it does "
                    "not."
                ),
            )
            for region in REGIONS
        ]
        return node_schema(
            node_id="GPEN_FaceMask",
            search_aliases=[
                "face parsing",
                "bisenet",
                "parsenet",
                "segment face",
                "face segmentation",
            ],
            display_name="Face Mask (GPEN)",
            description=(
                "Makes a mask of faces by shape and, with a parser, by region. Connect it to the "
                "mask of Restore Faces (GPEN) to leave hands, hair or glasses unchanged."
            ),
            shown=(
                "shape",
                "feather",
                "parser",
            ),
            inputs=[
                io.Image.Input("image", tooltip="The image or batch that the faces are in."),
                GpenFacesSocket.Input("faces", tooltip="Faces from Detect Faces (GPEN)."),
                template_input(),
                io.Combo.Input(
                    "shape",
                    options=MaskShape,
                    default=MaskShape.BOX,
                    tooltip=(
                        "Outline of the mask. box: the whole crop. ellipse: without the corners."
                    ),
                ),
                *sides,
                io.Float.Input(
                    "feather",
                    default=BlendSettings.feather,
                    min=0.0,
                    max=0.5,
                    step=0.01,
                    tooltip=(
                        "Width of the soft edge inside the shape, as a fraction of the crop. 0: a "
                        "hard edge. 0.5: soft all the way to the middle."
                    ),
                ),
                parser_input(
                    "Network that separates the regions of a face, in models/facedetection, "
                    "downloaded if it is missing. none: the shape alone."
                ),
                io.Float.Input(
                    "region_feather",
                    default=0.05,
                    min=0.0,
                    max=0.2,
                    step=0.005,
                    tooltip=(
                        "Width of the soft edge of the regions, as a fraction of the crop; used "
                        "with a parser. 0: as sharp as the parser sees them. 0.2: very soft."
                    ),
                ),
                *toggles,
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip=(
                        "Limits the result to what is inside this mask too; resized to the image."
                    ),
                ),
            ],
            outputs=[
                io.Mask.Output(
                    "face_mask",
                    display_name="mask",
                    tooltip="One mask per image: 1 on faces, 0 elsewhere, soft in between.",
                ),
            ],
        )

    @classmethod
    @checks_widgets
    def execute(
        cls,
        image: Tensor,
        faces: HostedFaces,
        template: str,
        shape: str,
        padding_left: float,
        padding_top: float,
        padding_right: float,
        padding_bottom: float,
        feather: float,
        parser: str,
        region_feather: float,
        mask: Tensor | None = None,
        **regions: bool,
    ) -> io.NodeOutput:
        """Make the mask."""
        images = to_channels_first(image)
        crop_masks = None
        if parser != NO_PARSER:
            chosen = [FaceRegion(name) for name, wanted in regions.items() if wanted]
            hosted_parser = host_parser(parser)
            load_together(hosted_parser)
            crop_masks = parse_regions(
                images,
                faces.faces,
                hosted_parser.network,
                chosen,
                region_feather,
                template=template,
                monitor=node_monitor(len(faces.faces)),
            )
        masks = face_masks(
            faces.faces,
            (len(images), images.shape[2], images.shape[3]),
            template=template,
            shape=shape,
            padding=(padding_left, padding_top, padding_right, padding_bottom),
            feather=feather,
            crop_masks=crop_masks,
        )
        limit = fit_masks(mask, images)
        return io.NodeOutput(masks if limit is None else intersect(masks, limit.to(masks)))
