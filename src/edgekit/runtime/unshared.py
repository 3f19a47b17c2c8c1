"""A typed model in which no two layers share their integer weights or these weights' zero points.

Where ONNX Runtime turns int8 weights to uint8 (:func:`edgekit.runtime.sessions.settings`), it names the new tensor
after the old one, once for every layer that reads it, and refuses the model at the second.  A DequantizeLinear of
weights that several layers read counts as well: ONNX Runtime first gives each of these layers one of its own.  So do
weights that it computes from constants before: those rounded by a QuantizeLinear, turned or cut.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from edgekit.onnxfile.fields import Field, encode, fields_of, text, varint

# Field numbers of onnx.proto: ModelProto.ir_version, .graph; GraphProto.node, .initializer, .input, .output;
# NodeProto.input, .output, .name, .op_type, .attribute; AttributeProto.name, .t, .g, .graphs;
# TensorProto.data_type, .name; ValueInfoProto.name.
_IR_VERSION, _GRAPH = 1, 7
_NODE, _INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 5, 11, 12
_INPUT, _OUTPUT, _NODE_NAME, _OPERATOR, _ATTRIBUTE = 1, 2, 3, 4, 5
_ATTRIBUTE_NAME, _TENSOR, _SUBGRAPH, _SUBGRAPHS = 1, 5, 6, 11
_VALUES = (_GRAPH_INPUT, _GRAPH_OUTPUT)
_DATA_TYPE, _NAME, _VALUE_NAME = 2, 8, 1
_INT8 = 3
_INITIALIZERS_NEED_NO_INPUT = 4  # the first ir_version where one that is an input too is no constant
_QUANTIZE, _DEQUANTIZE = b"QuantizeLinear", b"DequantizeLinear"
# ONNX Runtime moves its dequantization past these.
_MOVES = {b"Identity", b"Transpose", b"Reshape", b"Flatten", b"Squeeze", b"Unsqueeze"}


def unshared(model: bytes) -> bytes:
    """``model``, serialised, with a copy of such tensors for each further layer; the same bytes without any.

    What is no ONNX model, or only a part of one, stays what it is: the runtime refuses it in its own words.
    """
    try:
        parts = list(fields_of(model))
        version = next((_number(field) for number, field, _ in parts if number == _IR_VERSION), 0)
        return b"".join(encode(_GRAPH, _graph(body, version)) if n == _GRAPH else field for n, field, body in parts)
    except (IndexError, UnicodeDecodeError):
        return model


@dataclass
class _Node:
    """A node of one graph; ``inputs`` may be renamed before it is written again."""

    body: bytes
    operator: bytes
    inputs: list[str]
    outputs: list[str]
    changed: bool = False

    def encoded(self) -> bytes:
        if not self.changed:
            return self.body
        inputs = iter(self.inputs)
        return b"".join(
            encode(_INPUT, next(inputs).encode()) if number == _INPUT else field
            for number, field, _ in fields_of(self.body)
        )

    def twin(self, output: str, new_name: str) -> _Node:
        """The same node under another name, whose outputs have other names: ``new_name`` is that of ``output``."""
        outputs = [new_name if name == output else name and f"{new_name}/{name}" for name in self.outputs]
        fresh = iter(outputs)
        body = b"".join(
            encode(number, (next(fresh) if number == _OUTPUT else new_name).encode())
            if number in (_OUTPUT, _NODE_NAME)
            else field
            for number, field, _ in fields_of(self.body)
        )
        return _Node(body, self.operator, list(self.inputs), outputs, self.changed)


class _Readers:
    """Which nodes read which name of a graph, and which names are read elsewhere: by inner graphs, or as outputs."""

    def __init__(self, nodes: list[_Node], elsewhere: set[str], held: set[str]) -> None:
        self.elsewhere = elsewhere
        self._taken = {name for node in nodes for name in (*node.inputs, *node.outputs)} | elsewhere | held
        self._uses: dict[str, list[tuple[_Node, int]]] = defaultdict(list)
        for node in nodes:
            self.add(node)

    def add(self, node: _Node) -> None:
        for place, name in enumerate(node.inputs):
            self._uses[name].append((node, place))

    def further(self, name: str) -> list[tuple[_Node, int]]:
        """Each node and place that needs a copy of its own."""
        return self._uses[name][0 if name in self.elsewhere else 1 :]

    def renamed(self, name: str, node: _Node, place: int, count: int) -> str:
        """Make the node read a name that nothing has yet."""
        new_name = f"{name}/own{count}"
        while new_name in self._taken:
            new_name += "_"
        self._taken.add(new_name)
        node.inputs[place], node.changed = new_name, True
        return new_name


def _graph(graph: bytes, version: int) -> bytes:
    parts = [
        (n, _subgraphs(field, body, version) if n == _NODE else field, body) for n, field, body in fields_of(graph)
    ]
    nodes = [_node(next(fields_of(field))[2]) for number, field, _ in parts if number == _NODE]
    tensors = _constants(parts, nodes, version)
    integers = {name for name, tensor in tensors.items() if _is_int8(tensor)}
    derived = _derived(nodes, set(tensors), integers)
    named = {n: {text(body, _VALUE_NAME).decode() for number, _, body in parts if number == n} for n in _VALUES}
    elsewhere = named[_GRAPH_OUTPUT] | {name for node in nodes for name in _read_inside(node.body)}
    readers = _Readers(nodes, elsewhere, set(tensors) | named[_GRAPH_INPUT])
    made = _split(nodes, derived, readers)
    copies = list(_own(made, tensors, integers, derived, readers))
    if not copies and len(made) == len(nodes):
        return b"".join(field for _, field, _ in parts)
    rest = [field for number, field, _ in parts if number != _NODE]
    return b"".join([*(encode(_NODE, node.encoded()) for node in made), *rest, *copies])


def _node(body: bytes) -> _Node:
    inputs, outputs = ([name.decode() for n, _, name in fields_of(body) if n == of] for of in (_INPUT, _OUTPUT))
    return _Node(body, text(body, _OPERATOR), inputs, outputs)


def _constants(parts: list[Field], nodes: list[_Node], version: int) -> dict[str, bytes]:
    """Tensors that nothing can replace at run time: initializers and what Constant nodes hold."""
    found = {text(body, _NAME).decode(): body for number, _, body in parts if number == _INITIALIZER}
    if version >= _INITIALIZERS_NEED_NO_INPUT:
        for number, _, body in parts:
            if number == _GRAPH_INPUT:
                found.pop(text(body, _VALUE_NAME).decode(), None)
    for node in nodes:
        if node.operator == b"Constant":
            attributes = [body for n, _, body in fields_of(node.body) if n == _ATTRIBUTE]
            held = [text(body, _TENSOR) for body in attributes if text(body, _ATTRIBUTE_NAME) == b"value"]
            found.update((node.outputs[0], tensor) for tensor in held)
    return found


def _derived(nodes: list[_Node], constants: set[str], integers: set[str]) -> set[str]:
    """Outputs of the nodes that compute integer weights from constants, dequantize them and move them after that."""
    folded: set[str] = set()
    for node in nodes:
        if node.inputs and set(node.inputs) <= constants | folded | {""}:
            folded.update(node.outputs)
    weights = {node.inputs[0] for node in nodes if node.operator == _DEQUANTIZE} & (integers | folded)
    found = {node.outputs[0] for node in nodes if node.operator == _DEQUANTIZE and node.inputs[0] in weights}
    for node in nodes:
        if node.operator in _MOVES and node.inputs[0] in found:
            found.update(node.outputs)
    for node in reversed(nodes):
        if folded & weights & set(node.outputs):
            found.update(node.outputs)
            weights.update(node.inputs)
    return found


def _split(nodes: list[_Node], derived: set[str], readers: _Readers) -> list[_Node]:
    """``nodes`` with a copy of each that gives something ``derived`` for each further node that reads it.

    Backwards: a copy is one more reader of what stands before it.
    """
    made: list[_Node] = []
    for node in reversed(nodes):
        for name in derived & set(node.outputs):
            for count, (reader, place) in enumerate(readers.further(name), 2):
                new_name = readers.renamed(name, reader, place, count)
                twin = node.twin(name, new_name)
                readers.add(twin)
                derived.update(twin.outputs)
                made.append(twin)
        made.append(node)
    return made[::-1]


def _own(
    nodes: list[_Node], tensors: dict[str, bytes], integers: set[str], derived: set[str], readers: _Readers
) -> Iterator[bytes]:
    """Initializers: copies of the constants of integer weights that nodes read after one another."""
    count: dict[str, int] = defaultdict(int)
    for node in nodes:
        if not _has_weights(node, integers, derived):
            continue
        for place, name in enumerate(node.inputs):
            weights = name in integers or (place == 0 and name in tensors and derived.issuperset(node.outputs))
            count[name] += weights
            if weights and count[name] > 1:
                new_name = readers.renamed(name, node, place, count[name]).encode()
                rest = b"".join(field for number, field, _ in fields_of(tensors[name]) if number != _NAME)
                yield encode(_INITIALIZER, rest + encode(_NAME, new_name))


def _has_weights(node: _Node, integers: set[str], derived: set[str]) -> bool:
    """Whether it reads constant integers; a rounded activation's zero point is none, and keeps its type."""
    if derived & set(node.outputs):
        return True
    return node.operator not in (_QUANTIZE, _DEQUANTIZE) and bool(integers & set(node.inputs))


