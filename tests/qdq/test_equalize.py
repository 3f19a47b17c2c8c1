from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.core.errors import DataError, SpecError
from edgekit.core.tensors import Arrays
from edgekit.qdq.equalize import Equalized, equalize, pairs, peaks_seen
from edgekit.qdq.graph import Graph, run, runtime, session, simplified
from edgekit.quantize import ptq
from edgekit.technique import Job
from tests.support.graphs import node, normal, relative_l2, write

LIMITS = json.loads((Path(__file__).parents[1] / "golden" / "repair.json").read_text())
SHAPE = (1, 4, 8, 8)
IMAGE = ("x", SHAPE, "float32")


@dataclass(frozen=True)
class Frames:
    """Seeded frames of some inputs."""

    shapes: dict[str, tuple[int, ...]]
    count: int = 4
    first: int = 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Arrays]:
        for seed in range(self.first, self.first + self.count):
            yield {name: normal(seed, *shape) for name, shape in self.shapes.items()}


FRAMES = Frames({"x": SHAPE})


def outputs(model: Any, feeds: Arrays) -> dict[str, np.ndarray]:
    opened = session(model, runtime().SessionOptions())
    names = [value.name for value in model.graph.output]
    return dict(zip(names, run(opened, names, feeds), strict=True))


def assert_same_function(done: Equalized, graph: Graph, frames: Frames = FRAMES) -> None:
    """Relative L2 over all frames: single outputs may cancel to less than float32 carries."""
    made = [outputs(done.graph.model, feeds) for feeds in frames]
    expected = [outputs(graph.model, feeds) for feeds in frames]
    for name in graph.outputs:
        values, wanted = (np.stack([found[name] for found in run]) for run in (made, expected))
        # What Relu switched off altogether stays zero.
        assert np.linalg.norm(values - wanted) <= LIMITS["same_function"] * np.linalg.norm(wanted)


def graph_of(path: Path, nodes: list[Any], weights: dict[str, np.ndarray], **outs: tuple[int, ...]) -> Graph:
    made = [(name, shape, "float32") for name, shape in outs.items()]
    return Graph(simplified(write(path, nodes, [IMAGE], made, weights)))


def names(graph: Graph) -> list[tuple[str, str]]:
    return [(pair.first.name, pair.second.name) for pair in pairs(graph)]


def conv_conv(path: Path, between: list[Any], read: str, **extra: np.ndarray) -> Graph:
    """Conv ``c`` -> ``between`` -> Conv ``y``, with channels of very different width in the middle."""
    widths = np.array([1e-2, 0.3, 5, 100], np.float32)
    weights = {
        "w1": normal(1, 4, 4, 3, 3) * widths[:, None, None, None],
        "b1": normal(2, 4) * widths,
        "w2": normal(3, 4, 4, 1, 1) / widths[None, :, None, None],
        "b2": normal(4, 4),
        **extra,
    }
    nodes = [node("Conv", "x w1 b1", "c", pads=[1, 1, 1, 1]), *between, node("Conv", f"{read} w2 b2", "y")]
    return graph_of(path, nodes, weights, y=(1, 4, None, None))


BETWEEN: dict[str, tuple[list[Any], dict[str, np.ndarray]]] = {
    "nothing": ([], {}),
    "relu": ([node("Relu", "c", "t")], {}),
    "prelu": ([node("PRelu", "c slope", "t")], {"slope": normal(9, 4, 1, 1)}),
    "leaky": ([node("LeakyRelu", "c", "t", alpha=0.3)], {}),
    "open clip": ([node("Clip", "c zero", "t")], {"zero": np.float32(0)}),
    "max pool": ([node("Relu", "c", "r"), node("MaxPool", "r", "t", kernel_shape=[2, 2], strides=[2, 2])], {}),
    "average pool": ([node("AveragePool", "c", "t", kernel_shape=[3, 3], pads=[1, 1, 1, 1])], {}),
    "resize": ([onnx.helper.make_node("Resize", ["c", "", "s"], ["t"])], {"s": np.array([1, 1, 2, 2], np.float32)}),
}


