"""Picture and video files for tests, and a restorer that knows where the faces are."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from torch import Tensor

from gpen_core import Faces
from gpen_core.restorer import Restorer
from support.faces import faces_at

FACE = (14.0, 6.0, 60.0)
"""x and y of a face's crop and its size, in pixels, inside the pictures and frames made here."""
HEIGHT, WIDTH = 72, 96
TIME_BASE = Fraction(1, 90000)
PCM_RATE = 8000


@dataclass(frozen=True)
class KnownFaces(Restorer):
    """Finds one face at ``FACE`` in each image, without a detector."""

    def find(self, images: Tensor) -> Faces:
        return faces_at(*[(i, *FACE) for i in range(len(images))])


def picture_samples(dtype: type, n_channels: int, seed: int = 0) -> np.ndarray:
    """(HEIGHT, WIDTH, n_channels) noise that reaches both ends of the range."""
    top = np.iinfo(dtype).max
    samples = np.random.default_rng(seed).integers(0, top, (HEIGHT, WIDTH, n_channels), dtype, True)
    samples[0, 0], samples[0, 1] = 0, top
    return samples


def png_file(samples: np.ndarray, *extra: bytes) -> bytes:
    """A PNG file, with more chunks between header and data; no library is involved."""
    height, width, n_channels = samples.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[n_channels]
    header = b"".join(n.to_bytes(4, "big") for n in (width, height))
    header += bytes([samples.itemsize * 8, kind, 0, 0, 0])
    rows = b"".join(b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes() for row in samples)
    chunks = [png_chunk(b"IHDR", header), *extra, png_chunk(b"IDAT", zlib.compress(rows))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + png_chunk(b"IEND", b"")


def png_chunk(name: bytes, data: bytes) -> bytes:
    """Length, name, data and checksum."""
    return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")


def frame_samples(index: int) -> np.ndarray:
    """(HEIGHT, WIDTH, 3) uint8 of a smooth picture that moves two pixels a frame."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = [np.sin((x + 2 * index) / 9 + c) * np.cos(y / 11 - c) for c in range(3)]
    return (127.5 + 100 * np.stack(waves, axis=2)).round().astype(np.uint8)


def write_video(
    path: Path,
    *,
    times: tuple[int, ...] = (0, 3600, 7200, 14400, 18000, 27000),
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    colorspace: int = 1,
    color_range: int = 1,
    degrees: int = 0,
    has_sound: bool = True,
    has_subtitles: bool = False,
) -> Path:
    """A clip with frames at the given times in units of 1/90000 s, sound and tags."""
    with av.open(str(path), "w") as output:
        video = output.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, pixel_format
        if codec.startswith("libx26"):
            video.options = {"crf": "4"}
        video.codec_context.time_base = video.time_base = TIME_BASE
        video.codec_context.colorspace = colorspace
        video.codec_context.color_range = color_range
        video.codec_context.color_primaries = video.codec_context.color_trc = 1
        if degrees:
            video.set_display_rotation(degrees)
        output.metadata["title"] = "A clip"
        if has_sound:
            sound = output.add_stream("aac", rate=PCM_RATE)
            sound.layout = "mono"
            sound.metadata["language"] = "deu"
        if has_subtitles:
            words = output.add_mux_stream("subrip")
        for i, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(frame_samples(i), "rgb24").reformat(
                format=pixel_format, dst_colorspace=colorspace, dst_color_range=color_range
            )
            frame.pts, frame.time_base = time, TIME_BASE
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        if has_sound:
            wave = (8000 * np.sin(np.arange(6 * 1024) / 5)).astype(np.int16)
            for start in range(0, len(wave), 1024):
                piece = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], "s16", "mono")
                piece.rate, piece.pts = PCM_RATE, start
                output.mux(sound.encode(piece))
            output.mux(sound.encode(None))
        if has_subtitles:
            packet = av.Packet(b"Hello")
            packet.stream, packet.time_base = words, Fraction(1, 1000)
            packet.pts = packet.dts = 20
            packet.duration = 100
            output.mux(packet)
    return path


def read_frames(path: Path) -> list[av.VideoFrame]:
    """All frames of the first video stream."""
    with av.open(str(path)) as container:
        return list(container.decode(container.streams.video[0]))


def read_packets(path: Path, kind: str) -> list[tuple[Fraction, bytes]]:
    """Time in seconds and contents of the packets of the streams of a kind."""
    with av.open(str(path)) as container:
        streams = [stream for stream in container.streams if stream.type == kind]
        return [(p.pts * p.time_base, bytes(p)) for p in container.demux(*streams) if p.size]


def frame_psnr(first: av.VideoFrame, second: av.VideoFrame) -> float:
    """Of the stored samples of two frames of one pixel format, in dB."""
    assert first.format.name == second.format.name
    a, b = (frame.to_ndarray().astype(float) for frame in (first, second))
    peak = 2 ** first.format.components[0].bits - 1
    return float(10 * np.log10(peak**2 / max(1e-9, np.square(a - b).mean())))
