"""OpenVINO's profile as layer events.

``get_profiling_info`` gives the mean of each layer over all queries since the model was compiled, in whole
microseconds, and no moment: the time of a query is the growth of the total, and layers stand one behind the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgekit.core.layers import LayerEvent, LayerTensor
from edgekit.engine.ov.executed import Layer, Sources
from edgekit.onnxfile.graph import Graph, Node


def layer_events(
    means_us: Sequence[Mapping[str, float]], layers: Sequence[Layer], source: Graph | None
) -> tuple[LayerEvent, ...]:
    """The layers of every query in the order in which they run.

    Args:
        means_us: after each query, the mean time of each layer over it and all before; only what ran is in it.
        layers: of the model that ran.
        source: the typed model that it was made from.
    """
    origins = _Origins(layers, source)
    totals: dict[str, float] = {}
    found = []
    now_us = 0.0
    for query, means in enumerate(means_us):
        for layer in layers:
            if layer.name not in means:
                continue
            before = totals.get(layer.name, 0.0)
            # Rounding to whole microseconds may let a total shrink a little; what is lost here comes with the next.
            totals[layer.name] = max(before, means[layer.name] * (query + 1))
            duration_us = totals[layer.name] - before
            found.append(origins.event(layer, query, now_us, duration_us))
            now_us += duration_us
    return tuple(found)


class _Origins:
    """What of the typed model each layer stands for."""

    def __init__(self, layers: Sequence[Layer], source: Graph | None) -> None:
        self._graph = source
        self._nodes: dict[str, tuple[int, ...]] = {}
        if source is not None:
            sources = Sources(source)
            self._nodes = {layer.name: sources.of(layer.sources) for layer in layers}
            self._named = [sources.name(at) for at in range(len(source.nodes))]
        self._modules = self._with_neighbours(layers)

    def event(self, layer: Layer, query: int, start_us: float, duration_us: float) -> LayerEvent:
        nodes = self._nodes.get(layer.name, ())
        return LayerEvent(
            name=layer.name,
            op=layer.op,
            query=query,
            start_us=start_us,
            duration_us=duration_us,
            inputs=layer.inputs,
            outputs=layer.outputs,
            provider="CPU",
            nodes=tuple(self._named[at] for at in nodes),
            module=self._modules.get(layer.name, ""),
            weight=next((found for at in nodes if (found := self._weight(at)) is not None), None),
        )

    def _with_neighbours(self, layers: Sequence[Layer]) -> dict[str, str]:
        """Modules; what OpenVINO added counts to that of the layer before it, or else to the one behind it."""
        found = {layer.name: self._own(layer) for layer in layers}
        for layer in layers:
            found[layer.name] = found[layer.name] or next((m for b in layer.before if (m := found.get(b, ""))), "")
        for layer in reversed(layers):
            for name in layer.before:
                if name in found:
                    found[name] = found[name] or found[layer.name]
        return found

    def _own(self, layer: Layer) -> str:
        if self._graph is None:
            return ""
        modules = (self._graph.nodes[at].module for at in self._nodes[layer.name])
        return next((module for module in modules if module), "")

    def _weight(self, at: int) -> LayerTensor | None:
        """The filter of a convolution; of rounded weights the integers."""
        if self._graph is None:
            return None
        node: Node | None = self._graph.nodes[at]
        if node is None or node.op not in ("Conv", "ConvTranspose"):
            return None
        makers = self._graph.producers()
        name = node.inputs[1]
        while name not in self._graph.constants and name in makers:
            name = self._graph.nodes[makers[name]].inputs[0]
        return self._graph.constants.get(name)
