"""The wire format of protocol buffers, beside the examples of its specification."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpen_core.checkpoints.onnx import wire


@given(st.lists(st.integers(-(1 << 63), (1 << 63) - 1), min_size=1))
def test_decode_varints_inverts_encode_varint(numbers):
    encoded = [bytes(wire.encode_varint(number % (1 << 64))) for number in numbers]
    pieces = [memoryview(b"".join(encoded[::2])), memoryview(b"".join(encoded[1::2]))]
    decoded = wire.decode_varints(pieces).tolist()
    assert decoded == numbers[::2] + numbers[1::2]


def test_decode_varints_of_unfinished_run_is_refused():
    with pytest.raises(wire.WireError):
        wire.decode_varints([memoryview(b"\x01\x80")])
    with pytest.raises(wire.WireError):
        wire.decode_varints([memoryview(b"\xff" * 10 + b"\x01")])


def test_fields_yields_numbers_and_bytes_without_copying():
    data = bytearray(b"\x08\x96\x01" + b"\x12\x02hi" + b"\x1d" + struct.pack("<f", 1.5))
    view = memoryview(data)
    (first, number), (second, text), (third, value) = wire.fields(view)
    assert (first, number, second, bytes(text), third) == (1, 150, 2, b"hi", 3)
    assert wire.floats(value) == (1.5,)
    data[5:7] = b"HO"
    assert bytes(text) == b"HO"


def test_negative_integers_are_two_s_complement_of_ten_bytes():
    encoded = b"\xfe" + b"\xff" * 8 + b"\x01"  # -2, in the specification
    ((_, value),) = wire.fields(memoryview(b"\x08" + encoded))
    assert wire.integer(value) == -2
    assert wire.integers(memoryview(encoded + b"\x05")) == [-2, 5]


def test_nested_finds_all_messages_at_a_path():
    inner = b"\x12\x01a" + b"\x12\x01b"
    data = memoryview(b"\x0a" + bytes([len(inner)]) + inner + b"\x12\x01c")
    assert [wire.text(found) for found in wire.nested(data, 1, 2)] == ["a", "b"]


def test_a_field_that_is_longer_than_what_is_left_is_refused():
    with pytest.raises(wire.WireError, match="expected 5 more bytes, got 2"):
        list(wire.fields(memoryview(b"\x0a\x05ab")))
