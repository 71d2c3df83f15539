"""Two IMAGEs -> how alike they are, and a slider between them."""

from __future__ import annotations

import math

from comfy_api.latest import io
from torch import Tensor

from ..gpen_core import (
    Faces,
    Monitor,
    SearchSettings,
    box_masks,
    compare_images,
    describe_comparison,
    resize,
)
from .host import AUTO, device_of, fit_masks, load_together, to_channels_first
from .models import host_detector
from .preview import before_after_ui
from .progress import check_interrupt
from .schema import node_schema
from .types import GpenFacesSocket, HostedFaces


class GpenCompare(io.ComfyNode):
    """Compare two batches of images. The measuring is done in gpen_core."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Sockets and widgets."""
        return node_schema(
            node_id="GPEN_Compare",
            search_aliases=[
                "before after",
                "image compare",
                "slider",
                "psnr",
                "ssim",
                "ms-ssim",
                "sharpness",
                "ciede2000",
                "landmarks",
            ],
            display_name="Compare Before/After (GPEN)",
            description=(
                "Shows two pictures with a slider between them, down to single pixels, and "
                "measures how alike they are."
            ),
            inputs=[
                io.Image.Input(
                    "before",
                    tooltip=(
                        "Left of the slider. One image, or as many as after; resized to after if "
                        "the sizes differ."
                    ),
                ),
                io.Image.Input("after", tooltip="Right of the slider. One image or a batch."),
                GpenFacesSocket.Input(
                    "faces",
                    optional=True,
                    tooltip=(
                        "Faces from Detect Faces (GPEN) on before: step through them, and measure "
                        "only inside their boxes."
                    ),
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip=(
                        "Measure only inside it: 1 counts, 0 does not. Resized to after. With "
                        "faces, only where both overlap."
                    ),
                ),
            ],
            outputs=[
                io.Image.Output(
                    "compared", display_name="after", tooltip="The after images, unchanged."
                ),
                io.String.Output(
                    "text",
                    display_name="text",
                    tooltip=("The measurements in words, of the whole image and inside."),
                ),
                io.Float.Output(
                    "psnr",
                    display_name="PSNR",
                    tooltip=(
                        "Peak signal-to-noise ratio in dB, inside mask and faces if connected. "
                        "Higher is more alike. 20: quite different. 40: hard to tell apart. "
                        "Infinite: equal."
                    ),
                ),
                io.Float.Output(
                    "ssim",
                    display_name="SSIM",
                    tooltip=(
                        "Structural similarity, inside mask and faces if connected. Higher is "
                        "more alike. 0: nothing in common. 1: equal."
                    ),
                ),
                io.Float.Output(
                    "ms_ssim",
                    display_name="MS-SSIM",
                    tooltip=(
                        "Structural similarity at five sizes, inside mask and faces if connected; "
                        "closer to what the eye sees from afar. Higher is more alike. 0: nothing "
                        "in common. 1: equal."
                    ),
                ),
                io.Float.Output(
                    "sharpness",
                    display_name="sharpness",
                    tooltip=(
                        "Fine detail in after as a share of that in before, inside mask and faces "
                        "if connected. 1: as much. Below 1: softer. Above 1: sharper, or "
                        "noisier."
                    ),
                ),
                io.Float.Output(
                    "color_error",
                    display_name="colour error",
                    tooltip=(
                        "Mean colour difference in CIEDE2000, inside mask and faces if connected. "
                        "Lower is more alike. 0: equal. 1: just visible. 5: clearly another "
                        "colour."
                    ),
                ),
                io.Float.Output(
                    "landmark_error",
                    display_name="landmark error",
                    tooltip=(
                        "How far eyes, nose and mouth moved, in percent of the distance between "
                        "the eyes. Lower is more alike. 1: practically in place. NaN: no face is "
                        "in both pictures."
                    ),
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        before: Tensor,
        after: Tensor,
        faces: HostedFaces | None = None,
        mask: Tensor | None = None,
    ) -> io.NodeOutput:
        """Measure and show."""
        olds, news = to_channels_first(before), to_channels_first(after)
        scale = (news.shape[3] / olds.shape[3], news.shape[2] / olds.shape[2])
        region = fit_masks(mask, news)
        if faces is not None:
            boxes = box_masks(faces.faces, len(news), (news.shape[2], news.shape[3]), scale)
            region = boxes if region is None else boxes * region
        resized = resize(olds, (news.shape[2], news.shape[3]))
        detector = host_detector(AUTO, news.shape, SearchSettings())
        load_together(detector)
        comparison = compare_images(
            resized,
            news,
            region,
            detector=detector.network,
            device=device_of(detector.network),
            monitor=Monitor(check_interrupt=check_interrupt),
        )
        text = describe_comparison(comparison, has_region=region is not None)
        measured = comparison.region or comparison.whole
        shown = Faces.empty() if faces is None else faces.faces
        return io.NodeOutput(
            after,
            text,
            measured.psnr,
            measured.ssim,
            measured.ms_ssim,
            measured.sharpness,
            measured.color_error,
            math.nan if comparison.landmark_error is None else comparison.landmark_error,
            ui=before_after_ui(olds.expand(len(news), -1, -1, -1), news, shown, text, scale),
        )
