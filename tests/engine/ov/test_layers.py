"""OpenVINO's means as the time of each query, and layers as what the typed model calls them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.engine.ov.rounded import rounded
from tests.support.graphs import normal

from edgekit.core.layers import LayerTensor
from edgekit.engine import ov
from edgekit.engine.ov.executed import Layer
from edgekit.engine.ov.layers import layer_events
from edgekit.onnxfile.graph import Graph, Node
from edgekit.profiling.layers import layer_times

TENSOR = LayerTensor("uint8", (1, 4, 8, 8))


def layer(name: str, *sources: str, before: tuple[str, ...] = (), op: str = "Convolution") -> Layer:
    return Layer(name, op, "u8", "jit", sources, before, (TENSOR,), (TENSOR,))


CHAIN = (
    layer("in", op="Reorder"),
    layer("a", "Conv_a/WithoutBiases", "Relu_r", before=("in",)),
    layer("a_b", before=("a",), op="Reorder"),
    layer("b", "Conv_b", before=("a_b",)),
)
GRAPH = Graph(
    (
        Node("Dequantize", "DequantizeLinear", ("wq", "s"), ("w",)),
        Node("Conv_a", "Conv", ("x", "w"), ("c",), "net.a"),
        Node("Relu_r", "Relu", ("c",), ("r",), "net.act"),
        Node("Conv_b", "Conv", ("r", "v"), ("y",), "net.b"),
    ),
    {"wq": LayerTensor("int8", (4, 4, 3, 3)), "v": LayerTensor("float32", (4, 4, 1, 1))},
)


def test_growth_of_the_total_is_the_time_of_a_query() -> None:
    means = [{"a": 100.0, "b": 10.0}, {"a": 75.0, "b": 9.0}, {"a": 66.0}]
    found = layer_events(means, CHAIN, GRAPH)
    assert [(e.name, e.query, e.duration_us) for e in found] == [
        ("a", 0, 100.0),
        ("b", 0, 10.0),
        ("a", 1, 50.0),
        ("b", 1, 8.0),
        ("a", 2, 48.0),
    ]
    assert [e.start_us for e in found] == [0.0, 100.0, 110.0, 160.0, 168.0]


def test_a_total_never_shrinks() -> None:
    found = layer_events([{"a": 9.0}, {"a": 4.0}, {"a": 5.0}], CHAIN, None)
    assert [e.duration_us for e in found] == [9.0, 0.0, 6.0]


def test_modules_nodes_and_weights() -> None:
    means = [dict.fromkeys(("in", "a", "a_b", "b"), 1.0)]
    found = {e.name: e for e in layer_events(means, CHAIN, GRAPH)}
    assert found["a"].nodes == ("Conv_a", "Relu_r")
    assert {name: e.module for name, e in found.items()} == {"in": "net.a", "a": "net.a", "a_b": "net.a", "b": "net.b"}
    assert found["a"].weight == LayerTensor("int8", (4, 4, 3, 3))
    assert found["b"].weight == LayerTensor("float32", (4, 4, 1, 1))
    assert found["in"].weight is None
    assert {e.module for e in layer_events(means, CHAIN, None)} == {""}


def test_of_a_live_engine(tmp_path: Path) -> None:
    backend = ov.Backend(ov.Config(engine="ov"))
    source = rounded(tmp_path / "typed.onnx")
    backend.build(source, tmp_path / "e.ov")
    feeds = {"x": normal(0, 1, 8, 16, 16)}
    with backend.engine(tmp_path / "e.ov") as engine:
        first = engine.infer(feeds)["y"]
        times = layer_times(engine, feeds, queries=5, source=source)
        assert (engine.infer(feeds)["y"] == first).all()
    by_node = {time.node: time for time in times}
    assert {"Conv_c1", "Conv_c2"} <= set(by_node)
    assert (by_node["Conv_c1"].module, by_node["Conv_c2"].module) == ("first.conv", "second.conv")
    assert by_node["Conv_c1"].flops == 2 * 16 * 8 * 9 * 16 * 16
    assert sum(time.share for time in times) == pytest.approx(1)
    assert all(time.module for time in times if time.op == "Reorder")
