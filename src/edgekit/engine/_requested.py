"""The precision that a typed model asks for, node by node: what an engine's own layers are held against."""

from __future__ import annotations

from collections.abc import Mapping

from edgekit.onnxfile.graph import Graph

COMPUTE = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
# What integers pass unchanged, so that rounding may stand before it.
_CARRIERS = frozenset({"Concat", "DepthToSpace", "Flatten", "MaxPool", "Reshape", "Resize", "Squeeze", "Transpose"})
_CARRIERS |= {"Unsqueeze"}
_FLOATS = {"float16": "fp16", "bfloat16": "bf16", "float32": "fp32"}


def requested(source: Graph) -> dict[str, str]:
    """The type that each compute node of a typed model is written in, by node name: int8 between Q/DQ, else that of
    its weight."""
    producers = source.producers()
    found = {}
    for node in source.nodes:
        if node.op not in COMPUTE:
            continue
        makers = [_maker(source, producers, name) for name in node.inputs[:2]]
        if makers == ["DequantizeLinear", "DequantizeLinear"]:
            found[node.name] = "int8"
        elif (weight := source.constants.get(node.inputs[1])) is not None and weight.dtype in _FLOATS:
            found[node.name] = _FLOATS[weight.dtype]
    return found


def _maker(source: Graph, producers: Mapping[str, int], name: str) -> str:
    """The operator that makes the values of ``name``; empty: none does."""
    while name in producers and source.nodes[producers[name]].op in _CARRIERS:
        name = source.nodes[producers[name]].inputs[0]
    return source.nodes[producers[name]].op if name in producers else ""
