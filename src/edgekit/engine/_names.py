"""Node names of an optimised ONNX graph that are the same in every build.

ONNX Runtime names the nodes that its layout optimiser adds in the order of a hash
map, so two builds of one model differ in these names and in nothing else.  The file
is rewritten on the level of its fields (https://protobuf.dev/programming-guides/encoding),
because the target half does not have the onnx package.
"""

from __future__ import annotations

from collections.abc import Iterator

# Field numbers of onnx.proto: ModelProto.graph, GraphProto.node, NodeProto.name and .op_type.
_GRAPH, _NODE, _NAME, _OP_TYPE = 7, 1, 3, 4
_LAYOUT = (b"ReorderInput", b"ReorderOutput")
_FIXED = {1: 8, 5: 4}  # wire type to bytes
_LENGTH = 2

Field = tuple[int, bytes, bytes]
"""Number, the whole field, and the content of a length-delimited one."""


def stable(model: bytes) -> bytes:
    """``model`` with every layout node called by its operator and place."""
    return b"".join(
        _encode(_GRAPH, _renamed(body)) if number == _GRAPH else field for number, field, body in _fields(model)
    )


def _renamed(graph: bytes) -> bytes:
    parts, index = [], 0
    for number, field, body in _fields(graph):
        if number == _NODE:
            operator = _text(body, _OP_TYPE)
            if operator in _LAYOUT:
                rest = b"".join(part for n, part, _ in _fields(body) if n != _NAME)
                field = _encode(_NODE, rest + _encode(_NAME, operator + b"/%d" % index))
            index += 1
        parts.append(field)
    return b"".join(parts)


def _text(message: bytes, wanted: int) -> bytes:
    return next((body for number, _, body in _fields(message) if number == wanted), b"")


def _fields(message: bytes) -> Iterator[Field]:
    at = 0
    while at < len(message):
        start = at
        tag, at = _varint(message, at)
        body, kind = b"", tag & 7
        if kind == _LENGTH:
            size, at = _varint(message, at)
            body, at = message[at : at + size], at + size
        elif kind in _FIXED:
            at += _FIXED[kind]
        else:
            _, at = _varint(message, at)
        if at > len(message):
            raise IndexError(f"a field ends at byte {at} of {len(message)}")
        yield tag >> 3, message[start:at], body


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while message[at] & 0x80:
        value |= (message[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
    return value | message[at] << shift, at + 1


def _encode(number: int, content: bytes) -> bytes:
    return _number(number << 3 | _LENGTH) + _number(len(content)) + content


def _number(value: int) -> bytes:
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])
