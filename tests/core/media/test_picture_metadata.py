"""Chunks and segments carried over, byte for byte."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from gpen_core.media.picture_metadata import copy_jpeg_segments, copy_png_chunks


def encoded(kind: str, level: int, **options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), level, np.uint8)).save(stream, kind, **options)
    return stream.getvalue()


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def chunk(name: bytes, body: bytes) -> bytes:
    check = zlib.crc32(name + body).to_bytes(4, "big")
    return len(body).to_bytes(4, "big") + name + body + check


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


@pytest.mark.parametrize(
    ("name", "is_kept"),
    [(b"gAMA", True), (b"teSt", True), (b"teST", False), (b"TeSt", False)],
)
def test_png_keeps_colour_chunks_and_what_says_that_it_may_be_copied(name, is_kept):
    source = encoded("PNG", 10)
    extra = chunk(name, b"\0\0\xb1\x8f")
    source = source[:33] + extra + source[33:]  # behind the header
    copied = copy_png_chunks(source, encoded("PNG", 200))
    assert (extra in copied) == is_kept
    assert (pixels(copied) == 200).all()


@pytest.mark.parametrize(
    ("marker", "body", "is_kept"),
    [
        (0xE1, b"Exif\0\0 anything", True),
        (0xE5, b"nobody knows", True),
        (0xFE, b"a comment", True),
        (0xE2, b"MPF\0 index", False),
        (0xE2, b"ICC_PROFILE\0 profile", True),
        (0xEB, b"JP signature", False),
        (0xEE, b"Adobe\0d\0\0\0\0\1", False),
    ],
)
def test_jpeg_keeps_what_does_not_speak_of_the_old_samples(marker, body, is_kept):
    source = encoded("JPEG", 10)
    extra = segment(marker, body)
    copied = copy_jpeg_segments(source[:2] + extra + source[2:], encoded("JPEG", 200))
    assert (extra in copied) == is_kept
    np.testing.assert_array_equal(pixels(copied), pixels(encoded("JPEG", 200)))


def test_a_source_that_is_cut_off_does_no_harm():
    png, jpeg = encoded("PNG", 10), encoded("JPEG", 10)
    assert (pixels(copy_png_chunks(png[:20], encoded("PNG", 200))) == 200).all()
    copied = copy_jpeg_segments(jpeg[:30], encoded("JPEG", 200))
    np.testing.assert_array_equal(pixels(copied), pixels(encoded("JPEG", 200)))