class TestPairs:
    @pytest.mark.parametrize("name", BETWEEN)
    def test_passes(self, name: str, tmp_path: Path) -> None:
        between, extra = BETWEEN[name]
        graph = conv_conv(tmp_path / "m.onnx", between, "t" if between else "c", **extra)
        assert names(graph) == [("Conv_c", "Conv_y")]
        for done in (equalize(graph), equalize(graph, peaks_seen(graph, FRAMES))):
            assert_same_function(done, graph)
            assert done.summary()["largest_spread"] > 100

    def test_equal_widths_afterwards(self, tmp_path: Path) -> None:
        """Equation 9 of the paper: output and input widths of every channel agree, up to the common factor."""
        graph = equalize(conv_conv(tmp_path / "m.onnx", [node("Relu", "c", "t")], "t")).graph
        ratio = np.abs(graph.array("w1")).max(axis=(1, 2, 3)) / np.abs(graph.array("w2")).max(axis=(0, 2, 3))
        assert ratio == pytest.approx(np.full(4, ratio[0]), rel=1e-2)

    @pytest.mark.parametrize("op", ["Sigmoid", "HardSwish", "Tanh", "Exp"])
    def test_other_functions_end_it(self, op: str, tmp_path: Path) -> None:
        assert not names(conv_conv(tmp_path / "m.onnx", [node(op, "c", "t")], "t"))

    def test_clip_below_zero_ends_it(self, tmp_path: Path) -> None:
        clip = node("Clip", "c low high", "t")
        graph = conv_conv(tmp_path / "m.onnx", [clip], "t", low=np.float32(-1), high=np.float32(6))
        assert not names(graph)

    def test_two_readers_end_it(self, tmp_path: Path) -> None:
        weights = {name: normal(k, 4, 4, 1, 1) for k, name in enumerate(("w1", "w2", "w3"))}
        nodes = [
            node("Conv", "x w1", "c"),
            node("Conv", "c w2", "a"),
            node("Conv", "c w3", "b"),
            node("Add", "a b", "y"),
        ]
        graph = graph_of(tmp_path / "m.onnx", nodes, weights, y=SHAPE)
        assert not names(graph)
        assert_same_function(equalize(graph), graph)

    def test_a_model_output_ends_it(self, tmp_path: Path) -> None:
        nodes = [node("Conv", "x w1", "c"), node("Conv", "c w2", "y")]
        weights = {"w1": normal(1, 4, 4, 1, 1), "w2": normal(2, 4, 4, 1, 1)}
        assert not names(graph_of(tmp_path / "m.onnx", nodes, weights, c=SHAPE, y=SHAPE))

    @pytest.mark.parametrize("constants", [("w", "w", "b1", "b2"), ("w1", "w2", "b", "b")])
    def test_shared_constants_end_it(self, constants: tuple[str, ...], tmp_path: Path) -> None:
        w1, w2, b1, b2 = constants
        weights = {w1: normal(1, 4, 4, 1, 1), w2: normal(1, 4, 4, 1, 1), b1: normal(2, 4), b2: normal(2, 4)}
        nodes = [node("Conv", f"x {w1} {b1}", "c"), node("Conv", f"c {w2} {b2}", "y")]
        graph = graph_of(tmp_path / "m.onnx", nodes, weights, y=SHAPE)
        assert not names(graph)
        assert_same_function(equalize(graph), graph)

    def test_dead_channels_stay(self, tmp_path: Path) -> None:
        graph = conv_conv(tmp_path / "m.onnx", [node("Relu", "c", "t")], "t")
        dead = graph.array("w1")
        dead[1] = 0
        for tensor in graph.model.graph.initializer:
            if tensor.name == "w1":
                tensor.CopyFrom(onnx.numpy_helper.from_array(dead, "w1"))
        graph = Graph(graph.model)
        for done in (equalize(graph), equalize(graph, peaks_seen(graph, FRAMES))):
            assert done.factors["Conv_c", "Conv_y"][1] == 1
            assert_same_function(done, graph)


