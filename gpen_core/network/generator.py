"""The GPEN network: an encoder whose maps and code drive a StyleGAN2 decoder.

T. Yang et al., "GAN Prior Embedded Network for Blind Face Restoration in the Wild", CVPR 2021.
The arithmetic is rearranged for inference (see ``layers.py`` and, for CPUs, ``strips.py``); weights
come from a published state dict through ``folding.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ..errors import TensorSpecError
from . import acceleration
from .config import GpenConfig
from .layers import ActivatedLinear, EncoderBlock, StyledConv, ToRgb, parameter
from .precision import dtype_at
from .strips import decode_in_strips, encode_in_strips


class GpenGenerator(nn.Module):
    """GPEN for inference. Built by ``gpen_core.load_model`` or ``gpen_core.build_model``.

    Convolutions run in ``dtype`` (but see ``precision.py``); the style path and the sum of the RGB
    maps always in float32. Move it between devices with ``to(device)``; to change the dtype, build
    it anew.
    """

    def __init__(self, config: GpenConfig, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.config = config
        self.dtype = dtype
        resolutions, width = config.resolutions, config.injected_width

        dtypes = [dtype_at(resolution, dtype) for resolution in resolutions]
        self.conv_dtypes = frozenset(dtypes)

        self.encoder = nn.ModuleList()
        for resolution, level in zip(reversed(resolutions), reversed(dtypes), strict=True):
            is_first = resolution == config.size
            in_chs = 3 if is_first else config.channels(2 * resolution)
            out_chs = config.channels(resolution)
            self.encoder.append(EncoderBlock(in_chs, out_chs, not is_first, level))
        self.code = ActivatedLinear(config.channels(4) * 16, config.style_dim)
        self.style = nn.Sequential(
            *(ActivatedLinear(config.style_dim, config.style_dim) for _ in range(config.n_mlp))
        )

        self.constant = parameter(1, config.channels(4), 4, 4, dtype=dtypes[0])
        self.convs = nn.ModuleList()
        self.to_rgbs = nn.ModuleList()
        in_chs = config.channels(4)
        for resolution, level in zip(resolutions, dtypes, strict=True):
            out_chs = config.channels(resolution)
            for upsample in (True, False) if resolution > 4 else (False,):
                self.convs.append(
                    StyledConv(in_chs, out_chs, config.style_dim, upsample, config.concat, level)
                )
                in_chs = out_chs * width
            self.to_rgbs.append(ToRgb(in_chs, config.style_dim, level))

    def activation_bytes(self) -> int:
        """About how much memory one face takes on its way through, without the weights.

        Eight maps of the full resolution: the last convolution's input, features, result and
        concatenation come to six, its workspace and the RGB maps to the rest. On a CPU, where
        large maps are computed in strips, it is less than half of that.
        """
        size = self.config.size
        return 8 * self.config.channels(size) * size * size * self.dtype.itemsize

    @torch.no_grad()
    def forward(self, crops: Tensor) -> Tensor:
        """Restore aligned faces.

        Args:
            crops: (N, 3, S, S) floating, RGB, in [-1, 1], S = ``config.size``, on the network's
                device.

        Returns:
            Same shape and dtype, RGB, about [-1, 1]; not clamped.

        Raises:
            TensorSpecError: Any other shape.
        """
        size = self.config.size
        if crops.ndim != 4 or crops.shape[1:] != (3, size, size):
            raise TensorSpecError(
                f"crops: expected (N, 3, {size}, {size}), got {tuple(crops.shape)}. "
                "Align and resize the faces to the model's size."
            )
        if crops.shape[0] == 0:
            return crops.clone()
        return acceleration.run(self, self._restore, crops)

    def _restore(self, crops: Tensor) -> Tensor:
        x = crops.contiguous(memory_format=torch.channels_last)
        if x.device.type == "cpu":
            faces = [self._restore_in_strips(face) for face in torch.split(x, 1)]
            restored = faces[0] if len(faces) == 1 else torch.cat(faces)
        else:
            with acceleration.full_float32():
                restored = self._decode(*self._encode(x))
        return restored.to(crops.dtype)

    def _restore_in_strips(self, crop: Tensor) -> Tensor:
        encoder = cast("Sequence[EncoderBlock]", self.encoder)
        convs = cast("Sequence[StyledConv]", self.convs)
        to_rgbs = cast("Sequence[ToRgb]", self.to_rgbs)
        features, deepest = encode_in_strips(encoder, crop)
        style = self._style_of(deepest)
        return decode_in_strips(convs, to_rgbs, self.constant, features, style)

    def _style_of(self, deepest: Tensor) -> Tensor:
        """The style vectors (N, style_dim) float32 by the encoder's 4x4 map."""
        code = self.code(deepest.float().flatten(1))
        style: Tensor = self.style(code * torch.rsqrt(code.square().mean(1, keepdim=True) + 1e-8))
        return style

    def _encode(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """The encoder's maps from full resolution to 4x4, and the style vectors."""
        features = []
        for block in self.encoder:
            x = block(x)
            features.append(x)
        return features, self._style_of(x)

    def _decode(self, features: list[Tensor], style: Tensor) -> Tensor:
        """RGB from the encoder's maps, which are taken off the list as they are used up."""
        convs = iter(self.convs)
        deepest = features.pop()
        x = next(convs)(self.constant.expand(style.shape[0], -1, -1, -1), style, deepest)
        rgb: Tensor = self.to_rgbs[0](x, style)
        for to_rgb in list(self.to_rgbs)[1:]:
            injected = features.pop()
            x = next(convs)(x, style, injected)
            x = next(convs)(x, style, injected)
            del injected
            rgb = to_rgb(x, style, rgb)
        return rgb
