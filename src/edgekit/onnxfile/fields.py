"""Fields of an ONNX file, read and written without the onnx package, which the target half does not have.

https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

from collections.abc import Iterator

_FIXED = {1: 8, 5: 4}  # wire type to bytes
_LENGTH = 2

Field = tuple[int, bytes, bytes]
"""Number, the whole field, and the content of a length-delimited one."""


def text(message: bytes, wanted: int) -> bytes:
    return next((body for number, _, body in fields_of(message) if number == wanted), b"")


def fields_of(message: bytes) -> Iterator[Field]:
    at = 0
    while at < len(message):
        start = at
        tag, at = varint(message, at)
        body, kind = b"", tag & 7
        if kind == _LENGTH:
            size, at = varint(message, at)
            body, at = message[at : at + size], at + size
        elif kind in _FIXED:
            at += _FIXED[kind]
        else:
            _, at = varint(message, at)
        if at > len(message):
            raise IndexError(f"a field ends at byte {at} of {len(message)}")
        yield tag >> 3, message[start:at], body


def varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while message[at] & 0x80:
        value |= (message[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
    return value | message[at] << shift, at + 1


def encode(number: int, content: bytes) -> bytes:
    return number_of(number << 3 | _LENGTH) + number_of(len(content)) + content


def number_of(value: int) -> bytes:
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])
