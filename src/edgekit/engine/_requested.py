"""The precision that a typed model asks for, node by node: what an engine's own layers are held against."""

from __future__ import annotations

from edgekit.onnxfile.graph import Graph

COMPUTE = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_FLOATS = {"float16": "fp16", "bfloat16": "bf16", "float32": "fp32"}


def requested(source: Graph) -> dict[str, str]:
    """The type that each compute node of a typed model is written in, by node name: int8 between Q/DQ, else that of
    its weight."""
    producers = source.producers()
    found = {}
    for node in source.nodes:
        if node.op not in COMPUTE:
            continue
        makers = [source.nodes[producers[name]].op if name in producers else "" for name in node.inputs[:2]]
        if makers == ["DequantizeLinear", "DequantizeLinear"]:
            found[node.name] = "int8"
        elif (weight := source.constants.get(node.inputs[1])) is not None and weight.dtype in _FLOATS:
            found[node.name] = _FLOATS[weight.dtype]
    return found
