"""The GPEN network: an encoder whose maps and code drive a StyleGAN2 decoder.

T. Yang et al., "GAN Prior Embedded Network for Blind Face Restoration in the Wild", CVPR 2021.
The arithmetic is rearranged for inference (see ``layers.py`` and, for CPUs, ``bands.py``); weights
come from a published state dict through ``build.py``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import TensorSpecError
from .bands import Assembly, LazyMap, stored
from .config import GpenConfig
from .layers import ActivatedLinear, EncoderBlock, StyledConv, ToRgb, parameter
from .precision import dtype_at, full_float32


class GpenGenerator(nn.Module):
    """GPEN for inference. Built by ``gpen_core.load_model`` or ``gpen_core.build_model``.

    As published it takes and returns crops in [-1, 1], which no other function does: call
    ``gpen_core.restore_crops`` with crops in [0, 1] instead, which also checks the result.

    Convolutions run in ``dtype`` (but see ``precision.py``); the style path and the sum of the RGB
    maps always in float32. Move it between devices with ``to(device)``; to change the dtype, build
    another.
    """

    def __init__(self, config: GpenConfig, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.config = config
        self.dtype = dtype
        resolutions, width = config.resolutions, config.injected_width

        dtypes = [dtype_at(resolution, dtype) for resolution in resolutions]
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
        """About how much memory one face takes while it is processed, without the weights.

        Eight maps of the full resolution: the last convolution's input, features, result and
        concatenation come to six, its workspace and the RGB maps to the rest. On a CPU, where
        large maps are computed in bands, it is less than half of that.
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
        x = crops.contiguous(memory_format=torch.channels_last)
        # Bands are of one face: several at once would only take more memory.
        batches = torch.split(x, 1 if x.device.type == "cpu" else len(x))
        with full_float32(x.device):
            restored = [self._decode(*self._encode(batch)) for batch in batches]
        return (restored[0] if len(restored) == 1 else torch.cat(restored)).to(crops.dtype)

    def _encode(self, crops: Tensor) -> tuple[list[LazyMap], Tensor]:
        """The encoder's maps from full resolution to 4x4, and the style vectors (N, style_dim)."""
        x = stored(crops)
        features: list[LazyMap] = []
        for block in self.encoder:
            row_bytes = 2 * x.row_bytes  # two rows of the input go into one of the result
            x = block(x)
            # The first has only a few sums a pixel: where it is large, they are repeated.
            x = x.computed(row_bytes) if features else x.computed_if_small()
            features.append(x)
        code = self.code(x.rows(0, x.height).float().flatten(1))
        style: Tensor = self.style(code * torch.rsqrt(code.square().mean(1, keepdim=True) + 1e-8))
        return features, style

    def _decode(self, features: list[LazyMap], style: Tensor) -> Tensor:
        """RGB from the encoder's maps, which are taken off the list as they are used up."""
        convs = iter(self.convs)
        x = stored(self.constant.expand(len(style), -1, -1, -1))
        rgb: Tensor | None = None
        for to_rgb in self.to_rgbs:
            injected = features.pop()
            if rgb is not None:
                x = next(convs)(x, style, injected).computed_if_small()
            x = next(convs)(x, style, injected)
            maps, rgbs = Assembly(x.height), Assembly(x.height)
            for first, end in x.bands():
                rows = x.rows(first, end)
                rgbs.put(first, to_rgb(rows, style, rgb, first))
                if features:  # nothing reads the last map
                    maps.put(first, rows)
            x, rgb = stored(maps.whole) if features else x, rgbs.whole
        assert rgb is not None
        return rgb
