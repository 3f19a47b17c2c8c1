from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgekit.core.errors import DataError
from edgekit.core.tensors import Arrays
from edgekit.qdq import bias
from edgekit.qdq.bias import correct, means, shifted, with_biases
from edgekit.qdq.graph import Graph, run, runtime, session, simplified
from edgekit.qdq.insert import channel_axis, insert, quantize_weights
from edgekit.qdq.placement import plan
from edgekit.qdq.profiles import PROFILES
from edgekit.quantize import ptq
from edgekit.technique import Job
from tests.support.graphs import convnet, node, normal, write

IMAGE = ("x", (1, 4, 8, 8), "float32")


@dataclass(frozen=True)
class Frames:
    """Seeded frames of some inputs, all positive: rounding then shifts means."""

    shapes: dict[str, tuple[int, ...]]
    count: int = 4

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Arrays]:
        for seed in range(self.count):
            yield {name: np.abs(normal(seed, *shape)) for name, shape in self.shapes.items()}


FRAMES = Frames({"x": IMAGE[1]})


def outputs(model: Any, feeds: Arrays) -> dict[str, np.ndarray]:
    opened = session(model, runtime().SessionOptions())
    names = [value.name for value in model.graph.output]
    return dict(zip(names, run(opened, names, feeds), strict=True))


def chain(path: Path, depth: int = 4) -> Path:
    nodes, weights, tensor = [], {}, "x"
    for index in range(depth):
        last = index == depth - 1
        weights[f"w{index}"] = normal(index, 4, 4, 3, 3, scale=0.3)
        nodes.append(node("Conv", f"{tensor} w{index}", "y" if last else f"c{index}", pads=[1, 1, 1, 1]))
        if not last:
            nodes.append(node("Relu", f"c{index}", f"r{index}"))
            tensor = f"r{index}"
    return write(path, nodes, [IMAGE], [("y", IMAGE[1], "float32")], weights)


def branches(path: Path) -> Path:
    """Two inputs, two branches with the same weights and bias, a layer without bias, and a Gemm."""
    weights = {"w": normal(1, 4, 4, 3, 3, scale=0.3), "b": normal(2, 4), "v": normal(3, 4, 4, 1, 1)}
    weights["g"] = normal(4, 256, 3, scale=0.1)
    nodes = [
        node("Conv", "x w b", "c1", pads=[1, 1, 1, 1]),
        node("Conv", "z w b", "c2", pads=[1, 1, 1, 1]),
        node("Relu", "c1", "r1"),
        node("Conv", "r1 v", "c3"),
        node("Add", "c2 c3", "s"),
        node("Flatten", "s", "f"),
        node("Gemm", "f g", "y"),
    ]
    return write(path, nodes, [IMAGE, ("z", IMAGE[1], "float32")], [("y", (1, 3), "float32")], weights)


def attention(path: Path) -> Path:
    """MatMul with a bias behind it, and two without."""
    weights = {name: normal(k, 8, 8, scale=0.4) for k, name in enumerate(("w1", "w2", "w3"))} | {"b": normal(9, 8)}
    nodes = [
        node("MatMul", "x w1", "m1"),
        node("Add", "b m1", "a1"),
        node("Relu", "a1", "r1"),
        node("MatMul", "r1 w2", "m2"),
        node("Sigmoid", "m2", "g"),
        node("Mul", "r1 g", "h"),
        node("MatMul", "h w3", "y"),
    ]
    return write(path, nodes, [("x", (2, 5, 8), "float32")], [("y", (2, 5, 8), "float32")], weights)


SHAPES = {
    chain: {"x": IMAGE[1]},
    branches: {"x": IMAGE[1], "z": IMAGE[1]},
    attention: {"x": (2, 5, 8)},
}


def quantizer(graph: Graph, profile: str, frames: Frames, bits: int = 4) -> tuple[Any, Any]:
    """The plan of a profile, and a function from graph to typed model with coarse weights."""
    placed = plan(graph, PROFILES[profile])
    calibration = ptq.ranges_seen(graph, [placed], Job(Path(), frames), ptq.Config(calibrator="minmax"))
    ranges = calibration.ranges(placed.profile)
    return placed, lambda changed: insert(changed, placed, ranges, bits=bits)


