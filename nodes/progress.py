"""The progress bar of a node, with the face in work."""

from __future__ import annotations

import math
import time

import comfy.utils
import torch
import torch.nn.functional as F
from comfy.cli_args import LatentPreviewMethod, args
from PIL import Image
from torch import Tensor

from ..gpen_core.pipeline import CropCallback

_LEAST_SECONDS_BETWEEN_PREVIEWS = 0.2


class FaceProgress:
    """A progress bar that counts faces and shows one of them now and then, as samplers do."""

    def __init__(self, total: int) -> None:
        """Start a bar of ``total`` faces."""
        self._bar = comfy.utils.ProgressBar(total)
        self._preview: Image.Image | None = None
        self._last_preview = -_LEAST_SECONDS_BETWEEN_PREVIEWS

    @property
    def on_crop(self) -> CropCallback | None:
        """Takes crops to show. None if previews are off in ComfyUI: nothing is computed then."""
        return None if args.preview_method == LatentPreviewMethod.NoPreviews else self._show

    def on_progress(self, done: int, total: int) -> None:
        """Move the bar, and send the crop that waits to be shown."""
        preview, self._preview = self._preview, None
        shown = None if preview is None else ("JPEG", preview, args.preview_size)
        self._bar.update_absolute(done, total, shown)

    def _show(self, crop: Tensor) -> None:
        now = time.monotonic()
        if now - self._last_preview >= _LEAST_SECONDS_BETWEEN_PREVIEWS:
            self._last_preview = now
            self._preview = _thumbnail(crop, args.preview_size)


def _thumbnail(crop: Tensor, size: int) -> Image.Image:
    """A (3, S, S) crop in [0, 1] as a picture of at most ``size`` pixels, shrunk on its device."""
    if crop.shape[1] > size:
        crop = F.avg_pool2d(crop, math.ceil(crop.shape[1] / size))
    pixels = (crop.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0)
    return Image.fromarray(pixels.cpu().contiguous().numpy())
