"""The enlarged background that faces are pasted into."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..gpen_core import MAX_SCALE, CanvasSettings, CanvasSize, enlarge, enlarged_size
from .host import to_channels_first, to_channels_last

_DEFAULTS = CanvasSettings()


def canvas_inputs() -> list[io.Input]:
    """How large the output is; the ids are the fields of ``CanvasSettings``."""
    return [
        io.Combo.Input(
            "output_size",
            options=CanvasSize,
            default=_DEFAULTS.output_size,
            tooltip=(
                "as input: the same size. scale: enlarged by a factor. fit faces: as large as the "
                "largest face needs to keep the network's resolution, which makes a 2048 model "
                "worthwhile on small faces."
            ),
        ),
        io.Float.Input(
            "scale",
            default=_DEFAULTS.scale,
            min=1.0,
            max=MAX_SCALE,
            step=0.25,
            tooltip="Factor for output_size 'scale'. 1: the same size. 8: eight times as wide.",
        ),
        io.Float.Input(
            "max_megapixels",
            default=_DEFAULTS.max_megapixels,
            min=0.1,
            max=512.0,
            step=0.1,
            tooltip=(
                "No image is enlarged beyond this many million pixels. 2: about Full HD. 64: 8K "
                "and more; takes about 0.8 GB of memory per image."
            ),
        ),
    ]


def make_canvas(images: Tensor, scale: float, upscale_model: Any | None) -> Tensor:
    """(B, C, H, W) images enlarged by a factor, with an UPSCALE_MODEL or Lanczos.

    The model enlarges the colours; alpha is always interpolated.
    """
    height, width = enlarged_size((images.shape[2], images.shape[3]), scale)
    if upscale_model is None:
        return enlarge(images, height, width)
    # ComfyUI's own node: tiled, and with its handling of memory. Imported only where it is used:
    # the module registers architectures once more each time it is imported under another name.
    from comfy_extras.nodes_upscale_model import ImageUpscaleWithModel

    (upscaled,) = ImageUpscaleWithModel.execute(upscale_model, to_channels_last(images[:, :3])).args
    return enlarge(images, height, width, colors=to_channels_first(upscaled).to(images))
