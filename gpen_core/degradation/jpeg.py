"""Real JPEG: what libjpeg, through Pillow, makes of a picture."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..errors import TensorSpecError
from .stage import Draws, Limits, Range, Stage, Step

_OFF = 100
_MAX_SIDE_PX = 65500  # libjpeg's


@dataclass(frozen=True)
class JpegSettings(Stage):
    """Compression."""

    quality: Annotated[Range, Limits(1, 100)] = (100.0, 100.0)
    """libjpeg's, rounded down to whole numbers; 100 is not compressed at all."""
    shift: Annotated[Range, Limits(0, 7)] = (0.0, 0.0)
    """How far the grid of blocks is moved to the left and up, in whole pixels."""

    def draw(self, draws: Draws) -> list[Step]:
        """The step for one picture, or none."""
        quality = int(draws.uniform(self.quality))
        quality = round(_OFF + draws.strength * (quality - _OFF))
        shift = round(draws.uniform(self.shift))
        return [Jpeg(quality, shift)] if quality < _OFF else []


@dataclass(frozen=True)
class Jpeg:
    """Compresses and decompresses, with chroma at half the resolution (4:2:0)."""

    quality: int
    shift: int = 0

    def __str__(self) -> str:
        return f"JPEG {self.quality}"

    def apply(self, pixels: Tensor, _: torch.Generator) -> Tensor:
        """Compress.

        Raises:
            TensorSpecError: A side is longer than JPEG can have.
        """
        if max(pixels.shape[1:]) + self.shift > _MAX_SIDE_PX:
            raise TensorSpecError(
                f"images: expected sides of at most {_MAX_SIDE_PX} pixels for JPEG, got "
                f"{tuple(pixels.shape[1:])}. Resize them, or leave JPEG out."
            )
        shifted = pixels
        if self.shift:
            shifted = F.pad(pixels[None], (self.shift, 0, self.shift, 0), "replicate")[0]
        samples = (shifted.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0)
        file = io.BytesIO()
        picture = Image.fromarray(samples.cpu().contiguous().numpy())
        picture.save(file, "JPEG", quality=self.quality, subsampling="4:2:0")
        with Image.open(file) as decoded:
            compressed = torch.from_numpy(np.array(decoded)).permute(2, 0, 1)
        inside = compressed[:, self.shift :, self.shift :]
        return inside.to(pixels.device).to(pixels.dtype) / 255
