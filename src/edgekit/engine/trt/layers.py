"""The times of TensorRT's profiler and the layer list of its inspector, as layer events.

The engine inspector's JSON is described at
https://docs.nvidia.com/deeplearning/tensorrt/latest/performance/best-practices.html.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from edgekit.core.errors import CheckFailed
from edgekit.core.layers import LayerEvent, LayerTensor
from edgekit.engine._requested import COMPUTE
from edgekit.engine.trt import inspector
from edgekit.onnxfile.graph import Graph

# NumPy's names, by how the inspector writes a type.
_TYPES = (
    ("uint8", r"uint8"),
    ("int8", r"int8"),
    ("int4", r"int4"),
    ("int32", r"int32"),
    ("int64", r"int64"),
    ("bool", r"bool"),
    ("bfloat16", r"bf16|bfloat16"),
    ("float16", r"fp16|half|float16"),
    ("float8_e4m3fn", r"fp8|float8"),
    ("float32", r"fp32|float32|float"),
)
_ADDED = re.compile(r"reformat", re.IGNORECASE)


def layer_events(
    reports: Sequence[Sequence[tuple[str, float]]], document: str, source: Graph | None
) -> tuple[LayerEvent, ...]:
    """Every layer of every query, one behind the other.

    Args:
        reports: of each query, the name of every layer and how long it took in ms.
        document: the inspector's JSON; without detailed profiling it holds names only.
        source: the typed model; without it the nodes have the engine's names and no module.

    Raises:
        CheckFailed: TensorRT reported no layer for a query.
    """
    layers = {str(layer.get("Name", "")): layer for layer in _described(document)}
    found: list[LayerEvent] = []
    start_us = 0.0
    for query, report in enumerate(reports):
        if not report:
            raise CheckFailed(f"TensorRT's profiler told of no layer in query {query}; run the profile again")
        for name, took_ms in report:
            found.append(_event(name, layers.get(name, {}), query, start_us, took_ms * 1e3, source))
            start_us += took_ms * 1e3
    return tuple(found)


def _described(document: str) -> list[Mapping[str, Any]]:
    return [layer for layer in json.loads(document).get("Layers", []) if isinstance(layer, Mapping)]


def _event(
    name: str, layer: Mapping[str, Any], query: int, start_us: float, duration_us: float, source: Graph | None
) -> LayerEvent:
    # What TensorRT added is named after the layers it stands between.
    added = _ADDED.search(name) or _ADDED.search(str(layer.get("LayerType", "")))
    nodes = () if added else inspector.onnx_nodes(name, str(layer.get("Metadata", "")))
    module, weight = "", None
    if source is not None:
        known = {node.name: node for node in source.nodes}
        nodes = tuple(sorted((n for n in nodes if n in known), key=lambda n: known[n].op not in COMPUTE))
        module = next((known[node].module for node in nodes if known[node].module), "")
        weight = _weight(source, nodes)
    return LayerEvent(
        name=name,
        op=str(layer.get("ParameterType") or layer.get("LayerType") or ""),
        query=query,
        start_us=start_us,
        duration_us=duration_us,
        inputs=_tensors(layer.get("Inputs", ())),
        outputs=_tensors(layer.get("Outputs", ())),
        provider="TensorRT",
        nodes=nodes,
        module=module,
        weight=weight,
    )


def _weight(source: Graph, nodes: Sequence[str]) -> LayerTensor | None:
    """The filter of the first node that has one; Q/DQ before it are looked through."""
    producers = source.producers()
    for node in (node for node in source.nodes if node.name in nodes and node.op in COMPUTE):
        name = node.inputs[1]
        while name not in source.constants and name in producers and source.nodes[producers[name]].inputs:
            name = source.nodes[producers[name]].inputs[0]
        if name in source.constants:
            return source.constants[name]
    return None


def _tensors(described: Sequence[Mapping[str, Any]]) -> tuple[LayerTensor, ...]:
    found = []
    for tensor in described:
        text = str(tensor.get("Format/Datatype", tensor.get("Datatype", "")))
        words = text.lower()
        dtype = next((name for name, pattern in _TYPES if re.search(rf"\b(?:{pattern})\b", words)), text or "unknown")
        found.append(LayerTensor(dtype, tuple(int(size) for size in tensor.get("Dimensions", ()))))
    return tuple(found)
