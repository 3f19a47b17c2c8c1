"""Node names of an optimised ONNX graph that are the same in every build.

ONNX Runtime names the nodes that its layout optimiser adds in the order of a hash
map, so two builds of one model differ in these names and in nothing else.  The file
is rewritten on the level of its fields (https://protobuf.dev/programming-guides/encoding),
because the target half does not have the onnx package.
"""

from __future__ import annotations

from edgekit.onnxfile.fields import encode, fields_of, text

# Field numbers of onnx.proto: ModelProto.graph, GraphProto.node, NodeProto.name and .op_type.
_GRAPH, _NODE, _NAME, _OP_TYPE = 7, 1, 3, 4
_LAYOUT = (b"ReorderInput", b"ReorderOutput")


def stable(model: bytes) -> bytes:
    """``model`` with every layout node called by its operator and place."""
    return b"".join(
        encode(_GRAPH, _renamed(body)) if number == _GRAPH else field for number, field, body in fields_of(model)
    )


def _renamed(graph: bytes) -> bytes:
    parts, index = [], 0
    for number, field, body in fields_of(graph):
        if number == _NODE:
            operator = text(body, _OP_TYPE)
            if operator in _LAYOUT:
                rest = b"".join(part for n, part, _ in fields_of(body) if n != _NAME)
                field = encode(_NODE, rest + encode(_NAME, operator + b"/%d" % index))
            index += 1
        parts.append(field)
    return b"".join(parts)
