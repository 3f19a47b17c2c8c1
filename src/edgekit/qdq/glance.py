"""Extremes and a sample of every activation, found by the model's own graph.

To show whole activations to Python costs twice the inference: they leave the runtime's blocked layout, go to
memory and come back.  Pooled where they lie, in that layout and in the runtime's threads, they cost a fraction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from edgekit.core.tensors import Array, Arrays
from edgekit.qdq.graph import Graph
from edgekit.qdq.observe import Observer
from edgekit.qdq.ranges import Histogram, RangeFinder

# Finite inputs make finite outputs here, or an infinity that a maximum shows.  Pooling passes over NaN.
_POOLED = frozenset(
    {"Add", "AveragePool", "Clip", "Concat", "Conv", "HardSwish", "LeakyRelu", "MaxPool", "PRelu", "Relu"}
)


_PEAKS = "glance/peaks"


class Glances:
    """The model with what its finders need of the activations: pooled, or whole where that is not possible.

    Raises:
        ModelError: ONNX Runtime refuses the model.
    """

    def __init__(self, graph: Graph, finders: Mapping[str, RangeFinder]) -> None:
        import onnx

        self.finders = finders
        self._made = onnx.ModelProto()
        self._made.CopyFrom(graph.model)
        self._pools: dict[str, int] = {}  # with their channels
        self._plans = {name: self._added(graph, name) for name in finders if name not in graph.inputs}
        held = [part for plan in self._plans.values() for part in plan if part and part not in self._pools]
        # ONNX Runtime writes nothing to the buffer of an output that is an input: its finder has the feed itself.
        made = (name for name in graph.outputs if name not in graph.inputs)
        self._outputs = tuple(name for name in made if graph.is_float(name))
        self._observer = Observer(graph, (*held, *self._joined(), *self._outputs), self._made)

    def __call__(self, feeds: Arrays) -> tuple[frozenset[str], str | None]:
        """Show one frame to the finders.

        Returns the tensors that held no value, and an output that holds NaN, if there is one.

        Raises:
            ModelError: the feeds do not fit the model, or a finder found NaN or infinity.
        """
        values = self._observer(feeds)
        broken = next((name for name in self._outputs if np.isnan(values[name].min(initial=0.0))), None)
        if broken is not None:
            return frozenset(), broken
        peaks = self._peaks(values)
        empty = set()
        for name, (high, low, sample) in self._plans.items():
            finder = self.finders[name]
            if high == name:
                finder.update(values[name])
                if not values[name].size:
                    empty.add(name)
                elif finder.by_channel:
                    finder.widen(*(end(values[name], axis=(0, 2, 3)) for end in (np.min, np.max)))
            else:
                lows, highs = -peaks[low] if low else np.zeros_like(peaks[high]), peaks[high]
                finder.add(float(lows.min()), float(highs.max()), values[sample] if sample else _NOTHING)
                if finder.by_channel:
                    finder.widen(lows, highs)
        return frozenset(empty), None

    def _peaks(self, values: Arrays) -> dict[str, Array]:
        if not self._pools:
            return {}
        ends = np.cumsum([*self._pools.values()])[:-1]
        return dict(zip(self._pools, np.split(values[_PEAKS].reshape(-1), ends), strict=True))

    def _joined(self) -> list[str]:
        """All maxima in one tensor: a hundred small outputs would cost as much as the pooling."""
        import onnx

        if not self._pools:
            return []
        self._made.graph.node.append(onnx.helper.make_node("Concat", list(self._pools), [_PEAKS], name=_PEAKS, axis=1))
        return [_PEAKS]

    def _added(self, graph: Graph, name: str) -> tuple[str, str, str]:
        """Names of what holds the largest values, the largest negated ones and a sample; ``name`` itself: all of it."""
        producer, shape = graph.producer[name], graph.shapes.get(name, ())
        finder = self.finders[name]
        if producer.op_type not in _POOLED or finder.whole:
            return name, "", ""
        if len(shape) != 4 or shape[0] != 1 or None in shape or 0 in shape:
            return name, "", ""
        sizes = tuple(int(size or 0) for size in shape)
        high = self._pool(name, sizes[1], f"{name}/glance/high")
        low = ""
        if not _is_positive(graph, producer):
            negated = self._pick(name, sizes, 0, 1, -1.0, f"{name}/glance/negated")
            low = self._pool(negated, sizes[1], f"{name}/glance/low")
        sample = ""
        if isinstance(finder, Histogram):
            stride = min(math.ceil(math.sqrt(math.prod(sizes) / finder.sample)), *sizes[2:])
            sample = self._pick(name, sizes, stride // 2, stride, 1.0, f"{name}/glance/sample") if stride > 1 else name
        return high, low, sample

    def _pool(self, name: str, channels: int, made: str) -> str:
        import onnx

        self._pools[made] = channels
        self._made.graph.node.append(onnx.helper.make_node("GlobalMaxPool", [name], [made], name=made))
        return made

    def _pick(self, name: str, sizes: tuple[int, ...], first: int, stride: int, factor: float, made: str) -> str:
        """Every ``stride``-th value of rows and columns from ``first`` on, times ``factor``: a copying convolution."""
        import onnx

        kernel = np.zeros((sizes[1], 1, first + 1, first + 1), np.float32)
        kernel[..., first, first] = factor
        self._made.graph.initializer.append(onnx.numpy_helper.from_array(kernel, f"{made}/kernel"))
        inputs = [name, f"{made}/kernel"]
        options: dict[str, Any] = {"group": sizes[1], "strides": [stride, stride]}
        self._made.graph.node.append(onnx.helper.make_node("Conv", inputs, [made], name=made, **options))
        return made


_NOTHING: Array = np.zeros(0, np.float32)


def _is_positive(graph: Graph, node: Any) -> bool:
    if node.op_type == "Clip" and len(node.input) > 1 and node.input[1] in graph.constants:
        return bool(graph.array(node.input[1]) >= 0)
    return bool(node.op_type == "Relu")