class TestClip:
    def graph(self, path: Path, bound: float) -> Graph:
        clip = node("Clip", "c low high", "t")
        return conv_conv(path, [clip], "t", low=np.float32(0), high=np.float32(bound))

    def test_left_alone_without_frames(self, tmp_path: Path) -> None:
        assert equalize(self.graph(tmp_path / "m.onnx", 6)).summary() == {"pairs": 0, "largest_spread": 1.0}

    def test_channels_at_the_bound_stay_and_none_arrives_there(self, tmp_path: Path) -> None:
        graph = self.graph(tmp_path / "m.onnx", 20)
        done = equalize(graph, peaks_seen(graph, FRAMES))
        factors = done.factors["Conv_c", "Conv_y"]
        assert_same_function(done, graph)
        high = peaks_seen(graph, FRAMES)["c"].high
        held = high * 1.1 >= 20
        assert 0 < held.sum() < 4
        assert (factors[held] == 1).all()
        assert (high[~held] / factors[~held] <= 20).all()
        assert factors.min() < 0.9

    def test_needs_a_frame(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="the calibration set is empty"):
            peaks_seen(self.graph(tmp_path / "m.onnx", 6), replace(FRAMES, count=0))


def test_a_large_bias_does_not_stretch_the_tensor(tmp_path: Path) -> None:
    graph = conv_conv(tmp_path / "m.onnx", [node("Relu", "c", "t")], "t")
    wide, bias = graph.array("w1"), graph.array("b1")
    wide[0] *= 1e-4
    bias[0] = 50
    for tensor in graph.model.graph.initializer:
        for name, values in (("w1", wide), ("b1", bias)):
            if tensor.name == name:
                tensor.CopyFrom(onnx.numpy_helper.from_array(values, name))
    graph = Graph(graph.model)
    before = peaks_seen(graph, FRAMES)
    done = equalize(graph, before)
    assert_same_function(done, graph)
    assert peaks_seen(done.graph, FRAMES)["c"].high.max() <= before["c"].high.max() * 1.0001
    assert peaks_seen(equalize(graph).graph, FRAMES)["c"].high.max() > before["c"].high.max() * 2


