"""Restore the faces of a video: one pass finds them all, a second one restores and encodes.

Two passes, because holding a face steady takes the frames after it, and because faces are small to
keep where frames are not: the memory in use does not grow with the video's length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import av
import torch
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream
from torch import Tensor

from ..errors import MediaError
from ..faces.clip import stabilize_faces
from ..faces.faces import Faces
from ..files import complete_file
from ..monitor import SILENT, Monitor
from ..restorer import Restorer
from .targets import check_other_file
from .video_encoding import (
    VideoCodec,
    VideoEncoding,
    add_encoder,
    choose_codec,
    choose_pixel_format,
    display_matrix,
)
from .video_input import open_video, presentation_times, read_video
from .yuv import BT601, YuvCoding, default_matrix, is_planar_yuv, read_planes, write_planes

_CHUNK_PIXELS = 16_000_000  # of frames in memory as RGB; a frame at least
_CHUNK_FRAMES = 32
_LIMITED_RANGE = 1
_FILE_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder")


@dataclass(frozen=True)
class VideoReport:
    """What ``restore_video`` did."""

    n_frames: int
    n_faces: int
    """Of all frames together."""
    size: tuple[int, int]
    """Height and width of the frames written, in pixels."""
    codec: str
    pixel_format: str
    left_out: tuple[str, ...]
    """A description of each stream that could not be copied."""


@dataclass(frozen=True)
class _Survey:
    """What the first pass found out."""

    faces: Faces
    times: list[int]
    first: av.VideoFrame


def restore_video(
    source: str | Path,
    target: str | Path,
    restorer: Restorer,
    *,
    encoding: VideoEncoding | None = None,
    smoothing: float = 0.0,
) -> VideoReport:
    """Restore the faces of a video; sound, subtitles and everything else is copied.

    Frames keep their number and times, colour coding, and bits where the encoder has them. The
    file appears under its name once it is complete and its frames have been counted.

    Args:
        source: The video.
        target: Where to write; the suffix chooses the container.
        restorer: Networks and settings. Its monitor is told of progress in frames, of which each
            counts twice: the faces of all are found, then all are restored. The total is 0 while
            the number of frames is not known.
        encoding: The encoder and its quality.
        smoothing: How steady faces are held from frame to frame, 0 to 1.

    Raises:
        MediaError: The file is damaged or no video, the target is the source, or the container
            does not hold the encoder's codec.
        OSError: The file cannot be written.
    """
    source, target = Path(source), Path(target)
    encoding = encoding or VideoEncoding()
    monitor = restorer.monitor
    # Frames are counted here, not the steps of each chunk.
    restorer = replace(restorer, monitor=replace(monitor, on_progress=SILENT.on_progress))
    check_other_file(source, target)
    survey = _survey(source, restorer, smoothing, monitor)
    with complete_file(target) as partial:
        try:
            report = _write(source, partial, restorer, encoding, survey, monitor)
            _check_count(partial, target.name, len(survey.times))
        except av.FFmpegError as error:
            raise MediaError(
                f"{target.name}: expected to encode it, got {error}. "
                "Choose another encoder with --codec, or another container."
            ) from error
    return report


def _survey(source: Path, restorer: Restorer, smoothing: float, monitor: Monitor) -> _Survey:
    """The faces of all frames, and their times."""
    parts = [Faces.empty()]
    times: list[int | None] = []
    first: av.VideoFrame | None = None
    with open_video(source) as (container, stream):
        total = stream.frames
        for chunk in _chunks(_only_frames(read_video(container, stream))):
            monitor.check_interrupt()
            first = first or chunk[0]
            views = [_FrameView(frame) for frame in chunk]
            found = restorer.find(torch.stack([view.upright_rgb() for view in views]))
            parts.append(_moved(found, len(times)))
            times += [frame.pts for frame in chunk]
            monitor.on_progress(len(times), 2 * max(total, len(times)) if total else 0)
        faces = stabilize_faces(Faces.concatenate(parts), len(times), smoothing)
        assert first is not None  # ``read_video`` refuses a video without one
        return _Survey(faces, presentation_times(times, stream), first)


def _write(
    source: Path,
    partial: Path,
    restorer: Restorer,
    encoding: VideoEncoding,
    survey: _Survey,
    monitor: Monitor,
) -> VideoReport:
    """Restore and encode all frames, and copy all other packets."""
    total = len(survey.times)
    with open_video(source) as (container, video), av.open(str(partial), "w") as output:
        codec = choose_codec(encoding, partial)
        worker = _Worker(restorer, codec, source.name, survey)
        first, size = worker.prepare()
        copies: dict[int, Stream] = {}
        left_out = []
        encoder: VideoStream | None = None
        for stream in container.streams:
            if stream is video:
                encoder = add_encoder(output, codec, encoding, video, first, size)
                _copy_tags(video, encoder)
            elif (copy := _add_copy(output, stream)) is not None:
                copies[stream.index] = copy
            elif stream.type != "attachment" or not _add_attachment(output, stream):
                left_out.append(f"{stream.type} stream {stream.index}")
        assert encoder is not None
        _copy_file_tags(container, output)

        others = [stream for stream in container.streams if stream.index in copies]
        frames = _mux_between_frames(read_video(container, video, others), output, copies)
        n_encoded = 0
        for chunk in _chunks(frames):
            monitor.check_interrupt()
            for frame in worker.restored(chunk, n_encoded):
                frame.pts, frame.time_base = survey.times[n_encoded], video.time_base
                frame.pict_type = 0  # the encoder chooses its own
                output.mux(encoder.encode(frame))
                n_encoded += 1
            monitor.on_progress(total + n_encoded, 2 * total)
        output.mux(encoder.encode(None))
        return VideoReport(
            n_encoded, len(survey.faces), size, codec.value, first.format.name, tuple(left_out)
        )


class _FrameView:
    """A frame as upright RGB, and back."""

    def __init__(self, frame: av.VideoFrame) -> None:
        if not is_planar_yuv(frame.format.name):  # only looked at
            frame = _reformatted(frame, "yuv444p")
        self.frame = frame
        self.coding = YuvCoding.of_frame(frame)
        self._quarters = _quarters(frame)

    @property
    def step(self) -> int:
        """What heights and widths have to be multiples of, in pixels."""
        return int(2 ** max(self.coding.chroma_shifts or (0,)))

    def upright_rgb(self) -> Tensor:
        """(3, H, W) float32 in [0, 1]."""
        return torch.rot90(
            self.coding.to_rgb(read_planes(self.frame)), self._quarters, (-2, -1)
        ).contiguous()

    def with_change(self, change: Tensor) -> av.VideoFrame:
        """The frame itself after a change of its upright RGB."""
        stored = torch.rot90(change, -self._quarters, (-2, -1))
        write_planes(self.frame, self.coding.add_change(read_planes(self.frame), stored))
        return self.frame

    def replaced(self, upright: Tensor) -> av.VideoFrame:
        """A frame like this one of (3, H, W) upright RGB of another size."""
        stored = torch.rot90(upright, -self._quarters, (-2, -1))
        height, width = stored.shape[1:]
        frame = av.VideoFrame(width, height, self.frame.format.name)
        write_planes(frame, self.coding.add_change(self.coding.black(height, width), stored))
        for name in ("color_range", "colorspace", "color_primaries", "color_trc"):
            setattr(frame, name, getattr(self.frame, name))
        return frame


class _Worker:
    """Turns decoded frames into those to encode."""

    def __init__(self, restorer: Restorer, codec: VideoCodec, name: str, survey: _Survey) -> None:
        self._restorer, self._codec, self._name = restorer, codec, name
        self._faces, self._first = survey.faces, survey.first
        self._factor = 1.0
        self._format = ""

    def prepare(self) -> tuple[av.VideoFrame, tuple[int, int]]:
        """The first frame in the encoder's format, and the height and width of all to encode."""
        frame = self._first
        self._format = choose_pixel_format(self._codec, frame, self._name)
        first = self._formatted(frame)
        upright = (frame.height, frame.width)
        if _quarters(frame) % 2:
            upright = upright[::-1]
        self._factor = self._restorer.canvas_factor(self._faces, upright)
        size = self._restorer.output_size(upright, self._factor, _FrameView(first).step)
        return first, size[::-1] if _quarters(frame) % 2 else size

    def restored(self, frames: list[av.VideoFrame], start: int) -> Iterator[av.VideoFrame]:
        """The frames, of which the first has the number ``start``, with restored faces."""
        index = self._faces.image_index
        faces = self._faces.select((index >= start) & (index < start + len(frames)))
        views = [_FrameView(self._formatted(frame)) for frame in frames]
        if self._factor > 1:
            for i, view in enumerate(views):
                image = view.upright_rgb()[None]
                own = _moved(faces.of_image(start + i), -start - i)
                enlarged = self._restorer.restore(
                    image, own, factor=self._factor, step=view.step, seed=start + i
                )
                yield view.replaced(enlarged[0])
            return
        changed = sorted({int(i) - start for i in faces.image_index})
        changes: dict[int, Tensor] = {}
        if changed:
            images = torch.stack([views[i].upright_rgb() for i in changed])
            rows = torch.searchsorted(torch.tensor(changed), faces.image_index - start)
            result = self._restorer.restore(images, replace(faces, image_index=rows), seed=start)
            changes = dict(zip(changed, result.sub_(images), strict=True))
        for i, view in enumerate(views):
            yield view.with_change(changes[i]) if i in changes else view.frame

    def _formatted(self, frame: av.VideoFrame) -> av.VideoFrame:
        return frame if frame.format.name == self._format else _reformatted(frame, self._format)