def _subgraphs(field: bytes, body: bytes, version: int) -> bytes:
    """The field of a node, with the graphs that it holds unshared as well."""
    if not any(_inner(attribute) for n, _, attribute in fields_of(body) if n == _ATTRIBUTE):
        return field
    return encode(_NODE, b"".join(
        encode(_ATTRIBUTE, b"".join(
            encode(number, _graph(inner, version)) if number in (_SUBGRAPH, _SUBGRAPHS) else part
            for number, part, inner in fields_of(attribute)
        )) if n == _ATTRIBUTE else whole
        for n, whole, attribute in fields_of(body)
    ))  # fmt: skip


def _inner(attribute: bytes) -> list[bytes]:
    return [body for number, _, body in fields_of(attribute) if number in (_SUBGRAPH, _SUBGRAPHS)]


def _read_inside(node: bytes) -> set[str]:
    """Names that the graphs inside a node read or give, at any depth."""
    found: set[str] = set()
    for graph in (g for n, _, attribute in fields_of(node) if n == _ATTRIBUTE for g in _inner(attribute)):
        for number, _, body in fields_of(graph):
            if number == _NODE:
                found |= {name.decode() for n, _, name in fields_of(body) if n == _INPUT} | _read_inside(body)
            elif number == _GRAPH_OUTPUT:
                found.add(text(body, _VALUE_NAME).decode())
    return found


def _is_int8(tensor: bytes) -> bool:
    return any(_number(field) == _INT8 for number, field, _ in fields_of(tensor) if number == _DATA_TYPE)


def _number(field: bytes) -> int:
    _, at = varint(field, 0)
    return varint(field, at)[0]
