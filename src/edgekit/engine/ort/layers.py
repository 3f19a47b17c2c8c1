"""The profile of ONNX Runtime as layer events.

The format is described at https://onnxruntime.ai/docs/performance/tune-performance/profiling-tools.html:
trace events in microseconds; one of the category ``Node`` for every kernel, one called ``model_run``
for every query.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from edgekit.core.errors import CheckFailed
from edgekit.core.layers import LayerEvent, LayerTensor
from edgekit.engine.ort.fusion import Origin, origins
from edgekit.onnxfile.graph import Graph

_KERNEL = "_kernel_time"
_NAMES = {"float": "float32", "double": "float64"}


def layer_events(
    profile: Sequence[Mapping[str, Any]], engine: Graph, source: Graph | None, queries: int
) -> tuple[LayerEvent, ...]:
    """The kernels of every query in the order they began.

    Args:
        profile: the JSON document that a session's ``end_profiling`` wrote.
        engine: the graph that ran.
        source: the typed model that ``engine`` was made from.
        queries: how many the profile must hold.

    Raises:
        CheckFailed: the runtime left queries or kernels out (it stops after a million events).
    """
    runs = sorted((int(e["ts"]), int(e["ts"]) + int(e["dur"])) for e in profile if e["name"] == "model_run")
    if len(runs) != queries:
        raise CheckFailed(f"the layer profile holds {len(runs)} of {queries} queries; ask for fewer")
    starts = [start for start, _ in runs]
    places = _Places(engine, origins(engine, source))
    found = []
    for event in sorted((e for e in profile if e["name"].endswith(_KERNEL)), key=lambda e: int(e["ts"])):
        query = bisect_right(starts, int(event["ts"])) - 1
        if query >= 0 and int(event["ts"]) <= runs[query][1]:
            found.append(places.event(event, query))
    missing = sorted(set(range(queries)) - {event.query for event in found})
    if missing:
        raise CheckFailed(f"the layer profile has no kernel of query {missing[0]}; ask for fewer than {queries}")
    return tuple(found)


class _Places:
    """Finds the node of the graph that an event is about."""

    def __init__(self, graph: Graph, found: tuple[Origin, ...]) -> None:
        self.graph = graph
        self.origins = found
        names = [node.name for node in graph.nodes]
        self.by_name = {name: at for at, name in enumerate(names) if name and names.count(name) == 1}

    def event(self, event: Mapping[str, Any], query: int) -> LayerEvent:
        args = event["args"]
        name, op, index = event["name"].removesuffix(_KERNEL), str(args["op_name"]), int(args["node_index"])
        at = self._place(name, op, index)
        inputs = _tensors(args["input_type_shape"])
        origin, attributes = Origin(), {}
        if at is not None:
            inputs = self._aligned(at, inputs)
            origin, attributes = self.origins[at], dict(self.graph.nodes[at].attributes)
        return LayerEvent(
            name=name if name in self.by_name else f"{name or op}/{index}",
            op=op,
            query=query,
            start_us=float(event["ts"]),
            duration_us=float(event["dur"]),
            inputs=tuple(inputs),
            outputs=tuple(_tensors(args["output_type_shape"])),
            provider=str(args["provider"]),
            thread=int(event["tid"]),
            nodes=origin.nodes,
            module=origin.module,
            weight=origin.weight,
            attributes=attributes,
        )

    def _place(self, name: str, op: str, index: int) -> int | None:
        nodes = self.graph.nodes
        # Nodes of a branch or a loop body count from 0 again, so the index alone proves nothing.
        if index < len(nodes) and (nodes[index].name, nodes[index].op) == (name, op):
            return index
        return self.by_name.get(name)

    def _aligned(self, at: int, told: list[LayerTensor]) -> list[LayerTensor]:
        """All inputs of a node: the runtime leaves out weights that it packed in its own way."""
        left, found = list(told), []
        for name in filter(None, self.graph.nodes[at].inputs):
            constant = self.graph.constants.get(name)
            if left and (constant is None or constant == left[0]):
                found.append(left.pop(0))
            elif constant is not None:
                found.append(constant)
        return found + left


def _tensors(described: Sequence[Mapping[str, Sequence[int]]]) -> list[LayerTensor]:
    return [
        LayerTensor(_NAMES.get(kind, kind), tuple(int(size) for size in shape))
        for entry in described
        for kind, shape in entry.items()
    ]
