"""A typed model in which no two layers share their integer weights or these weights' zero points.

Where ONNX Runtime turns int8 weights to uint8 (:data:`edgekit.core.sessions.SETTINGS`), it names the new tensor after
the old one, once for every layer that reads it, and refuses the model at the second.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgekit.core.onnxfields import Field, encode, fields_of, varint

# Field numbers of onnx.proto: ModelProto.graph; GraphProto.node, .initializer; NodeProto.input; TensorProto.dims,
# .data_type, .name.
_GRAPH, _NODE, _INITIALIZER, _INPUT = 7, 1, 5, 1
_DIMS, _DATA_TYPE, _NAME = 1, 2, 8
_INT8 = 3
_PACKED = 2


def unshared(model: bytes) -> bytes:
    """``model``, serialised, with a copy of such tensors for each further layer; the same bytes without any.

    What is no ONNX model, or only a part of one, stays what it is: the runtime refuses it in its own words.
    """
    try:
        return b"".join(
            encode(_GRAPH, _graph(list(fields_of(body)))) if number == _GRAPH else field
            for number, field, body in fields_of(model)
        )
    except (IndexError, UnicodeDecodeError):
        return model


def _graph(parts: list[Field]) -> bytes:
    tensors = {_text(body): body for number, _, body in parts if number == _INITIALIZER and _is_int8(body)}
    weights = {name for name, body in tensors.items() if _rank(body) > 1}
    seen: dict[str, int] = {}
    copies: list[bytes] = []
    made = []
    for number, field, body in parts:
        if number == _NODE:
            inputs = [name.decode() for n, _, name in fields_of(body) if n == _INPUT]
            if weights & set(inputs):
                field = encode(_NODE, b"".join(_own(body, tensors, seen, copies)))
        made.append(field)
    return b"".join(made + copies)


def _own(node: bytes, tensors: dict[str, bytes], seen: dict[str, int], copies: list[bytes]) -> Iterator[bytes]:
    """The node's fields; an int8 constant that an earlier node has is one of its own, added to ``copies``."""
    for number, field, body in fields_of(node):
        name = body.decode() if number == _INPUT else ""
        if name not in tensors:
            yield field
            continue
        uses = seen[name] = seen.get(name, 0) + 1
        if uses == 1:
            yield field
            continue
        own = f"{name}/own{uses}".encode()
        copies.append(encode(_INITIALIZER, b"".join(f for n, f, _ in fields_of(tensors[name]) if n != _NAME)
                             + encode(_NAME, own)))  # fmt: skip
        yield encode(_INPUT, own)


def _text(tensor: bytes) -> str:
    return next((body.decode() for number, _, body in fields_of(tensor) if number == _NAME), "")


def _is_int8(tensor: bytes) -> bool:
    return any(_number(field) == _INT8 for number, field, _ in fields_of(tensor) if number == _DATA_TYPE)


def _rank(tensor: bytes) -> int:
    """Number of dimensions; packed or one field each."""
    count = 0
    for number, field, body in fields_of(tensor):
        if number == _DIMS and varint(field, 0)[0] & 7 != _PACKED:
            count += 1
        elif number == _DIMS:
            at = 0
            while at < len(body):
                _, at = varint(body, at)
                count += 1
    return count


def _number(field: bytes) -> int:
    _, at = varint(field, 0)
    return varint(field, at)[0]
