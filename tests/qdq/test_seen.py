from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.qdq.calibrate import calibrate
from edgekit.qdq.graph import Graph, simplified
from edgekit.qdq.profiles import profile
from edgekit.qdq.ranges import MeanSquare, MinMax, Percentile, RangeFinder
from edgekit.qdq.seen import function_of
from tests.support.graphs import node, normal, write

IMAGE = ("x", (1, 8, 16, 16), "float32")
SILU = [node("Sigmoid", "a", "s"), node("Mul", "a s", "y")]
HARD_SWISH = [
    *(node("Add", "a three", "p"), node("Clip", "p zero six", "c")),
    *(node("Mul", "a c", "m"), node("Div", "m six", "y")),
]
SCALARS = {"three": 3.0, "zero": 0.0, "six": 6.0}


def graph_of(folder: Path, nodes: list[Any], outputs: str = "y") -> Graph:
    """A convolution to ``a`` and ``nodes``."""
    held = {name: np.array(value, np.float32) for name, value in SCALARS.items() if any(name in n.input for n in nodes)}
    weights = {"w": normal(1, 8, 8, 3, 3, scale=0.5), **held}
    made = [(name, (None,) * 4, "float32") for name in outputs.split()]
    nodes = [node("Conv", "x w", "a", pads=[1, 1, 1, 1]), *nodes]
    return Graph(simplified(write(folder / "m.onnx", nodes, [IMAGE], made, weights)))


@pytest.mark.parametrize(("nodes", "wanted"), [
    (SILU, lambda x: x / (1 + np.exp(-x))),
    (HARD_SWISH, lambda x: x * np.clip(x + 3, 0, 6)),
    ([node("Tanh", "a", "y")], np.tanh),
])  # fmt: skip
def test_the_function_of_all_readers(tmp_path: Path, nodes: list[Any], wanted: Any) -> None:
    found = function_of(graph_of(tmp_path, nodes), "a")
    assert found is not None
    x = np.linspace(-9, 9, 60).reshape(3, 20)
    np.testing.assert_allclose(found(x), wanted(x), atol=1e-5)


def test_where_readers_give_several_tensors_there_is_none(tmp_path: Path) -> None:
    assert function_of(graph_of(tmp_path, [*SILU, node("Relu", "a", "z")], "y z"), "a") is None
    assert function_of(graph_of(tmp_path, SILU, "y a"), "a") is None
    assert function_of(graph_of(tmp_path, [node("MaxPool", "a", "y", kernel_shape=[2, 2])]), "a") is None


@pytest.mark.parametrize(
    "finder", [lambda name: Percentile(name, 1 << 14, 99.99), lambda name: MeanSquare(name, 1 << 14)]
)
def test_steps_are_not_spent_where_silu_is_flat(tmp_path: Path, finder: Any) -> None:
    """The low end rises, the high end stays where the calibrator put it, and the error of silu falls."""
    graph = graph_of(tmp_path, SILU)
    feeds = [{"x": normal(5, 1, 8, 16, 16, scale=2.0)}]
    found: RangeFinder = calibrate(graph, ["a"], feeds, finder).finders["a"]
    low, high = found.range()
    found.seen = None  # type: ignore[attr-defined]
    plain_low, plain_high = found.range()
    assert plain_low < -10
    assert -7 < low < -3
    assert high == plain_high
    values = feeds[0]["x"].reshape(-1) * 5

    def error(ends: tuple[float, float]) -> float:
        scale = (ends[1] - ends[0]) / 255
        inside = values[values < plain_high]
        rounded = np.round(np.clip(inside, *ends) / scale) * scale
        return float(np.square(rounded / (1 + np.exp(-rounded)) - inside / (1 + np.exp(-inside))).sum())

    assert error((low, high)) < 0.6 * error((plain_low, plain_high))


def test_all_that_was_seen_stays_all_that_was_seen(tmp_path: Path) -> None:
    feeds = [{"x": normal(5, 1, 8, 16, 16, scale=2.0)}]
    ranges = calibrate(graph_of(tmp_path, SILU), ["a"], feeds, MinMax).ranges(profile("ort-x86"))
    assert ranges["a"][0] < -10