def with_rounded_weights(graph: Graph, names: Sequence[str], bits: int = 4) -> dict[str, Any]:
    """Initializers of what coarse integer weights stand for, by node."""
    found = {}
    for layer in (n for n in graph.nodes if n.name in names):
        values = graph.array(layer.input[1])
        restored = quantize_weights(values, channel_axis(layer, values), bits).restored()
        found[layer.name] = onnx.numpy_helper.from_array(restored, f"{layer.name}/rounded")
    return found


def test_a_hand_computed_shift(tmp_path: Path) -> None:
    """x = 1 (exact in uint8), weights 127 and 0.4 -> 127 and 0: output channel 0 loses 0.4 at every pixel."""
    nodes = [node("Conv", "x w", "y")]
    weights = {"w": np.array([[127, 0.4], [0, 127]], np.float32).reshape(2, 2, 1, 1)}
    value = ("x", (1, 2, 3, 3), "float32")
    source = write(tmp_path / "m.onnx", nodes, [value], [("y", value[1], "float32")], weights)
    graph = with_biases(Graph(simplified(source)))

    class Ones:
        def __len__(self) -> int:
            return 2

        def __iter__(self) -> Iterator[Arrays]:
            for _ in range(2):
                yield {"x": np.ones(value[1], np.float32)}

    placed = plan(graph, PROFILES["openvino"])
    done = correct(graph, placed.compute, lambda g: insert(g, placed, {"x": (0.0, 1.0)}), Ones())
    assert done.shifts["Conv_y"] == pytest.approx([0.4, 0.0], abs=1e-5)
    assert done.summary() == {"layers": 1, "largest_shift": pytest.approx(0.4, abs=1e-5), "largest_in": "Conv_y"}


class TestMeans:
    @pytest.mark.parametrize("profile", ["ort-x86", "tensorrt"])
    @pytest.mark.parametrize("network", SHAPES)
    def test_a_layer_of_rounded_weights_gives_what_the_float_one_does(
        self, network: Any, profile: str, tmp_path: Path
    ) -> None:
        """On the float network's own activations, by the mean of each channel."""
        frames = Frames(SHAPES[network])
        graph = with_biases(Graph(simplified(network(tmp_path / "m.onnx"))))
        placed, quantized = quantizer(graph, profile, frames)
        done = correct(graph, placed.compute, quantized, frames)
        assert set(done.shifts) == set(placed.compute)
        rounded = with_rounded_weights(graph, placed.compute)
        for name in placed.compute:
            layer = next(n for n in graph.nodes if n.name == name)
            pool = "GlobalAveragePool" if layer.op_type == "Conv" else ""
            # All other layers as they are: only this one's weights are rounded.
            alone = onnx.ModelProto()
            alone.CopyFrom(graph.model)
            next(n for n in alone.graph.node if n.name == name).input[1] = rounded[name].name
            alone.graph.initializer.append(rounded[name])
            want, found = (
                means(model, {layer.output[0]: pool}, frames)[layer.output[0]] for model in (graph.model, alone)
            )
            assert done.shifts[name] == pytest.approx(want - found, abs=1e-5 * np.abs(want).max())
            assert np.abs(done.shifts[name]).max() > 1e-3 * np.abs(want).max()

    @pytest.mark.parametrize("network", SHAPES)
    def test_the_network_comes_closer(self, network: Any, tmp_path: Path) -> None:
        frames = Frames(SHAPES[network])
        graph = with_biases(Graph(simplified(network(tmp_path / "m.onnx"))))
        placed, quantized = quantizer(graph, "openvino", frames, bits=6)
        done = correct(graph, placed.compute, quantized, frames)
        want, was, now = (
            means(model, {"y": ""}, frames)["y"]
            for model in (graph.model, quantized(graph), quantized(shifted(graph, done.shifts)))
        )
        assert np.linalg.norm(now - want) < 0.9 * np.linalg.norm(was - want)

    def test_what_a_range_leaves_out_is_not_made_up_for(self, tmp_path: Path) -> None:
        """One pixel is far above the range: all others would have to carry its loss."""
        weights = {"w": np.diag([127.0, 127.0]).astype(np.float32).reshape(2, 2, 1, 1)}
        value = ("x", (1, 2, 3, 3), "float32")
        source = write(tmp_path / "m.onnx", [node("Conv", "x w", "y")], [value], [("y", value[1], "float32")], weights)
        graph = with_biases(Graph(simplified(source)))
        feeds = {"x": np.ones(value[1], np.float32)}
        feeds["x"][0, 0, 1, 1] = 100
        placed = plan(graph, PROFILES["openvino"])
        done = correct(graph, placed.compute, lambda g: insert(g, placed, {"x": (0.0, 1.0)}), [feeds])
        assert done.shifts["Conv_y"] == pytest.approx([0.0, 0.0], abs=1e-4)

    def test_needs_a_frame(self, tmp_path: Path) -> None:
        graph = with_biases(Graph(simplified(chain(tmp_path / "m.onnx"))))
        with pytest.raises(DataError, match="the calibration set is empty"):
            correct(graph, ["Conv_y"], lambda g: quantizer(g, "openvino", FRAMES)[1](g), Frames(FRAMES.shapes, 0))

    def test_at_most_a_bounded_number_of_frames(self, tmp_path: Path) -> None:
        graph = with_biases(Graph(simplified(chain(tmp_path / "m.onnx"))))
        read = 0

        class Counted(Frames):
            def __iter__(self) -> Iterator[Arrays]:
                nonlocal read
                for feeds in super().__iter__():
                    read += 1
                    yield feeds

        means(graph.model, {"y": ""}, Counted(FRAMES.shapes, 100))
        assert read == bias.FRAMES


