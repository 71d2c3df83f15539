"""Read a video without losing a frame unnoticed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from ..errors import MediaError

_ROUNDING_S = Fraction(1, 100)  # of times in a file, less than a frame takes
MIN_PYAV = 18  # older ones lack colours, chapters, attachments or turns
VIDEO_SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg",
    ".wmv", ".flv", ".3gp",
)  # fmt: skip


@contextmanager
def open_video(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file and choose the stream of pictures that is not a cover.

    Raises:
        MediaError: It cannot be opened, or has no such stream, or PyAV is too old.
    """
    if int(av.__version__.partition(".")[0]) < MIN_PYAV:
        raise MediaError(
            f"{path.name}: expected PyAV {MIN_PYAV} or newer for videos, got {av.__version__}. "
            "Run: pip install --upgrade av"
        )
    try:
        container = av.open(str(path), "r")
    except av.FFmpegError as error:
        raise MediaError(
            f"{path.name}: expected a video file, got one that cannot be opened ({error}). "
            "If a player opens it, convert it to .mp4 or .mkv."
        ) from error
    with container:
        stream = next((s for s in container.streams.video if not _is_cover(s)), None)
        if stream is None:
            raise MediaError(
                f"{path.name}: expected a video stream, got none. Give a file with pictures in it."
            )
        stream.thread_type = "AUTO"
        # Damage is an error, not a picture with some of it missing.
        stream.codec_context.options = {"err_detect": "explode"}
        yield container, stream


def _is_cover(stream: VideoStream) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def read_video(
    container: InputContainer, video: VideoStream, others: Sequence[Stream] = ()
) -> Iterator[av.VideoFrame | Packet[Stream]]:
    """The frames of a video in the order they are shown, and the packets of other streams.

    Raises:
        MediaError: A frame is damaged, missing or of another size than the first.
    """
    name = Path(container.name).name
    size = None
    seen = _Seen()
    try:
        for packet in container.demux(video, *others):
            if packet.stream is not video:
                if packet.size:
                    yield packet
                continue
            if packet.size:
                seen.add_packet(packet)
            for frame in video.decode(packet if packet.size else None):
                if packet.is_corrupt or frame.is_corrupt:
                    raise _damaged(name, seen.n_frames, "marked as damaged")
                size = size or (frame.width, frame.height, frame.format.name)
                if (frame.width, frame.height, frame.format.name) != size:
                    raise MediaError(
                        f"{name}: expected frames of one size, got {size} and then "
                        f"{(frame.width, frame.height, frame.format.name)} from frame "
                        f"{seen.n_frames} on. Cut the video there."
                    )
                seen.n_frames += 1
                yield frame
    except av.FFmpegError as error:
        raise _damaged(name, seen.n_frames, str(error)) from error
    if not seen.n_frames:
        raise MediaError(f"{name}: expected at least one frame, got none. Give another file.")
    # Of .mp4 and .mov the index says what there should be; a cut file has all of its index.
    n_announced = len(video.index_entries) if "mp4" in container.format.name else 0
    if seen.n_packets < n_announced:
        reason = f"{n_announced} frames announced, {seen.n_packets} there"
        raise _damaged(name, seen.n_frames, reason)
    if seen.end is not None and video.time_base is not None:
        announced_end, end = _announced_end(video), seen.end * video.time_base
        if announced_end > end + _ROUNDING_S:
            reason = f"{float(announced_end):.2f} s announced, {float(end):.2f} there"
            raise _damaged(name, seen.n_frames, reason)


@dataclass
class _Seen:
    """What was read of a video so far."""

    n_packets: int = 0
    n_frames: int = 0
    end: int | None = 0
    """When the last packet ends, in units of the time base; None if packets do not say."""

    def add_packet(self, packet: Packet[Stream]) -> None:
        """Count a packet."""
        self.n_packets += 1
        if self.end is not None and packet.pts is not None and packet.duration:
            self.end = max(self.end, packet.pts + packet.duration)
        else:
            self.end = None


def _announced_end(video: VideoStream) -> Fraction:
    """When the last frame should end, in seconds, as writers of Matroska note it; 0 if unknown."""
    try:
        hours, minutes, seconds = video.metadata.get("DURATION", "").split(":")
        return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
    except ValueError:
        return Fraction(0)


def _damaged(name: str, n_frames: int, reason: str) -> MediaError:
    return MediaError(
        f"{name}: expected a whole video, got damage after {n_frames} frames ({reason}). Repair "
        "or cut it: ffmpeg -i INPUT OUTPUT writes what can be read."
    )


def presentation_times(times: Sequence[int | None], stream: VideoStream) -> list[int]:
    """When each frame is shown, in units of the stream's time base.

    Args:
        times: As they were decoded.
        stream: For the rate of a video without any times.

    Raises:
        MediaError: They do not increase.
    """
    known = [time for time in times if time is not None]
    if not known:
        assert stream.time_base is not None
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        return [round(i / rate / stream.time_base) for i in range(len(times))]
    if len(known) < len(times) or any(b <= a for a, b in pairwise(known)):
        raise MediaError(
            f"{Path(stream.container.name).name}: expected frames at increasing times, got some "
            "out of order or without. Convert it with: ffmpeg -i INPUT OUTPUT"
        )
    return known