@st.composite
def chains(draw: st.DrawFn) -> tuple[list[Any], dict[str, np.ndarray], tuple[int, ...]]:
    """Convolutions of any group, activations between, and sometimes a Gemm behind a Flatten."""
    seed = draw(st.integers(0, 10_000))
    nodes: list[Any] = []
    weights: dict[str, np.ndarray] = {}
    tensor, channels = "x", 4
    for index in range(draw(st.integers(2, 4))):
        made, name = f"t{index}", f"w{index}"
        widths = np.exp(normal(seed + index, 4, scale=draw(st.sampled_from([0.1, 1.0]))))
        group = draw(st.sampled_from([1, 2, 4]))
        bias = f" b{index}" if draw(st.booleans()) else ""
        if draw(st.booleans()):
            weights[name] = normal(seed + 10 + index, channels, 4 // group, 3, 3, scale=0.4)
            nodes.append(node("ConvTranspose", f"{tensor} {name}{bias}", made, group=group, pads=[1, 1, 1, 1]))
        else:
            weights[name] = (
                normal(seed + 10 + index, 4, channels // group, 3, 3, scale=0.4) * widths[:, None, None, None]
            )
            nodes.append(node("Conv", f"{tensor} {name}{bias}", made, group=group, pads=[1, 1, 1, 1]))
        if bias:
            weights[f"b{index}"] = normal(seed + 20 + index, 4)
        tensor = made
        between = draw(st.sampled_from(["", "Relu", "LeakyRelu", "PRelu"]))
        if between:
            slope = f" s{index}" if between == "PRelu" else ""
            if slope:
                weights[f"s{index}"] = normal(seed + 30 + index, 4, 1, 1)
            nodes.append(node(between, f"{tensor}{slope}", f"a{index}"))
            tensor = f"a{index}"
    if draw(st.booleans()):
        transposed = draw(st.booleans())
        weights["g"] = normal(seed + 40, *((5, 256) if transposed else (256, 5)), scale=0.1)
        nodes += [node("Flatten", tensor, "f"), node("Gemm", "f g", "z", transB=int(transposed), alpha=0.5)]
        nodes += [node("Relu", "z", "zr"), node("Gemm", "zr h", "y")]
        weights["h"] = normal(seed + 41, 5, 3)
        return nodes, weights, (1, 3)
    nodes.append(node("Conv", f"{tensor} last", "y"))
    weights["last"] = normal(seed + 42, 4, 4, 1, 1)
    return nodes, weights, SHAPE


@settings(max_examples=40, deadline=None, derandomize=True)
@given(chains())
def test_chains_keep_their_function(
    tmp_path_factory: pytest.TempPathFactory, chain: tuple[list[Any], dict[str, np.ndarray], tuple[int, ...]]
) -> None:
    nodes, weights, shape = chain
    graph = graph_of(tmp_path_factory.mktemp("chain") / "m.onnx", nodes, weights, y=shape)
    layers = [n for n in graph.nodes if n.op_type in {"Conv", "ConvTranspose", "Gemm"}]
    assert len(names(graph)) == len(layers) - 1
    assert_same_function(equalize(graph), graph)
    assert_same_function(equalize(graph, peaks_seen(graph, FRAMES)), graph)


class TestPtq:
    def error(self, source: Path, **keys: Any) -> float:
        config = ptq.Config(weights="per-tensor", calibrator="minmax", **keys)
        typed = onnx.load_from_string(ptq.apply(Job(source, FRAMES), config).model)
        feeds = next(iter(replace(FRAMES, first=50)))
        return relative_l2(outputs(typed, feeds)["y"], outputs(onnx.load(source), feeds)["y"])

    def test_lowers_the_error_of_one_scale_per_tensor(self, tmp_path: Path) -> None:
        conv_conv(tmp_path / "m.onnx", [node("Relu", "c", "t")], "t")
        plain, repaired = (self.error(tmp_path / "m.onnx", equalize=on) for on in (False, True))
        assert repaired < LIMITS["equalized_over_plain"] * plain

    def test_record_and_progress(self, tmp_path: Path) -> None:
        conv_conv(tmp_path / "m.onnx", [node("Relu", "c", "t")], "t")
        found = ptq.apply(Job(tmp_path / "m.onnx", FRAMES), ptq.Config(equalize=True))
        assert found.record["repairs"]["equalize"]["pairs"] == 1
        assert ptq.apply(Job(tmp_path / "m.onnx", FRAMES), ptq.Config()).record["repairs"] == {}

    def test_several_inputs_and_branches(self, tmp_path: Path) -> None:
        shapes = {"x": SHAPE, "z": SHAPE}
        weights = {name: normal(k, 4, 4, 3, 3) for k, name in enumerate(("w1", "w2", "w3"))}
        nodes = [
            node("Conv", "x w1", "c1", pads=[1, 1, 1, 1]),
            node("Relu", "c1", "r1"),
            node("Conv", "r1 w2", "c2", pads=[1, 1, 1, 1]),
            node("Conv", "z w3", "c3", pads=[1, 1, 1, 1]),
            node("Add", "c2 c3", "y"),
        ]
        inputs = [(name, shape, "float32") for name, shape in shapes.items()]
        graph = Graph(simplified(write(tmp_path / "m.onnx", nodes, inputs, [("y", SHAPE, "float32")], weights)))
        assert names(graph) == [("Conv_c1", "Conv_c2")]
        frames = Frames(shapes)
        assert_same_function(equalize(graph, peaks_seen(graph, frames)), graph, frames)

    def test_known_ranges_are_of_another_model(self, tmp_path: Path) -> None:
        conv_conv(tmp_path / "m.onnx", [], "c")
        with pytest.raises(SpecError, match="equalize: true changes the ranges"):
            ptq.place(tmp_path / "m.onnx", {}, "ort-x86", ptq.Config(equalize=True))
