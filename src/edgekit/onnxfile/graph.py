"""Nodes and constants of an ONNX file, read without the onnx package, which the target half does not have.

Field numbers are those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgekit.core.errors import ModelError
from edgekit.core.layers import LayerTensor
from edgekit.onnxfile.fields import Field, fields_of, varint

MODULE_KEY = "edgekit.module"
"""Metadata that the export writes into a node: the PyTorch module it comes from."""

_GRAPH = 7
_NODE, _INITIALIZER = 1, 5
_INPUT, _OUTPUT, _NAME, _OP_TYPE, _DOMAIN, _ATTRIBUTE, _METADATA = 1, 2, 3, 4, 7, 5, 9
_ATTRIBUTE_NAME, _ATTRIBUTE_INT, _ATTRIBUTE_TENSOR, _ATTRIBUTE_INTS = 1, 3, 5, 8
_DIMS, _DATA_TYPE, _TENSOR_NAME = 1, 2, 8
_KEY, _VALUE = 1, 2
_PACKED = 2
# TensorProto.DataType; only what can be a weight.
DTYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    16: "bfloat16",
    21: "uint4",
    22: "int4",
}


@dataclass(frozen=True)
class Node:
    """A node of the main graph; ``attributes`` holds the integers, ``lists`` the lists of integers."""

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    module: str = ""
    attributes: Mapping[str, int] = field(default_factory=dict)
    domain: str = ""
    lists: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Graph:
    """Nodes in the order of the file, and dtype and shape of every constant by name."""

    nodes: tuple[Node, ...]
    constants: Mapping[str, LayerTensor]

    def producers(self) -> dict[str, int]:
        """Position of the node that makes each tensor."""
        return {tensor: at for at, node in enumerate(self.nodes) for tensor in node.outputs if tensor}


def read_graph(path: Path) -> Graph:
    """The main graph of an ONNX file.

    Raises:
        ModelError: the file is not a whole ONNX model.
    """
    try:
        graphs = [body for number, _, body in fields_of(path.read_bytes()) if number == _GRAPH]
        if len(graphs) != 1:
            raise ModelError(f"{path}: not an ONNX model; expected one graph, found {len(graphs)}")
        return _graph(list(fields_of(graphs[0])))
    except (IndexError, UnicodeDecodeError) as problem:
        raise ModelError(f"{path}: not an ONNX model, or only a part of one") from problem


def external_files(path: Path) -> tuple[str, ...]:
    """Files that hold tensors of an ONNX file, as it names them, relative to its own folder; sorted.

    Tensors of subgraphs, attributes and functions count.  Of a file that is no ONNX model: none.
    """
    found: set[str] = set()
    try:
        _search(path.read_bytes(), "model", found)
    except (IndexError, UnicodeDecodeError):
        return ()
    return tuple(sorted(found))


# Kind of message to the fields that lead to tensors, and the kind that each is.
_HOLDERS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_EXTERNAL = 13


def _search(message: bytes, kind: str, found: set[str]) -> None:
    for number, _, body in fields_of(message):
        if kind == "tensor":
            entry = list(fields_of(body)) if number == _EXTERNAL else []
            if text_at(entry, _KEY) == "location":
                found.add(text_at(entry, _VALUE))
        elif number in _HOLDERS[kind]:
            _search(body, _HOLDERS[kind][number], found)


def _graph(fields: list[Field]) -> Graph:
    nodes, constants = [], {}
    for number, _, body in fields:
        if number == _NODE:
            node, value = node_of(body)
            nodes.append(node)
            if value is not None:
                constants[node.outputs[0]] = value
        elif number == _INITIALIZER:
            name, tensor = tensor_of(body)
            constants[name] = tensor
    return Graph(tuple(nodes), constants)


def node_of(message: bytes) -> tuple[Node, LayerTensor | None]:
    texts: dict[int, list[str]] = {_INPUT: [], _OUTPUT: [], _NAME: [], _OP_TYPE: [], _DOMAIN: []}
    attributes: dict[str, int] = {}
    lists: dict[str, tuple[int, ...]] = {}
    module, value = "", None
    for number, _, body in fields_of(message):
        if number in texts:
            texts[number].append(body.decode())
        elif number == _ATTRIBUTE:
            inner = list(fields_of(body))
            tensors = [part for n, _, part in inner if n == _ATTRIBUTE_TENSOR]
            value = tensor_of(tensors[0])[1] if tensors else value
            attributes.update((text_at(inner, _ATTRIBUTE_NAME), integer(f)) for n, f, _ in inner if n == _ATTRIBUTE_INT)
            if values := [v for n, f, b in inner if n == _ATTRIBUTE_INTS for v in _integers(f, b)]:
                lists[text_at(inner, _ATTRIBUTE_NAME)] = tuple(values)
        elif number == _METADATA:
            entry = list(fields_of(body))
            module = text_at(entry, _VALUE) if text_at(entry, _KEY) == MODULE_KEY else module
    name, operator = "".join(texts[_NAME]), "".join(texts[_OP_TYPE])
    node = Node(name, operator, tuple(texts[_INPUT]), tuple(texts[_OUTPUT]), module, attributes)
    node = replace(node, domain="".join(texts[_DOMAIN]), lists=lists)
    return node, value if operator == "Constant" else None


def tensor_of(message: bytes) -> tuple[str, LayerTensor]:
    fields = list(fields_of(message))
    dims = [size for number, field, body in fields if number == _DIMS for size in _integers(field, body)]
    kind = next((integer(field) for number, field, _ in fields if number == _DATA_TYPE), 0)
    return text_at(fields, _TENSOR_NAME), LayerTensor(DTYPES.get(kind, "unknown"), tuple(dims))


def text_at(fields: list[Field], wanted: int) -> str:
    return next((body.decode() for number, _, body in fields if number == wanted), "")


def _integers(field: bytes, body: bytes) -> list[int]:
    if varint(field, 0)[0] & 7 != _PACKED:
        return [integer(field)]
    found, at = [], 0
    while at < len(body):
        value, at = varint(body, at)
        found.append(value)
    return found


def integer(field: bytes) -> int:
    _, at = varint(field, 0)
    value, _ = varint(field, at)
    return value - 2**64 if value >= 2**63 else value
