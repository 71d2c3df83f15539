"""A small patch discriminator, which tells the texture of photos from that of restorations.

Few photos are enough for it because it sees patches, and because it never sees a face twice in the
same way: S. Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", NeurIPS
2020.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

_CHANNELS = (32, 64, 128)
_MAX_SHIFT = 1 / 8
_CUT_SIDE = 1 / 3
_DETAIL_GAIN = 8.0
"""Brings detail to about the scale of the picture."""


class PatchDiscriminator(nn.Module):
    """Three convolutions of stride 2 and one more; its outputs see patches of 70 pixels."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        in_chs = 6
        for out_chs in _CHANNELS:
            conv = nn.Conv2d(in_chs, out_chs, 4, stride=2, padding=1)
            layers += [spectral_norm(conv), nn.LeakyReLU(0.2)]
            in_chs = out_chs
        layers += [spectral_norm(nn.Conv2d(in_chs, 1, 3, padding=1))]
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) in [-1, 1] -> (N, 1, S / 8, S / 8), higher where it looks like a photo."""
        # Texture by itself too, which colours and shapes would hide for long.
        detail = images - F.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
        scores: Tensor = self.layers(torch.cat((images, _DETAIL_GAIN * detail), dim=1))
        return scores


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Change brightness, saturation, contrast and place, and cut out a square, each by a draw.

    Args:
        images: (N, 3, S, S) in [-1, 1]; gradients pass.
        generator: On the CPU.
    """
    count, _, size, _ = images.shape

    def draw(low: float, high: float) -> Tensor:
        values = torch.rand(count, generator=generator) * (high - low) + low
        return values.to(images.device)[:, None, None, None]

    images = images + draw(-0.5, 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * draw(0.0, 2.0)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = mean + (images - mean) * draw(0.5, 1.5)
    reach = int(size * _MAX_SHIFT)
    shifts = torch.randint(-reach, reach + 1, (2, count), generator=generator).tolist()
    padded = F.pad(images, [reach] * 4)
    images = torch.stack(
        [
            padded[i, :, reach + dy : reach + dy + size, reach + dx : reach + dx + size]
            for i, (dx, dy) in enumerate(zip(*shifts, strict=True))
        ]
    )
    half = int(size * _CUT_SIDE / 2)
    place = torch.arange(size, device=images.device)
    x, y = draw(0, size)[:, 0, 0], draw(0, size)[:, 0, 0]
    inside_x, inside_y = ((place - centre).abs() < half for centre in (x, y))
    kept = ~(inside_x[:, None, :] & inside_y[:, :, None])
    return images * kept[:, None].to(images.dtype)
