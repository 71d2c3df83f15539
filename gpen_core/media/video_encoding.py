"""How a video is written: encoder, quality, pixel format and what is kept of the old stream."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.context import Flags
from av.container import OutputContainer
from av.video.stream import VideoStream

from ..errors import MediaError
from ..settings import Choice
from .yuv import is_planar_yuv


class VideoCodec(Choice):
    """Encoders, by FFmpeg's names."""

    AUTO = "auto"
    """libx264 where it is there, else mpeg4; libvpx-vp9 for .webm."""
    H264 = "libx264"
    H265 = "libx265"
    AV1 = "libsvtav1"
    VP9 = "libvpx-vp9"
    MPEG4 = "mpeg4"
    FFV1 = "ffv1"
    """Lossless; large files, in .mkv or .avi."""


DEFAULT_CRF = {
    VideoCodec.H264: 16,
    VideoCodec.H265: 18,
    VideoCodec.AV1: 20,
    VideoCodec.VP9: 20,
    VideoCodec.MPEG4: 2,
}
"""The quality of each encoder, visually lossless."""
_HIGHEST_CRF = {
    VideoCodec.H264: 51,
    VideoCodec.H265: 51,
    VideoCodec.AV1: 63,
    VideoCodec.VP9: 63,
    VideoCodec.MPEG4: 31,
}


@dataclass(frozen=True)
class VideoEncoding:
    """The encoder of restored videos."""

    codec: VideoCodec = VideoCodec.AUTO
    crf: float | None = None
    """Quality, 0 the best; of mpeg4 the quantiser, from 1. None: ``DEFAULT_CRF``."""

    def __post_init__(self) -> None:
        """Check the quality.

        Raises:
            MediaError: It is out of the range of every encoder that it may be for.
        """
        object.__setattr__(self, "codec", VideoCodec(self.codec))
        highest = _HIGHEST_CRF.get(self.codec, max(_HIGHEST_CRF.values()))
        if self.crf is not None and not 0 <= self.crf <= highest:
            raise MediaError(
                f"crf: expected 0 to {highest}, got {self.crf}. Lower is better; try 18."
            )


def choose_codec(encoding: VideoEncoding, target: Path) -> VideoCodec:
    """The encoder for a file.

    Raises:
        MediaError: It is not in this build of PyAV.
    """
    wanted = [encoding.codec]
    if encoding.codec is VideoCodec.AUTO:
        is_webm = target.suffix.lower() == ".webm"
        wanted = (
            [VideoCodec.VP9, VideoCodec.AV1] if is_webm else [VideoCodec.H264, VideoCodec.MPEG4]
        )
    available = [codec for codec in wanted if _is_available(codec)]
    if not available:
        raise MediaError(
            f"codec: expected an encoder that PyAV has, got {wanted[0].value}, which this build "
            "lacks. Choose another with --codec."
        )
    return available[0]


def _is_available(codec: VideoCodec) -> bool:
    return codec.value in av.codecs_available and av.Codec(codec.value, "w").is_encoder


def choose_pixel_format(codec: VideoCodec, frame: av.VideoFrame, name: str) -> str:
    """The encoder's pixel format that keeps most of a frame's chroma and bits.

    Raises:
        MediaError: The frame has an alpha channel, which would be lost.
    """
    source = frame.format
    if any(component.is_alpha for component in source.components):
        raise MediaError(
            f"{name}: expected a video without alpha, got {source.name}. Write its frames as PNG "
            "pictures and restore those, or remove the alpha channel."
        )
    offered = av.Codec(codec.value, "w").video_formats or []
    known = [f for f in offered if is_planar_yuv(f.name)]
    if codec not in (VideoCodec.VP9, VideoCodec.FFV1):  # all others want whole chroma samples
        known = [f for f in known if _divides(f, frame)] or known
    return min(known, key=lambda f: _loss(f, source)).name


def _divides(offered: av.VideoFormat, frame: av.VideoFrame) -> bool:
    across, down = 64 // offered.chroma_width(64), 64 // offered.chroma_height(64)
    return frame.width % across == 0 and frame.height % down == 0


def _loss(offered: av.VideoFormat, source: av.VideoFormat) -> tuple[bool, int, int, int, bool]:
    """What is lost, the worst first, then what is wasted."""
    is_grey = len(source.components) == 1 and not source.has_palette
    loses_color = len(offered.components) == 1 and not is_grey
    chroma = sum(
        (getattr(offered, side)(64) - getattr(source, side)(64)) // 8
        for side in ("chroma_width", "chroma_height")
    )
    bits = offered.components[0].bits - source.components[0].bits
    waste = abs(chroma) + abs(bits)
    return loses_color, max(0, -chroma), max(0, -bits), waste, offered.name != source.name


def add_encoder(
    output: OutputContainer,
    codec: VideoCodec,
    encoding: VideoEncoding,
    source: VideoStream,
    first: av.VideoFrame,
    size: tuple[int, int],
) -> VideoStream:
    """Add the stream of restored frames.

    Args:
        output: Where to.
        codec: From ``choose_codec``.
        encoding: For the quality.
        source: The stream that was read: its time base, aspect and colours are kept.
        first: Its first frame as it will be encoded, for the pixel format and colours.
        size: Height and width of the frames in pixels.

    Raises:
        MediaError: The container does not hold the codec.
    """
    quality = DEFAULT_CRF.get(codec, 0) if encoding.crf is None else encoding.crf
    options = {} if codec in (VideoCodec.MPEG4, VideoCodec.FFV1) else {"crf": f"{quality:g}"}
    rate = source.average_rate or source.guessed_rate or Fraction(25)
    try:
        stream = output.add_stream(codec.value, rate=rate, options=options)
    except ValueError as error:
        raise MediaError(
            f"{output.format.name}: expected a container for {codec.value}, got one that holds "
            "none of it. Choose another --codec, or convert the input to .mkv or .mp4."
        ) from error
    assert isinstance(stream, VideoStream)
    context = stream.codec_context
    context.height, context.width = size
    context.pix_fmt = first.format.name
    assert source.time_base is not None
    context.time_base = stream.time_base = source.time_base
    if source.sample_aspect_ratio:
        context.sample_aspect_ratio = source.sample_aspect_ratio
    context.color_range, context.colorspace = int(first.color_range), int(first.colorspace)
    context.color_primaries = int(first.color_primaries)
    context.color_trc = int(first.color_trc)
    context.flags |= Flags.frame_duration  # else the last frame's is guessed
    if codec is VideoCodec.MPEG4:
        context.qmin = context.qmax = max(1, round(quality))
    if codec is VideoCodec.H265 and output.format.name in ("mp4", "mov"):
        context.codec_tag = "hvc1"  # which Apple's players ask for
    if output.format.name == "avi":
        context.max_b_frames = 0  # AVI cannot say when frames are shown, only their order
    matrix = display_matrix(first)
    if matrix is not None:
        stream.set_display_matrix(matrix)
    return stream


def display_matrix(frame: av.VideoFrame) -> list[int] | None:
    """The nine numbers by which players turn the frames; None where they do not."""
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return None
    return [int(number) for number in np.frombuffer(bytes(data), np.int32)]