def _reformatted(frame: av.VideoFrame, name: str) -> av.VideoFrame:
    """The frame in another pixel format; its range and matrix are kept, those of RGB chosen."""
    if not frame.format.is_rgb and not frame.format.has_palette:
        return frame.reformat(format=name)
    matrix = default_matrix(frame.width, frame.height)
    converted = frame.reformat(
        format=name,
        dst_colorspace=5 if matrix == BT601 else matrix,  # swscale's own number
        dst_color_range=_LIMITED_RANGE,
    )
    converted.colorspace, converted.color_range = matrix, _LIMITED_RANGE
    return converted


def _quarters(frame: av.VideoFrame) -> int:
    """Turns anticlockwise by right angles that show the frame upright."""
    return round(frame.rotation / 90) % 4 if display_matrix(frame) is not None else 0


def _chunk_length(frame: av.VideoFrame) -> int:
    return max(1, min(_CHUNK_FRAMES, _CHUNK_PIXELS // (frame.width * frame.height)))


def _chunks(frames: Iterator[av.VideoFrame]) -> Iterator[list[av.VideoFrame]]:
    chunk: list[av.VideoFrame] = []
    for frame in frames:
        chunk.append(frame)
        if len(chunk) >= _chunk_length(frame):
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _only_frames(items: Iterator[av.VideoFrame | Packet[Stream]]) -> Iterator[av.VideoFrame]:
    return (item for item in items if not isinstance(item, Packet))


def _mux_between_frames(
    items: Iterator[av.VideoFrame | Packet[Stream]],
    output: OutputContainer,
    copies: dict[int, Stream],
) -> Iterator[av.VideoFrame]:
    """The frames; packets that come in between go into the output as they are."""
    for item in items:
        if isinstance(item, Packet):
            item.stream = copies[item.stream.index]
            output.mux(item)
        else:
            yield item


def _moved(faces: Faces, offset: int) -> Faces:
    """The faces, counted from another image."""
    return replace(faces, image_index=faces.image_index + offset)


def _add_copy(output: OutputContainer, stream: Stream) -> Stream | None:
    """A stream for the same packets; None where the container does not take them."""
    if stream.type in ("data", "attachment", "unknown"):
        return None
    try:
        copy = output.add_stream_from_template(stream)
    except (av.FFmpegError, ValueError):
        return None
    _copy_tags(stream, copy)
    return copy


def _add_attachment(output: OutputContainer, stream: Stream) -> bool:
    if output.format.name != "matroska" or not isinstance(stream, av.stream.AttachmentStream):
        return False
    name = stream.name or stream.metadata.get("filename", "attachment")
    output.add_attachment(name, stream.mimetype or "application/octet-stream", stream.data)
    return True


def _copy_tags(source: Stream, target: Stream) -> None:
    target.metadata.update(source.metadata)
    target.disposition = source.disposition


def _copy_file_tags(source: InputContainer, target: OutputContainer) -> None:
    tags = {key: v for key, v in source.metadata.items() if key.lower() not in _FILE_TAGS}
    target.metadata.update(tags)
    target.set_chapters(source.chapters())


def _check_count(file: Path, name: str, expected: int) -> None:
    """Raise unless the file holds as many frames as it should."""
    with open_video(file) as (container, stream):
        count = sum(packet.size > 0 for packet in container.demux(stream))
    if count != expected:
        raise MediaError(
            f"{name}: expected {expected} frames as in the input, got {count} in the file. "
            "Choose another encoder with --codec, or .mkv for the output."
        )
