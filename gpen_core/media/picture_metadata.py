"""What a picture file holds besides pixels, carried byte for byte into a newly encoded one.

PNG chunks and JPEG segments are copied as they are, known or not, so that no reader of them can
lose anything on the way.
"""

from __future__ import annotations

from collections.abc import Iterator

_PNG_SIGNATURE_LENGTH = 8
# They describe what the samples mean, and that stays. Of the rest only what its own name declares
# safe to copy, which is the case of its last letter (PNG specification, 5.4).
_PNG_COLOR_CHUNKS = {b"cHRM", b"cICP", b"gAMA", b"iCCP", b"sRGB", b"mDCV", b"cLLI"}

_JPEG_START_OF_SCAN = 0xDA
_JPEG_COMMENT = 0xFE
_JPEG_APP = range(0xE0, 0xF0)
# 11 (JUMBF) holds signatures of the old pixels and 14 (Adobe) how the old samples were coded; the
# multi-picture index of an APP2 points to pictures that are not copied.
_JPEG_DROPPED = {0xEB, 0xEE}
_JPEG_DROPPED_HEADERS = (b"MPF\0",)


def copy_png_chunks(source: bytes, encoded: bytes) -> bytes:
    """The PNG file ``encoded`` with the metadata of the PNG file ``source``."""
    kept = [
        chunk
        for name, chunk in _png_chunks(source)
        if name in _PNG_COLOR_CHUNKS or (name[0:1].islower() and name[3:4].islower())
    ]
    body = dict(_png_chunks(encoded))
    header = encoded[:_PNG_SIGNATURE_LENGTH] + body[b"IHDR"]
    return header + b"".join(kept) + encoded[len(header) :]


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and whole bytes of each chunk."""
    start = _PNG_SIGNATURE_LENGTH
    while start + 12 <= len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        yield data[start + 4 : start + 8], data[start:end]
        start = end


def copy_jpeg_segments(source: bytes, encoded: bytes) -> bytes:
    """The JPEG file ``encoded`` with the metadata of the JPEG file ``source``."""
    kept = [segment for marker, segment in _jpeg_segments(source) if _is_metadata(marker, segment)]
    rest = [
        segment for marker, segment in _jpeg_segments(encoded) if not _is_metadata(marker, segment)
    ]
    n_header = 2 + sum(len(segment) for _, segment in _jpeg_segments(encoded))
    return encoded[:2] + b"".join(kept + rest) + encoded[n_header:]


def _is_metadata(marker: int, segment: bytes) -> bool:
    if marker in _JPEG_DROPPED or segment[4:].startswith(_JPEG_DROPPED_HEADERS):
        return False
    return marker in _JPEG_APP or marker == _JPEG_COMMENT


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and whole bytes of each segment before the first scan."""
    start = 2
    while start + 4 <= len(data) and data[start] == 0xFF:
        marker = data[start + 1]
        if marker == 0xFF:  # fill byte
            start += 1
            continue
        if marker == _JPEG_START_OF_SCAN:
            return
        end = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        yield marker, data[start:end]
        start = end
