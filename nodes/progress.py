"""The progress bar of a node, with the current face, and its cancel button."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import comfy.model_management as mm
import comfy.utils
import torch
import torch.nn.functional as F
from comfy.cli_args import LatentPreviewMethod, args
from PIL import Image
from torch import Tensor

from ..gpen_core import Monitor

_MIN_PREVIEW_INTERVAL_S = 0.2


def check_interrupt() -> None:
    """Raise if the user has cancelled the prompt."""
    mm.throw_exception_if_processing_interrupted()


def progress_bar(total: int) -> Callable[[int, int], None]:
    """A callback that moves the node's progress bar."""
    bar = comfy.utils.ProgressBar(total)

    def update(done: int, total: int) -> None:
        bar.update_absolute(done, total)

    return update


def node_monitor(total: int) -> Monitor:
    """The progress bar and cancel button of the node that runs."""
    return Monitor(progress_bar(total), check_interrupt=check_interrupt)


def face_monitor(total: int) -> Monitor:
    """The same, with a picture of the current face if previews are on in ComfyUI."""
    if args.preview_method == LatentPreviewMethod.NoPreviews:
        return node_monitor(total)
    preview = _FacePreview(total)
    return Monitor(preview.on_progress, preview.on_crop, check_interrupt)


class _FacePreview:
    """A progress bar that counts faces and shows one of them now and then, as samplers do."""

    def __init__(self, total: int) -> None:
        self._bar = comfy.utils.ProgressBar(total)
        self._preview: Image.Image | None = None
        self._last_preview = -_MIN_PREVIEW_INTERVAL_S

    def on_progress(self, done: int, total: int) -> None:
        """Move the bar, and send the crop that waits to be shown."""
        preview, self._preview = self._preview, None
        shown = None if preview is None else ("JPEG", preview, args.preview_size)
        self._bar.update_absolute(done, total, shown)

    def on_crop(self, crop: Tensor) -> None:
        """Keep a picture of a crop from time to time."""
        now = time.monotonic()
        if now - self._last_preview >= _MIN_PREVIEW_INTERVAL_S:
            self._last_preview = now
            self._preview = _thumbnail(crop, args.preview_size)


def _thumbnail(crop: Tensor, size: int) -> Image.Image:
    """A (3, S, S) crop in [0, 1] as a picture of at most ``size`` pixels, shrunk on its device."""
    if crop.shape[1] > size:
        crop = F.avg_pool2d(crop, math.ceil(crop.shape[1] / size))
    pixels = (crop.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0)
    return Image.fromarray(pixels.cpu().contiguous().numpy())
