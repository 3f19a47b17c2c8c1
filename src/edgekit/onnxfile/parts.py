"""An ONNX file taken apart into nodes and tensors, changed, and put together: without the onnx package.

Field numbers are those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgekit.core.errors import ModelError
from edgekit.core.layers import LayerTensor
from edgekit.core.tensors import Array
from edgekit.onnxfile.fields import encode, fields_of, number_of, text, varint
from edgekit.onnxfile.graph import DTYPES, Node, node_of, tensor_of

_GRAPH, _OPSET = 7, 8
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2
_NODE, _GRAPH_NAME, _TENSOR, _INPUT, _OUTPUT = 1, 2, 5, 11, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _OP_TYPE, _ATTRIBUTE, _DOMAIN = 1, 2, 3, 4, 5, 7
_ATTRIBUTE_NAME, _ATTRIBUTE_FLOAT, _ATTRIBUTE_INT, _ATTRIBUTE_TEXT, _ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS = (
    1,
    2,
    3,
    4,
    6,
    11,
)
_ATTRIBUTE_TYPE, _FLOAT, _INT = 20, 1, 2
_FOUR_BYTES = 5  # wire type
_DIMS, _DATA_TYPE, _TENSOR_NAME, _RAW = 1, 2, 8, 9
_CODES = {name: code for code, name in DTYPES.items()}


@dataclass
class Parts:
    """The main graph of a model: its nodes in the order of the file, each with its bytes, and its constants.

    Args:
        nodes: of the main graph.
        bodies: the bytes of each node.
        tensors: the bytes of every initializer by name.
        constants: dtype and shape of initializers, and of the outputs of Constant nodes.
        outputs: names of the graph's outputs.
        captured: tensors that subgraphs read.
        opsets: version by domain.
        model: fields of the model beside graph and opsets; ``graph``: those of the graph beside nodes and initializers.
    """

    nodes: list[Node]
    bodies: list[bytes]
    tensors: dict[str, bytes]
    constants: dict[str, LayerTensor]
    outputs: frozenset[str]
    captured: frozenset[str]
    opsets: dict[str, int]
    model: bytes = field(repr=False)
    graph: bytes = field(repr=False)

    def producers(self) -> dict[str, int]:
        """Position of the node that makes each tensor."""
        return {name: at for at, node in enumerate(self.nodes) for name in node.outputs if name}

    def readers(self) -> dict[str, list[int]]:
        """Positions of the nodes that read each tensor; what subgraphs and the outputs read is not among them."""
        found: dict[str, list[int]] = {}
        for at, node in enumerate(self.nodes):
            for name in dict.fromkeys(node.inputs):
                found.setdefault(name, []).append(at)
        return found

    def replaced(self, changed: Mapping[int, Sequence[bytes]], tensors: Mapping[str, bytes]) -> Parts:
        """With other nodes at the positions of ``changed`` and ``tensors`` added; what nobody reads is gone."""
        bodies = [body for at, old in enumerate(self.bodies) for body in changed.get(at, (old,))]
        nodes = [node_of(body)[0] for body in bodies]
        needed, kept = set(self.outputs | self.captured), list[int]()
        for at in reversed(range(len(nodes))):
            if needed.intersection(nodes[at].outputs):
                needed.update(nodes[at].inputs)
                kept.append(at)
        kept.reverse()
        held = {name: body for name, body in (self.tensors | dict(tensors)).items() if name in needed}
        return Parts(
            [nodes[at] for at in kept],
            [bodies[at] for at in kept],
            held,
            self.constants | {name: tensor_of(body)[1] for name, body in tensors.items()},
            self.outputs,
            self.captured,
            dict(self.opsets),
            self.model,
            self.graph,
        )

    def serialised(self) -> bytes:
        """The model."""
        nodes = b"".join(encode(_NODE, body) for body in self.bodies)
        graph = nodes + self.graph + b"".join(encode(_TENSOR, body) for body in self.tensors.values())
        opsets = b"".join(encode(_OPSET, _opset(domain, version)) for domain, version in self.opsets.items())
        return self.model + encode(_GRAPH, graph) + opsets


def parts_of(model: bytes) -> Parts:
    """A serialised model in its parts.

    Raises:
        ModelError: it is no ONNX model, or only a part of one.
    """
    try:
        top = list(fields_of(model))
        graphs = [body for number, _, body in top if number == _GRAPH]
        if len(graphs) != 1:
            raise ModelError(f"not an ONNX model; expected one graph, found {len(graphs)}")
        return _parts(top, list(fields_of(graphs[0])))
    except (IndexError, UnicodeDecodeError) as error:
        raise ModelError("not an ONNX model, or only a part of one") from error


def _parts(top: list[tuple[int, bytes, bytes]], graph: list[tuple[int, bytes, bytes]]) -> Parts:
    bodies = [body for number, _, body in graph if number == _NODE]
    read = [node_of(body) for body in bodies]
    tensors = {text(body, _TENSOR_NAME).decode(): body for number, _, body in graph if number == _TENSOR}
    constants = {name: tensor_of(body)[1] for name, body in tensors.items()}
    constants |= {node.outputs[0]: value for node, value in read if value is not None}
    inputs = {text(body, 1).decode() for number, _, body in graph if number == _INPUT}
    return Parts(
        [node for node, _ in read],
        bodies,
        tensors,
        {name: value for name, value in constants.items() if name not in inputs},  # such a one may be fed
        frozenset(text(body, 1).decode() for number, _, body in graph if number == _OUTPUT),
        frozenset(name for body in bodies for name in _captured(body)),
        {domain: version for number, _, body in top if number == _OPSET for domain, version in [_opset_of(body)]},
        b"".join(whole for number, whole, _ in top if number not in (_GRAPH, _OPSET)),
        b"".join(whole for number, whole, _ in graph if number not in (_NODE, _TENSOR)),
    )


def opsets(path: Path) -> dict[str, int]:
    """Version by domain of an ONNX file, of which little more than that is read.

    Raises:
        ModelError: the file is no whole ONNX model.
    """
    found: dict[str, int] = {}
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            while file.tell() < size:
                start = file.tell()
                tag, at = varint(head := file.read(20), 0)
                if tag & 7 != 2:  # version numbers, which stand beside texts and the graph
                    at = varint(head, at)[1]
                    file.seek(start + at)
                    continue
                length, at = varint(head, at)
                file.seek(start + at)
                if tag >> 3 == _OPSET:
                    domain, version = _opset_of(file.read(length))
                    found[domain] = version
                else:
                    file.seek(length, 1)
    except (IndexError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: not an ONNX model, or only a part of one") from error
    return found


def without_opset(model: bytes, domain: str) -> bytes:
    """A serialised model that does not name ``domain``."""
    return b"".join(
        whole for number, whole, body in fields_of(model) if number != _OPSET or _opset_of(body)[0] != domain
    )


def _captured(node: bytes) -> Iterator[str]:
    """What the subgraphs of a node read, from wherever."""
    for number, _, body in fields_of(node):
        if number == _ATTRIBUTE:
            for kind, _, graph in fields_of(body):
                if kind in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS):
                    inner = [one for n, _, one in fields_of(graph) if n == _NODE]
                    yield from (name for one in inner for name in (*node_of(one)[0].inputs, *_captured(one)))
                    yield from (text(one, 1).decode() for n, _, one in fields_of(graph) if n == _OUTPUT)


def node_bytes(
    op: str, inputs: Sequence[str], outputs: Sequence[str], name: str, domain: str = "", **numbers: int | float
) -> bytes:
    """A node, with integers and floats (float32) as its attributes."""
    found = b"".join(_text(_NODE_INPUT, given) for given in inputs)
    found += b"".join(_text(_NODE_OUTPUT, made) for made in outputs)
    found += _text(_NODE_NAME, name) + _text(_OP_TYPE, op)
    for key, value in numbers.items():
        if isinstance(value, float):
            inner = number_of(_ATTRIBUTE_FLOAT << 3 | _FOUR_BYTES) + struct.pack("<f", value)
            inner += _integer(_ATTRIBUTE_TYPE, _FLOAT)
        else:
            inner = _integer(_ATTRIBUTE_INT, value) + _integer(_ATTRIBUTE_TYPE, _INT)
        found += encode(_ATTRIBUTE, _text(_ATTRIBUTE_NAME, key) + inner)
    return found + (_text(_DOMAIN, domain) if domain else b"")


def with_inputs(node: bytes, inputs: Sequence[str]) -> bytes:
    """The node with other inputs."""
    kept = b"".join(whole for number, whole, _ in fields_of(node) if number != _NODE_INPUT)
    return b"".join(_text(_NODE_INPUT, given) for given in inputs) + kept


def tensor_bytes(name: str, array: Array) -> bytes:
    """An initializer."""
    found = b"".join(_integer(_DIMS, size) for size in array.shape) + _integer(_DATA_TYPE, _CODES[array.dtype.name])
    return found + _text(_TENSOR_NAME, name) + encode(_RAW, np.ascontiguousarray(array).tobytes())


def array_of(tensor: bytes) -> Array | None:
    """The values of an initializer that holds them as bytes; None: it holds them otherwise."""
    dtype, shape = (value := tensor_of(tensor)[1]).dtype, value.shape
    raw = [body for number, _, body in fields_of(tensor) if number == _RAW]
    known = dtype in ("float32", "uint8", "int8", "int32", "int64")
    return np.frombuffer(raw[0], dtype).reshape(shape) if raw and known else None


def text_attribute(node: bytes, name: str) -> str:
    """A text among the attributes of a node; empty: there is none of that name."""
    found = [body for number, _, body in fields_of(node) if number == _ATTRIBUTE]
    named = [body for body in found if text(body, _ATTRIBUTE_NAME).decode() == name]
    return text(named[0], _ATTRIBUTE_TEXT).decode() if named else ""


def small_model(
    parts: Parts, at: Sequence[int], given: Mapping[str, tuple[str, tuple[int, ...]]], made: Sequence[str]
) -> bytes:
    """The nodes at the positions ``at`` as a model, with the constants that they read.

    Args:
        parts: where they are from.
        at: in order.
        given: dtype and shape of its inputs by name.
        made: names of its outputs.
    """
    read = {name for position in at for name in parts.nodes[position].inputs}
    constant = [body for node, body in zip(parts.nodes, parts.bodies, strict=True) if _gives(node, read)]
    graph = b"".join(encode(_NODE, body) for body in [*constant, *(parts.bodies[position] for position in at)])
    graph += _text(_GRAPH_NAME, "part")
    graph += b"".join(encode(_TENSOR, body) for name, body in parts.tensors.items() if name in read)
    graph += b"".join(encode(_INPUT, _value(name, *what)) for name, what in given.items())
    graph += b"".join(encode(_OUTPUT, _text(1, name)) for name in made)
    opsets = b"".join(encode(_OPSET, _opset(domain, version)) for domain, version in parts.opsets.items())
    kept = b"".join(whole for number, whole, _ in fields_of(parts.model) if number == 1)  # the version of the format
    return kept + encode(_GRAPH, graph) + opsets


def _gives(node: Node, read: set[str]) -> bool:
    return node.op == "Constant" and node.outputs[0] in read


def _value(name: str, dtype: str, shape: Sequence[int]) -> bytes:
    sizes = b"".join(encode(1, _integer(1, size)) for size in shape)
    return _text(1, name) + encode(2, encode(1, _integer(1, _CODES[dtype]) + encode(2, sizes)))


def _opset(domain: str, version: int) -> bytes:
    return _text(_OPSET_DOMAIN, domain) + _integer(_OPSET_VERSION, version)


def _opset_of(body: bytes) -> tuple[str, int]:
    version = next((varint(whole, 1)[0] for number, whole, _ in fields_of(body) if number == _OPSET_VERSION), 0)
    return text(body, _OPSET_DOMAIN).decode(), version


def _text(number: int, value: str) -> bytes:
    return encode(number, value.encode())


def _integer(number: int, value: int) -> bytes:
    return number_of(number << 3) + number_of(value % 2**64)  # a negative one has ten bytes
