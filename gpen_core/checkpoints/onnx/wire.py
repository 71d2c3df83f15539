"""The wire format of protocol buffers, as far as ONNX files need it. Reads; never writes a file.

Format: https://protobuf.dev/programming-guides/encoding/. Every length is checked against what is
left, so that a damaged file ends in ``WireError`` and not in a long loop or a huge allocation.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

FieldValue = int | memoryview

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10
_MAX_TEXT_BYTES = 4096


class WireError(ValueError):
    """Bytes that are not what they should be. Readers of files turn it into their own errors."""

    def __init__(self, expected: str, got: Any) -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.expected = expected
        self.got = got


def fields(data: memoryview) -> Iterator[tuple[int, FieldValue]]:
    """Field numbers and values of one message: an int for a varint, else the bytes, not copied."""
    position, end = 0, len(data)
    while position < end:
        tag, position = _read_varint(data, position)
        wire_type = tag & 7
        if wire_type == _VARINT:
            value, position = _read_varint(data, position)
            yield tag >> 3, value
            continue
        if wire_type == _BYTES:
            length, position = _read_varint(data, position)
        elif wire_type == _FIXED32:
            length = 4
        elif wire_type == _FIXED64:
            length = 8
        else:
            raise WireError("a protocol buffer", f"wire type {wire_type}")
        if length > end - position:
            raise WireError(f"{length} more bytes", end - position)
        yield tag >> 3, data[position : position + length]
        position += length


def nested(data: memoryview, *path: int) -> Iterator[memoryview]:
    """All messages at a path of field numbers."""
    for number, value in fields(data):
        if number == path[0]:
            if len(path) == 1:
                yield message(value)
            else:
                yield from nested(message(value), *path[1:])


def message(value: FieldValue) -> memoryview:
    """The value of a field that holds bytes."""
    if isinstance(value, int):
        raise WireError("a nested message", "a number")
    return value


def text(value: FieldValue) -> str:
    """The value of a field that holds a string."""
    data = message(value)
    if len(data) > _MAX_TEXT_BYTES:
        raise WireError(f"a name of at most {_MAX_TEXT_BYTES} bytes", len(data))
    return str(data, "utf-8", "replace")


def integer(value: FieldValue) -> int:
    """The value of a field that holds a signed integer."""
    if not isinstance(value, int):
        raise WireError("an integer", "bytes")
    return value - (1 << 64) if value >= 1 << 63 else value


def integers(value: FieldValue) -> list[int]:
    """The value of a repeated integer field: one element, or a packed run of them."""
    return [integer(value)] if isinstance(value, int) else decode_varints([value]).tolist()


def floats(value: FieldValue) -> Sequence[float]:
    """The value of a float field: one element, or a packed run of them."""
    data = message(value)
    if len(data) % 4:
        raise WireError("numbers of 4 bytes", f"{len(data)} bytes")
    return struct.unpack(f"<{len(data) // 4}f", data)


def encode_varint(value: int) -> memoryview:
    """One unsigned integer as a varint."""
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return memoryview(encoded)


def decode_varints(pieces: Sequence[memoryview]) -> NDArray[np.int64]:
    """All varints of some runs of bytes, by one pass over them per byte of the longest."""
    data = np.concatenate([np.frombuffer(piece, np.uint8) for piece in pieces])
    if not len(data):
        return np.zeros(0, np.int64)
    ends = np.flatnonzero(data < 0x80)
    if not len(ends) or ends[-1] != len(data) - 1:
        raise WireError("integers", "one that does not end")
    starts = np.concatenate([np.zeros(1, ends.dtype), ends[:-1] + 1])
    lengths = ends - starts + 1
    longest = int(lengths.max())
    if longest > _MAX_VARINT_BYTES:
        raise WireError(f"integers of at most {_MAX_VARINT_BYTES} bytes", longest)
    values = np.zeros(len(ends), np.uint64)
    for i in range(longest):
        has_byte = lengths > i
        bits = (data[starts[has_byte] + i] & 0x7F).astype(np.uint64)
        values[has_byte] |= bits << np.uint64(7 * i)
    return values.view(np.int64)


def _read_varint(data: memoryview, position: int) -> tuple[int, int]:
    result = shift = 0
    for byte in data[position : position + _MAX_VARINT_BYTES]:
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & 0xFFFF_FFFF_FFFF_FFFF, position
        shift += 7
    raise WireError("an integer", "one that does not end")