class TestWithBiases:
    @pytest.mark.parametrize("network", SHAPES)
    def test_the_same_function(self, network: Any, tmp_path: Path) -> None:
        graph = Graph(simplified(network(tmp_path / "m.onnx")))
        made = with_biases(graph)
        onnx.checker.check_model(made.model)
        assert made.outputs == graph.outputs
        assert {n.name for n in graph.nodes} <= {n.name for n in made.nodes}
        for feeds in Frames(SHAPES[network], 2):
            for name, value in outputs(graph.model, feeds).items():
                assert outputs(made.model, feeds)[name] == pytest.approx(value, abs=1e-5)

    def test_a_matmul_reuses_the_add_behind_it(self, tmp_path: Path) -> None:
        made = with_biases(Graph(simplified(attention(tmp_path / "m.onnx"))))
        graph = Graph(simplified(attention(tmp_path / "m.onnx")))
        assert [n.op_type for n in graph.nodes].count("MatMul") == 2  # ONNX Runtime made the first a Gemm
        assert [n.op_type for n in made.nodes].count("Add") == 2
        assert len(with_biases(made).nodes) == len(made.nodes)

    def test_excluded_nodes_stay(self, tmp_path: Path) -> None:
        graph = Graph(simplified(chain(tmp_path / "m.onnx", 2)))
        made = with_biases(graph, ["Conv_c0"])
        assert [len(n.input) for n in made.nodes if n.op_type == "Conv"] == [2, 3]


class TestPtq:
    def test_record(self, tmp_path: Path) -> None:
        job = Job(convnet(tmp_path / "m.onnx"), Frames({"x": (1, 3, 16, 16)}))
        config = ptq.Config(bias_correction=True, profiles=("tensorrt",))
        first, second = ptq.apply(job, config), ptq.apply(job, config)
        assert first.model == second.model
        assert first.record["repairs"]["bias_correction"]["layers"] == 2
        assert json.loads(json.dumps(first.record)) == first.record
        assert first.also["tensorrt"] != ptq.apply(job, ptq.Config(profiles=("tensorrt",))).also["tensorrt"]

    def test_a_layer_that_stays_float_is_not_shifted(self, tmp_path: Path) -> None:
        job = Job(convnet(tmp_path / "m.onnx"), Frames({"x": (1, 3, 16, 16)}))
        prepared = ptq.prepare(job, ptq.Config(bias_correction=True, exclude=("Conv_c1",)))
        model = onnx.load_from_string(prepared.model("ort-x86"))
        assert "Conv_c1" not in prepared.shifts
        kept = {t.name: t for t in model.graph.initializer}
        conv = next(n for n in model.graph.node if n.name == "Conv_c1")
        assert np.array_equal(onnx.numpy_helper.to_array(kept[conv.input[2]]), normal(2, 8, scale=0.1))
