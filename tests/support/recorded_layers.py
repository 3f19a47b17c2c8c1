"""A recorded ONNX Runtime profile (golden/ort_layers.json) and the graphs it belongs to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgekit.engine import LayerEvent, LayerTensor
from edgekit.engine.ort import layers
from edgekit.onnxfile.graph import Graph, Node

RECORDED = json.loads((Path(__file__).parents[1] / "golden" / "ort_layers.json").read_text())
PRECISIONS = ("fp32", "int8")


def graph(precision: str, which: str) -> Graph:
    """``engine`` or ``source`` of a recording."""
    stored = RECORDED[precision][which]
    nodes = [
        Node(name, op, tuple(inputs), tuple(outputs), module, attributes)
        for name, op, inputs, outputs, module, attributes in stored["nodes"]
    ]
    constants = {name: LayerTensor(dtype, tuple(shape)) for name, (dtype, shape) in stored["constants"].items()}
    return Graph(tuple(nodes), constants)


def profile(precision: str) -> list[dict[str, Any]]:
    """A copy of the recorded trace events."""
    copied: list[dict[str, Any]] = json.loads(json.dumps(RECORDED[precision]["profile"]))
    return copied


def events(precision: str, with_source: bool = True) -> tuple[LayerEvent, ...]:
    """The recording, read."""
    source = graph(precision, "source") if with_source else None
    return layers.layer_events(profile(precision), graph(precision, "engine"), source, queries=2)
