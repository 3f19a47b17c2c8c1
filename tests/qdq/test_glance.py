from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.core.errors import ModelError
from edgekit.qdq.calibrate import calibrate
from edgekit.qdq.glance import Glances
from edgekit.qdq.graph import Graph, simplified
from edgekit.qdq.observe import Observer
from edgekit.qdq.ranges import MinMax, Percentile
from tests.support.graphs import node, normal, write


class Kept(Percentile):
    """Remembers what it was given."""

    def __init__(self, name: str, sample: int) -> None:
        super().__init__(name, sample, 99.9)
        self.given: list[tuple[float, float, np.ndarray]] = []

    def add(self, low: float, high: float, sample: np.ndarray) -> None:
        super().add(low, high, sample)
        self.given.append((low, high, sample.copy()))


def model(path: Path, middle: str = "Relu", size: tuple[Any, ...] = (1, 3, 13, 17), **options: Any) -> Graph:
    nodes = [
        node("Conv", "x w", "a", pads=[1, 1, 1, 1]),
        node(middle, "a", "b", **options),
        node("Conv", "b v", "y"),
    ]
    weights = {"w": normal(1, 8, 3, 3, 3), "v": normal(2, 4, 8, 1, 1)}
    out = (size[0], 4, *size[2:])
    return Graph(simplified(write(path, nodes, [("x", size, "float32")], [("y", out, "float32")], weights)))


@settings(max_examples=30, deadline=None)
@given(sample=st.integers(1, 4000), seed=st.integers(0, 9), middle=st.sampled_from(["Relu", "LeakyRelu", "Sigmoid"]))
def test_extremes_are_exact_and_the_sample_is_of_the_values(
    tmp_path_factory: pytest.TempPathFactory, sample: int, seed: int, middle: str
) -> None:
    graph = model(tmp_path_factory.mktemp("m") / "m.onnx", middle)
    names, feed = ("a", "b"), {"x": normal(seed, 1, 3, 13, 17)}
    finders = {name: Kept(name, sample) for name in names}
    empty, broken = Glances(graph, finders)(feed)
    assert (empty, broken) == (frozenset(), None)
    whole = Observer(graph, names)(feed)
    for name in names:
        values = whole[name]
        ((low, high, seen),) = finders[name].given
        assert high == pytest.approx(max(values.max(), 0 if middle == "Sigmoid" and name == "b" else -9e9), abs=1e-5)
        assert min(low, 0.0) == pytest.approx(min(values.min(), 0.0), abs=1e-5)
        assert np.isclose(seen.reshape(-1, 1), values.reshape(1, -1), atol=1e-5).any(axis=1).all()
        assert seen.size >= min(sample, values.size) / 8


def test_every_value_counts_when_the_sample_is_large(tmp_path: Path) -> None:
    graph, feed = model(tmp_path / "m.onnx"), {"x": normal(3, 1, 3, 13, 17)}
    finder = Kept("a", 1 << 20)
    Glances(graph, {"a": finder})(feed)
    np.testing.assert_allclose(finder.given[0][2], Observer(graph, ["a"])(feed)["a"], atol=1e-6)


def test_sizes_that_are_not_known_are_looked_at_whole(tmp_path: Path) -> None:
    graph, feed = model(tmp_path / "m.onnx", size=("n", 3, 13, 17)), {"x": normal(3, 2, 3, 13, 17)}
    ranges = calibrate(graph, ("a",), [feed], MinMax).finders["a"].range()
    values = Observer(graph, ["a"])(feed)["a"]
    assert ranges == pytest.approx((float(values.min()), float(values.max())), abs=1e-6)


def test_nan_from_an_operator_that_makes_it_is_named(tmp_path: Path) -> None:
    graph = model(tmp_path / "m.onnx", "Log")
    with pytest.raises(ModelError, match="tensor 'b' holds NaN or infinity during calibration"):
        calibrate(graph, ("a", "b"), [{"x": normal(3, 1, 3, 13, 17)}], MinMax)


def test_nan_that_no_finder_sees_is_named_by_the_output(tmp_path: Path) -> None:
    graph = model(tmp_path / "m.onnx", "Log")
    with pytest.raises(ModelError, match="tensor 'y' holds NaN or infinity during calibration"):
        calibrate(graph, ("a",), [{"x": normal(3, 1, 3, 13, 17)}], MinMax)


def test_an_infinity_is_named(tmp_path: Path) -> None:
    graph = model(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="tensor 'a' holds NaN or infinity during calibration"):
        calibrate(graph, ("a",), [{"x": np.full((1, 3, 13, 17), 3e38, np.float32)}], MinMax)


def test_an_output_that_is_an_input_is_the_feed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime writes nothing to its buffer, whose fresh memory may hold NaN."""
    values = ("x", (1, 3, 5, 5), "float32"), ("y", (1, 3, 5, 5), "float32")
    nodes = [node("Conv", "x w", "y")]
    path = write(tmp_path / "m.onnx", nodes, values[:1], values, {"w": normal(1, 3, 3, 1, 1)})
    monkeypatch.setattr("numpy.empty", lambda shape, dtype=float: np.full(shape, np.nan, dtype))
    found = calibrate(Graph(simplified(path)), ("x", "y"), [{"x": np.ones((1, 3, 5, 5), np.float32)}], MinMax)
    assert found.finders["x"].range() == (0, 1)
