"""Which encoder and pixel format a video gets."""

from pathlib import Path

import av
import numpy as np
import pytest

from gpen_core.errors import MediaError
from gpen_core.media import video_encoding
from gpen_core.media.video_encoding import (
    VideoCodec,
    VideoEncoding,
    choose_codec,
    choose_pixel_format,
)


@pytest.mark.parametrize(
    ("missing", "suffix", "expected"),
    [
        ([], ".mp4", VideoCodec.H264),
        ([VideoCodec.H264], ".mp4", VideoCodec.MPEG4),
        ([], ".WebM", VideoCodec.VP9),
        ([VideoCodec.VP9], ".webm", VideoCodec.AV1),
    ],
)
def test_the_encoder_is_the_first_that_fits_the_file_and_is_there(
    monkeypatch, missing, suffix, expected
):
    monkeypatch.setattr(video_encoding, "_is_available", lambda codec: codec not in missing)
    assert choose_codec(VideoEncoding(), Path("clip" + suffix)) is expected


def test_an_encoder_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(video_encoding, "_is_available", lambda codec: False)
    with pytest.raises(MediaError, match=r"got libx265, which this build lacks"):
        choose_codec(VideoEncoding(VideoCodec.H265), Path("clip.mp4"))


@pytest.mark.parametrize(
    ("source", "expected"),
    [("yuv420p", "yuv420p"), ("yuv422p", "yuv422p"), ("yuv444p10le", "yuv444p10le")],
)
def test_ffv1_keeps_the_pixel_format(source, expected):
    frame = av.VideoFrame(16, 16, source)
    assert choose_pixel_format(VideoCodec.FFV1, frame, "clip.mkv") == expected


def test_mpeg4_which_has_one_format_gets_it():
    frame = av.VideoFrame(16, 16, "yuv444p10le")
    assert choose_pixel_format(VideoCodec.MPEG4, frame, "clip.mp4") == "yuv420p"


def test_alpha_is_refused():
    frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 4), np.uint8), "rgba")
    with pytest.raises(MediaError, match="without alpha, got rgba"):
        choose_pixel_format(VideoCodec.FFV1, frame, "clip.mkv")


@pytest.mark.parametrize(("codec", "crf"), [("libx264", 52), ("mpeg4", 32), ("auto", -1)])
def test_a_quality_out_of_the_encoder_s_range_is_refused(codec, crf):
    with pytest.raises(MediaError, match=f"got {crf}"):
        VideoEncoding(codec, crf)
