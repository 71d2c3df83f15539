"""Between the planes of a video frame and RGB, such that what is not restored is not converted.

A change to the RGB picture is added to the stored samples. Where nothing changed they stay what the
decoder gave: no rounding, and colours that RGB cannot hold survive. Chroma is sited as in MPEG-2
and H.264, on the left one of two luma samples and between two rows.

References:
    ITU-T H.273 (2021), tables 2 to 4: colour matrices and ranges.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import MediaError

_FORMAT = re.compile(r"gray(1[0246]le|9le)?|yuvj?4(4[04]|2[02]|1[01])p(1[0246]le|9le)?")
_KR_KB = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # BT.601 with 625 lines
    6: (0.299, 0.114),  # BT.601 with 525 lines
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020
    10: (0.2627, 0.0593),
}
BT709, BT601 = 1, 6
_UNSPECIFIED, _LIMITED, _FULL = (2, 0), 1, 2
_HD = (1280, 577)  # from this width or height on, what does not say is BT.709


def is_planar_yuv(name: str) -> bool:
    """Whether frames of this pixel format can be read and written here."""
    return _FORMAT.fullmatch(name) is not None


def default_matrix(width: int, height: int) -> int:
    """The colour matrix, in H.273's numbers, of a video that does not name one."""
    return BT709 if width >= _HD[0] or height >= _HD[1] else BT601


@dataclass(frozen=True)
class YuvCoding:
    """What the samples of a frame mean."""

    bits: int
    chroma_shifts: tuple[int, int] | None
    """Halvings of the chroma planes' width and height; None for grey."""
    kr: float
    """Weight of red in luma."""
    kb: float
    is_full_range: bool

    @classmethod
    def of_frame(cls, frame: av.VideoFrame) -> YuvCoding:
        """The coding of a frame of a format that ``is_planar_yuv``.

        Raises:
            MediaError: Its colour matrix is not known.
        """
        matrix = int(frame.colorspace)
        if matrix in _UNSPECIFIED:
            matrix = default_matrix(frame.width, frame.height)
        if matrix not in _KR_KB:
            raise MediaError(
                f"video: expected a colour matrix of BT.601, BT.709 or BT.2020, got number {matrix}"
                " of H.273. Convert it to BT.709."
            )
        format_ = frame.format
        is_grey = len(format_.components) == 1
        shifts = (
            (64 // format_.chroma_width(64)).bit_length() - 1,
            (64 // format_.chroma_height(64)).bit_length() - 1,
        )
        return cls(
            format_.components[0].bits,
            None if is_grey else shifts,
            *_KR_KB[matrix],
            is_full_range=format_.name.startswith("yuvj") or int(frame.color_range) == _FULL,
        )

    def to_rgb(self, planes: list[npt.NDArray[Any]]) -> Tensor:
        """Planes of a frame -> (3, H, W) float32 RGB in [0, 1]; chroma is interpolated."""
        low, luma_span, middle, chroma_span = self._levels()
        luma = (_tensor(planes[0]) - low) / luma_span
        if self.chroma_shifts is None:
            return luma.clamp(0, 1).expand(3, -1, -1)
        height, width = luma.shape
        blue, red = (
            (self._enlarged(_tensor(plane))[:height, :width] - middle) / chroma_span
            for plane in planes[1:]
        )
        r = luma + 2 * (1 - self.kr) * red
        b = luma + 2 * (1 - self.kb) * blue
        g = (luma - self.kr * r - self.kb * b) / (1 - self.kr - self.kb)
        return torch.stack([r, g, b]).clamp_(0, 1)

    def add_change(self, planes: list[npt.NDArray[Any]], change: Tensor) -> list[npt.NDArray[Any]]:
        """Planes of a frame after its RGB picture has changed by (3, H, W) float32."""
        _, luma_span, _, chroma_span = self._levels()
        r, g, b = change
        luma = self.kr * r + (1 - self.kr - self.kb) * g + self.kb * b
        changes = [luma * luma_span]
        if self.chroma_shifts is not None:
            blue = (b - luma) / (2 * (1 - self.kb))
            red = (r - luma) / (2 * (1 - self.kr))
            changes += [self._reduced(c) * chroma_span for c in (blue, red)]
        top = 2**self.bits - 1
        return [
            (_tensor(plane) + part).round_().clamp_(0, top).numpy().astype(plane.dtype)
            for plane, part in zip(planes, changes, strict=True)
        ]

    def black(self, height: int, width: int) -> list[npt.NDArray[Any]]:
        """Planes of a black frame."""
        low, _, middle, _ = self._levels()
        dtype = np.uint8 if self.bits == 8 else np.uint16
        planes = [np.full((height, width), low, dtype)]
        if self.chroma_shifts is not None:
            across, down = self.chroma_shifts
            size = (-(-height >> down), -(-width >> across))
            planes += [np.full(size, middle, dtype) for _ in range(2)]
        return planes

    def _levels(self) -> tuple[int, int, int, int]:
        """Sample of black, luma's span, sample of no chroma, chroma's span from -1/2 to 1/2."""
        if self.is_full_range:
            top = 2**self.bits - 1
            return 0, top, 2 ** (self.bits - 1), top
        unit = 2 ** (self.bits - 8)
        return 16 * unit, 219 * unit, 128 * unit, 224 * unit

    def _enlarged(self, plane: Tensor) -> Tensor:
        assert self.chroma_shifts is not None
        across, down = self.chroma_shifts
        for _ in range(across):
            following = torch.cat([plane[:, 1:], plane[:, -1:]], dim=1)
            plane = torch.stack([plane, (plane + following) / 2], dim=2).flatten(1)
        for _ in range(down):
            size = (2 * plane.shape[0], plane.shape[1])
            plane = F.interpolate(plane[None, None], size, mode="bilinear")[0, 0]
        return plane

    def _reduced(self, plane: Tensor) -> Tensor:
        assert self.chroma_shifts is not None
        across, down = self.chroma_shifts
        for _ in range(across):
            plane = F.pad(plane[None], (1, 1 + plane.shape[1] % 2), mode="replicate")[0]
            plane = (plane[:, :-2:2] + 2 * plane[:, 1:-1:2] + plane[:, 2::2]) / 4
        for _ in range(down):
            plane = F.pad(plane[None], (0, 0, 0, plane.shape[0] % 2), mode="replicate")[0]
            plane = (plane[::2] + plane[1::2]) / 2
        return plane


def read_planes(frame: av.VideoFrame) -> list[npt.NDArray[Any]]:
    """Views of the samples of a frame, (h, w) uint8 or uint16 each."""
    n_bytes = (frame.format.components[0].bits + 7) // 8
    views = []
    for plane in frame.planes:
        rows = np.frombuffer(memoryview(plane), np.uint8)[: plane.height * plane.line_size]
        rows = rows.reshape(plane.height, plane.line_size)[:, : plane.width * n_bytes]
        views.append(rows.view("<u2") if n_bytes == 2 else rows)
    return views


def write_planes(frame: av.VideoFrame, planes: list[npt.NDArray[Any]]) -> None:
    """Replace the samples of a frame."""
    frame.make_writable()
    for view, plane in zip(read_planes(frame), planes, strict=True):
        view[:] = plane


def _tensor(plane: npt.NDArray[Any]) -> Tensor:
    return torch.from_numpy(plane.astype(np.float32))
