from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgekit.qdq.graph import Graph, run, session, simplified
from edgekit.qdq.rewrite import rewrite
from edgekit.quantize import ptq
from edgekit.technique import Job
from tests.support.graphs import node, normal, relative_l2, write


def deconvolution(path: Path, size: int, stride: int, pad: int, extra: int = 0, bias: bool = True, **more: Any) -> Path:
    made = stride * (7 - 1) + size - 2 * pad + extra
    weights = {"w": normal(1, 4, 6, size, size)} | ({"b": normal(2, 6)} if bias else {})
    given_pads = {"pads": [pad] * 4, "strides": [stride] * 2, "output_padding": [extra] * 2}
    nodes = [node("ConvTranspose", "x w b" if bias else "x w", "y", **given_pads, **more)]
    outs = 6 * more.get("group", 1)
    return write(path, nodes, [("x", (1, 4, 7, 7), "float32")], [("y", (1, outs, made, made), "float32")], weights)


def both(source: Path) -> tuple[Graph, tuple[str, ...], np.ndarray, np.ndarray]:
    graph = Graph(simplified(source))
    after, names = rewrite(graph)
    feed = {"x": normal(5, 1, 4, 7, 7)}
    outputs = [run(session(g.model, onnxruntime.SessionOptions()), ["y"], feed)[0] for g in (graph, after)]
    return after, names, outputs[0], outputs[1]


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(1, 6),
    stride=st.integers(2, 4),
    pad=st.integers(0, 3),
    extra=st.integers(0, 1),
    bias=st.booleans(),
)
def test_the_function_stays(
    tmp_path_factory: pytest.TempPathFactory, size: int, stride: int, pad: int, extra: int, bias: bool
) -> None:
    assume(pad < size and stride * 6 + size - 2 * pad + extra > 0)
    source = deconvolution(tmp_path_factory.mktemp("m") / "m.onnx", size, stride, pad, extra, bias)
    after, names, before, found = both(source)
    assert found.shape == before.shape
    if np.abs(before).max() > 0:
        assert relative_l2(found, before) < 1e-6
    made = stride * 6 + size - 2 * pad + extra
    if made % stride == 0 and size >= stride + pad:
        assert names == ("ConvTranspose_y",)
    assert bool(names) != any(n.op_type == "ConvTranspose" for n in after.nodes)


def test_the_usual_upsampling_becomes_one_convolution(tmp_path: Path) -> None:
    after, names, before, found = both(deconvolution(tmp_path / "m.onnx", 4, 2, 1))
    assert names == ("ConvTranspose_y",)
    assert [n.op_type for n in after.nodes] == ["Conv", "DepthToSpace"]
    assert after.nodes[0].name == "ConvTranspose_y"
    assert after.shapes["ConvTranspose_y/phases"] == (24, 4, 3, 3)
    assert "w" not in after.constants
    assert relative_l2(found, before) < 1e-6


@pytest.mark.parametrize("more", [{"group": 2}, {"dilations": [2, 2], "output_shape": [14, 14]}])
def test_what_does_not_fit_stays(tmp_path: Path, more: dict[str, Any]) -> None:
    source = tmp_path / "m.onnx"
    if "group" in more:
        deconvolution(source, 4, 2, 1, bias=False, **more)
    else:
        weights = {"w": normal(1, 4, 6, 3, 3)}
        nodes = [node("ConvTranspose", "x w", "y", strides=[2, 2], pads=[1, 1, 1, 1], dilations=[2, 2])]
        write(source, nodes, [("x", (1, 4, 7, 7), "float32")], [("y", (1, 6, 15, 15), "float32")], weights)
    _, names, before, found = both(source)
    assert names == ()
    np.testing.assert_array_equal(before, found)


class TestPRelu:
    def source(self, path: Path, slope: np.ndarray) -> Path:
        weights = {"a": slope, "w": normal(1, 6, 4, 3, 3, scale=0.2), "v": normal(2, 6, 6, 3, 3, scale=0.2)}
        nodes = [
            node("Conv", "x w", "c", pads=[1, 1, 1, 1]),
            node("PRelu", "c a", "p"),
            node("Conv", "p v", "y", pads=[1, 1, 1, 1]),
        ]
        return write(path, nodes, [("x", (1, 4, 7, 7), "float32")], [("y", (1, 6, 7, 7), "float32")], weights)

    @pytest.mark.parametrize("shape", [(6, 1, 1), (1,), ()])
    def test_slopes_up_to_one_become_a_maximum(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        slope = np.clip(normal(3, *shape, scale=0.5), -0.9, 1.0).astype(np.float32)
        after, names, before, found = both(self.source(tmp_path / "m.onnx", slope))
        assert names == ("PRelu_p",)
        assert [n.op_type for n in after.nodes] == ["Conv", "Mul", "Max", "Conv"]
        np.testing.assert_allclose(found, before, atol=1e-6)

    def test_a_steeper_slope_stays(self, tmp_path: Path) -> None:
        slope = np.full((6, 1, 1), 0.2, np.float32)
        slope[3] = 1.1
        _, names, before, found = both(self.source(tmp_path / "m.onnx", slope))
        assert names == ()
        np.testing.assert_array_equal(found, before)

    def test_integers_compute_the_maximum(self, tmp_path: Path) -> None:
        source = self.source(tmp_path / "m.onnx", np.linspace(-0.3, 0.9, 6, dtype=np.float32).reshape(6, 1, 1))
        feeds = [{"x": normal(seed, 1, 4, 7, 7)} for seed in range(4)]
        typed = onnx.load_from_string(ptq.apply(Job(source, feeds), ptq.Config(calibrator="minmax")).model)
        maximum = next(n for n in typed.graph.node if n.op_type == "Max")
        quantizers = {name: n for n in typed.graph.node if n.op_type == "QuantizeLinear" for name in n.output}
        grids = {tuple(quantizers[name].input[1:]) for name in maximum.input}
        assert len(grids) == 1
        (reader,) = [n for n in typed.graph.node if maximum.output[0] in n.input]
        assert (reader.op_type, tuple(reader.input[1:])) == ("DequantizeLinear", *grids)
        for feed in feeds:
            wanted = run(session(onnx.load(source), onnxruntime.SessionOptions()), ["y"], feed)[0]
            found = run(session(typed, onnxruntime.SessionOptions()), ["y"], feed)[0]
            assert relative_l2(found, wanted) < 0.03
