"""Stems of stride 2 over few channels: the same function as SpaceToDepth and a convolution of stride 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edgekit.qdq.graph import Graph, run, session, simplified
from edgekit.qdq.rewrite import rewrite
from edgekit.quantize import ptq
from edgekit.technique import Job
from tests.support.graphs import node, normal, relative_l2, write


def stem(
    path: Path,
    size: tuple[int, int] = (3, 3),
    pads: tuple[int, ...] = (1, 1, 1, 1),
    channels: int = 3,
    rows: int = 12,
    columns: int = 10,
    bias: bool = True,
    strides: tuple[int, int] = (2, 2),
    **more: Any,
) -> Path:
    group = more.get("group", 1)
    weights = {"w": normal(1, 4, channels // group, *size)} | ({"b": normal(2, 4)} if bias else {})
    nodes = [node("Conv", "x w b" if bias else "x w", "y", pads=list(pads), strides=list(strides), **more)]
    sides = (rows, columns)
    made = [(sides[i] + pads[i] + pads[2 + i] - size[i]) // strides[i] + 1 for i in range(2)]
    values = [("x", (1, channels, rows, columns), "float32")], [("y", (1, 4, *made), "float32")]
    return write(path, nodes, *values, weights)


def outputs(graph: Graph) -> np.ndarray:
    shape = [int(size or 0) for size in graph.shapes["x"]]
    return np.asarray(run(session(graph.model, onnxruntime.SessionOptions()), ["y"], {"x": normal(5, *shape)})[0])


@given(
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    pads=st.tuples(*[st.integers(0, 3)] * 4),
    channels=st.integers(1, 4),
    bias=st.booleans(),
)
def test_the_function_stays(
    tmp_path_factory: pytest.TempPathFactory,
    size: tuple[int, int],
    pads: tuple[int, ...],
    channels: int,
    bias: bool,
) -> None:
    assume(all(pads[i] < size[i] and pads[2 + i] < size[i] for i in range(2)))
    graph = Graph(simplified(stem(tmp_path_factory.mktemp("m") / "m.onnx", size, pads, channels, bias=bias)))
    after, names = rewrite(graph)
    fits = all((12, 10)[i] + pads[2 + i] >= size[i] - pads[i] for i in range(2))
    assert (names == ("Conv_y",)) or not fits
    if names:
        assert [n.op_type for n in after.nodes] == ["SpaceToDepth", "Conv"]
        before, found = outputs(graph), outputs(after)
        assert found.shape == before.shape
        assert relative_l2(found, before) < 1e-6


KEPT: dict[str, dict[str, Any]] = {
    "odd rows": {"rows": 11},
    "odd columns": {"columns": 9},
    "many channels": {"channels": 5},
    "stride 1": {"strides": (1, 1)},
    "stride 2 one way": {"strides": (2, 1)},
    "groups": {"channels": 4, "group": 2},
    "dilation": {"dilations": [2, 2], "pads": (2, 2, 2, 2)},
}


@pytest.mark.parametrize("case", KEPT)
def test_what_is_no_stem_stays(case: str, tmp_path: Path) -> None:
    if case == "dilation":
        shapes = [("x", (1, 3, 12, 10), "float32")], [("y", (1, 4, 6, 5), "float32")]
        nodes = [node("Conv", "x w", "y", pads=[2] * 4, strides=[2, 2], dilations=[2, 2])]
        source = write(tmp_path / "m.onnx", nodes, *shapes, {"w": normal(1, 4, 3, 3, 3)})
    else:
        source = stem(tmp_path / "m.onnx", **KEPT[case])
    assert rewrite(Graph(simplified(source)))[1] == ()


def test_its_cells_are_integers(tmp_path: Path) -> None:
    """The picture is rounded once, and the integers are moved."""
    source = stem(tmp_path / "m.onnx")
    frames = [{"x": normal(seed, 1, 3, 12, 10)} for seed in range(4)]
    typed = onnx.load_from_string(ptq.apply(Job(source, frames), ptq.Config(calibrator="minmax")).model)
    order = [n.op_type for n in typed.graph.node]
    assert order.index("QuantizeLinear") < order.index("SpaceToDepth") < order.index("Conv")


def test_one_that_stays_float_stays_as_it_is(tmp_path: Path) -> None:
    assert rewrite(Graph(simplified(stem(tmp_path / "m.onnx"))), ["Conv_y"])[1] == ()
