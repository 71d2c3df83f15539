"""Two IMAGEs -> how alike they are, and a slider between them."""

from __future__ import annotations

import comfy.model_management as mm
from comfy_api.latest import io
from torch import Tensor

from ..gpen_core import Faces
from ..gpen_core.comparison import Comparison, Similarity, box_masks, compare_images
from ..gpen_core.errors import TensorSpecError
from ..gpen_core.resizing import resize
from .host import check_interrupt, fit_masks, to_channels_first
from .preview import before_after_ui
from .schema import node_schema
from .types import GpenFacesSocket


class GpenCompare(io.ComfyNode):
    """Compare two batches of images. The measuring is done in gpen_core."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Sockets and widgets."""
        return node_schema(
            node_id="GPEN_Compare",
            search_aliases=["before after", "image compare", "psnr", "ssim", "slider"],
            display_name="Compare Before/After (GPEN)",
            description=(
                "Shows two pictures with a slider between them, down to single pixels, and "
                "measures how alike they are."
            ),
            inputs=[
                io.Image.Input(
                    "before",
                    tooltip=(
                        "Left of the slider. One image or as many as after; resized to after if "
                        "it is of another size."
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
                        "faces, only where both are."
                    ),
                ),
            ],
            outputs=[
                io.Image.Output(
                    "compared", display_name="after", tooltip="The after images, as they came in."
                ),
                io.String.Output(
                    "text", display_name="text", tooltip="The measures in words, whole and inside."
                ),
                io.Float.Output(
                    "psnr",
                    display_name="PSNR",
                    tooltip=(
                        "Peak signal to noise ratio in dB, inside mask and faces if connected. 20: "
                        "quite different. 40: hard to tell apart. Infinite: equal."
                    ),
                ),
                io.Float.Output(
                    "ssim",
                    display_name="SSIM",
                    tooltip=(
                        "Structural similarity, inside mask and faces if connected. 0: nothing in "
                        "common. 1: equal."
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
        faces: Faces | None = None,
        mask: Tensor | None = None,
    ) -> io.NodeOutput:
        """Measure and show."""
        olds, news = to_channels_first(before), to_channels_first(after)
        if len(olds) not in (1, len(news)):
            raise TensorSpecError(
                f"before: expected one image or {len(news)}, as many as after, got {len(olds)}. "
                "Repeat or choose images to match."
            )
        scale = (news.shape[3] / olds.shape[3], news.shape[2] / olds.shape[2])
        olds = olds.expand(len(news), -1, -1, -1)
        region = fit_masks(mask, news)
        if faces is not None:
            boxes = box_masks(faces, len(news), (news.shape[2], news.shape[3]), scale)
            region = boxes if region is None else boxes * region
        resized = resize(olds, (news.shape[2], news.shape[3]))
        comparison = compare_images(
            resized,
            news,
            region,
            device=mm.get_torch_device(),
            check_interrupt=check_interrupt,
        )
        text = _describe(comparison, has_region=region is not None)
        measured = comparison.region or comparison.whole
        shown = Faces.empty() if faces is None else faces
        return io.NodeOutput(
            after,
            text,
            measured.psnr,
            measured.ssim,
            ui=before_after_ui(olds, news, shown, text, scale),
        )


def _describe(comparison: Comparison, *, has_region: bool) -> str:
    text = f"Whole image: {_measures(comparison.whole)}"
    if comparison.region is not None:
        return f"{text} Inside: {_measures(comparison.region)}"
    if has_region:
        return f"{text} There is nothing inside: no face, or an empty mask."
    return text


def _measures(similarity: Similarity) -> str:
    if similarity.psnr == float("inf"):
        return "equal to the last bit."
    return f"PSNR {similarity.psnr:.2f} dB, SSIM {similarity.ssim:.4f}."
