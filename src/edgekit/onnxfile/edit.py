"""An ONNX file that shows inner tensors, or is cut at them: edited as fields, without the onnx package.

Field numbers are those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edgekit.core.errors import ModelError
from edgekit.core.layers import LayerTensor
from edgekit.onnxfile.fields import encode, fields_of, number_of

FOUND = "/found"
"""Ending of the output that shows what a cut file computes for a tensor; the tensor itself is an input."""
_BLOCKED, _PLAIN = "/blocked", "/plain"
_GRAPH, _NODE, _INPUT, _OUTPUT, _VALUE_INFO = 7, 1, 11, 12, 13
_NODE_INPUT, _NODE_OUTPUT, _OP_TYPE, _NODE_ATTRIBUTE, _DOMAIN = 1, 2, 4, 5, 7
_ATTRIBUTE_NAME, _ATTRIBUTE_INT, _ATTRIBUTE_TYPE, _INT = 1, 3, 20, 2
_LANES = 4
_BLOCKS = b"com.microsoft.nchwc"
_ELEMENTS = {"float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7, "bool": 9}
_ELEMENTS |= {"float16": 10, "float64": 11, "uint32": 12, "uint64": 13, "bfloat16": 16}


@dataclass(frozen=True)
class Cut:
    """A tensor at which a file is cut: dtype and shape of what is fed in its place.

    ``blocked``: the file holds it in ONNX Runtime's blocked layout; it is fed and shown as NCHW, ``tensor.shape``.
    The runtime takes no other number of channels into that layout than a multiple of :data:`_LANES`: such a tensor is
    shown, and what reads it reads what the file computes.
    """

    name: str
    tensor: LayerTensor
    blocked: bool = False

    @property
    def fed(self) -> bool:
        """Whether it can be fed."""
        return not self.blocked or self.channels % _LANES == 0

    @property
    def feed(self) -> str:
        """Name of the input that takes its place."""
        return self.name + _PLAIN if self.blocked else self.name

    @property
    def channels(self) -> int:
        """Of a blocked tensor; the layout may hold more."""
        return self.tensor.shape[1]


def show(model: bytes, tensors: Sequence[str], blocked: Mapping[str, int] | None = None) -> bytes:
    """``model`` whose outputs are just ``tensors``, and those of ``blocked`` (channels by name) with :data:`FOUND`."""
    unblocked = dict(blocked or {})
    nodes = b"".join(encode(_NODE, _from_blocks(name, name, channels)) for name, channels in unblocked.items())
    names = [*tensors, *(name + FOUND for name in unblocked)]
    return _graph_changed(model, lambda graph: _with_outputs(graph + nodes, names))


def cut(model: bytes, cuts: Sequence[Cut]) -> bytes:
    """``model`` in which each tensor of ``cuts`` is fed from outside, and shown as it is computed from what is fed.

    So every part between two cuts computes on its own: an error of one does not reach the next.  The inputs are those
    of the model and :attr:`Cut.feed` of each; the outputs are each name with :data:`FOUND`.
    """
    named = {c.name: c for c in cuts if c.fed}

    def changed(graph: bytes) -> bytes:
        parts = [encode(_NODE, _to_blocks(c)) for c in cuts if c.blocked and c.fed]
        for number, field, body in fields_of(graph):
            parts.append(encode(_NODE, _renamed(body, named)) if number == _NODE else field)
        shown = [(c.name + (_BLOCKED if c.fed else ""), c) for c in cuts if c.blocked]
        parts += [encode(_NODE, _from_blocks(made, c.name, c.channels)) for made, c in shown]
        parts += [encode(_INPUT, _value(c.feed, c.tensor)) for c in cuts if c.fed]
        return _with_outputs(b"".join(parts), [c.name + FOUND for c in cuts])

    return _graph_changed(model, changed)


def _graph_changed(model: bytes, change: Callable[[bytes], bytes]) -> bytes:
    try:
        return b"".join(
            encode(_GRAPH, change(body)) if number == _GRAPH else field for number, field, body in fields_of(model)
        )
    except IndexError as error:
        raise ModelError("not an ONNX model, or only a part of one") from error


def _with_outputs(graph: bytes, tensors: Sequence[str]) -> bytes:
    # Types of inner tensors may be of another tensor by now; the runtime infers them.
    kept = b"".join(field for number, field, _ in fields_of(graph) if number not in (_OUTPUT, _VALUE_INFO))
    return kept + b"".join(encode(_OUTPUT, _text(1, name)) for name in tensors)


def _renamed(node: bytes, cuts: Mapping[str, Cut]) -> bytes:
    parts = []
    for number, field, body in fields_of(node):
        found = cuts.get(body.decode()) if number == _NODE_OUTPUT else None
        ending = _BLOCKED if found is not None and found.blocked else FOUND
        parts.append(field if found is None else _text(_NODE_OUTPUT, found.name + ending))
    return b"".join(parts)


def _to_blocks(made: Cut) -> bytes:
    return _layout_node(b"ReorderInput", made.feed, made.name, b"channels_last", 0)


def _from_blocks(given: str, name: str, channels: int) -> bytes:
    return _layout_node(b"ReorderOutput", given, name + FOUND, b"channels", channels)


def _layout_node(operator: bytes, given: str, made: str, attribute: bytes, value: int) -> bytes:
    inner = encode(_ATTRIBUTE_NAME, attribute) + _integer(_ATTRIBUTE_INT, value) + _integer(_ATTRIBUTE_TYPE, _INT)
    texts = _text(_NODE_INPUT, given) + _text(_NODE_OUTPUT, made)
    return texts + encode(_OP_TYPE, operator) + encode(_NODE_ATTRIBUTE, inner) + encode(_DOMAIN, _BLOCKS)


def _value(name: str, tensor: LayerTensor) -> bytes:
    sizes = encode(1, b"") * len(tensor.shape)  # any size: it may depend on the frame
    inner = _integer(1, _ELEMENTS[tensor.dtype]) + encode(2, sizes)
    return _text(1, name) + encode(2, encode(1, inner))


def _text(number: int, text: str) -> bytes:
    return encode(number, text.encode())


def _integer(number: int, value: int) -> bytes:
    return number_of(number << 3) + number_of(value)
