"""A bench without a target: accuracy is closeness to FP32 on one frame, latency is counted, not timed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx

from edgekit.core.reports import Latency, Metric
from edgekit.stats.faster import EACH, OPENINGS
from tests.support.graphs import node, normal, relative_l2, write
from tests.support.runtime import session

FLOAT_CONV_MS = 5.0
INTEGER_CONV_MS = 1.0


@dataclass
class CountingBench:
    """``accuracy`` is 1 - relative L2 distance to FP32; a float convolution takes five times an integer one."""

    source: Path
    frame: Mapping[str, np.ndarray]
    metric: Metric = field(default_factory=lambda: Metric("closeness", higher=True))
    target: str = "counted"
    measured: list[bytes] = field(default_factory=list)
    slower: float = 0.0
    """Milliseconds that every model with integers takes in addition."""
    refused: str = ""
    """What the parity check says of every engine."""

    def control_accuracy(self) -> float:
        return 1.0 if self.metric.higher else 0.0

    def accuracy(self, model: bytes) -> float:
        self.measured.append(model)
        wanted, found = (self._run(m) for m in (self.source.read_bytes(), model))
        distance = relative_l2(found, wanted)
        return 1 - distance if self.metric.higher else distance

    def latency(self, models: Mapping[str, bytes], queries: int = 100) -> dict[str, Latency]:
        return {name: Latency(*(self._milliseconds(m),) * 4, queries) for name, m in models.items()}

    def times_ms(self, models: Mapping[str, bytes]) -> Mapping[str, Sequence[float]]:
        return {name: [self._milliseconds(model)] * (OPENINGS * EACH) for name, model in models.items()}

    def size_mib(self, model: bytes) -> float:
        return len(model) / 2**20

    def departs(self, model: bytes, precision: str) -> str:
        return self.refused

    def _run(self, model: bytes) -> np.ndarray:
        return np.asarray(session(model).run(None, dict(self.frame))[0])

    def _milliseconds(self, model: bytes) -> float:
        graph = onnx.load_from_string(model).graph
        made = {name: n for n in graph.node for name in n.output}
        convs = [n for n in graph.node if n.op_type == "Conv"]
        integer = [n for n in convs if n.input[1] in made and made[n.input[1]].op_type == "DequantizeLinear"]
        return (
            FLOAT_CONV_MS * (len(convs) - len(integer))
            + INTEGER_CONV_MS * len(integer)
            + (self.slower if integer else 0.0)
        )


def uneven(path: Path, bad: Sequence[int] = (2,), layers: int = 5) -> Path:
    """A chain of convolutions; those in ``bad`` have enormous weights for input channel 0, which is always zero.

    One scale for the whole tensor then leaves nothing of the weights that count.
    """
    weights, nodes, last = {}, [], "x"
    for index in range(layers):
        kernel = normal(index, 8, 8, 3, 3, scale=0.15)
        kernel[0] = 0
        if index in bad:
            kernel[:, 0] = 1000
        weights[f"w{index}"] = kernel
        name = "y" if index == layers - 1 else f"c{index}"
        nodes.append(node("Conv", f"{last} w{index}", name, pads=[1, 1, 1, 1]))
        last = name
    return write(path, nodes, [("x", (1, 8, 12, 12), "float32")], [("y", (1, 8, 12, 12), "float32")], weights)


def frames(count: int = 4) -> list[dict[str, np.ndarray]]:
    """Inputs of :func:`uneven`."""
    made = [{"x": normal(100 + index, 1, 8, 12, 12)} for index in range(count)]
    for frame in made:
        frame["x"][:, 0] = 0
    return made
