from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgekit.core.errors import DataError
from edgekit.core.tensors import Arrays
from edgekit.qdq import adaround
from edgekit.qdq.adaround import Problem, Rounding, round_weights, solve, suitable, waves
from edgekit.qdq.bias import tapped
from edgekit.qdq.graph import Graph, run, runtime, session, simplified
from edgekit.qdq.insert import Weights, channel_axis, insert, quantize_weights
from edgekit.qdq.placement import plan
from edgekit.qdq.profiles import PROFILES
from edgekit.quantize import ptq
from edgekit.technique import Job
from tests.support.graphs import node, normal, write

SHAPE = (1, 8, 9, 11)
IMAGE = ("x", SHAPE, "float32")


@dataclass(frozen=True)
class Frames:
    """Seeded frames whose channels go together, so that rounding errors can cancel."""

    shapes: dict[str, tuple[int, ...]]
    count: int = 4

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Arrays]:
        for seed in range(self.count):
            yield {
                k: normal(seed, *shape) + 2 * normal(seed + 50, *shape[:1], 1, *shape[2:])
                for k, shape in self.shapes.items()
            }


FRAMES = Frames({"x": SHAPE})


def rounded(
    graph: Graph, frames: Frames, per_channel: bool = True, bits: int = 4, profile: str = "ort-x86", **keys: Any
) -> tuple[Rounding, Any]:
    """Round with a plan of a profile; also the function from fixed weights to typed model."""
    placed = plan(graph, PROFILES[profile])
    config = ptq.Config(calibrator="minmax")
    ranges = ptq.ranges_seen(graph, [placed], Job(Path(), frames), config).ranges(placed.profile)

    def place(fixed: Any) -> Any:
        return insert(graph, placed, ranges, per_channel=per_channel, bits=bits, fixed=fixed)

    return round_weights(graph, placed.compute, place, frames, per_channel=per_channel, bits=bits, **keys), place


CONVS: dict[str, dict[str, Any]] = {
    "plain": {"pads": [1, 1, 1, 1]},
    "no padding": {},
    "strided": {"pads": [0, 1, 2, 1], "strides": [2, 3]},
    "dilated": {"pads": [2, 2, 2, 2], "dilations": [2, 1]},
    "grouped": {"group": 2, "pads": [1, 1, 1, 1]},
    "depthwise": {"group": 8, "pads": [1, 1, 1, 1]},
    "same upper": {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
    "same lower": {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
    "valid": {"auto_pad": "VALID"},
}


def conv(path: Path, relu: bool = False, bias: bool = True, **attributes: Any) -> Graph:
    weights = {"w": normal(1, 8, 8 // attributes.get("group", 1), 3, 3, scale=0.3), "b": normal(2, 8)}
    nodes = [node("Conv", "x w b" if bias else "x w", "c", **attributes), *([node("Relu", "c", "y")] if relu else [])]
    out = ("y" if relu else "c", (1, 8, None, None), "float32")
    return Graph(simplified(write(path, nodes, [IMAGE], [out], weights)))


class TestSamples:
    @pytest.mark.parametrize("name", CONVS)
    def test_columns_times_weights_are_outputs(self, name: str, tmp_path: Path) -> None:
        """Sampled windows of the float input, multiplied out, are what ONNX Runtime computes."""
        graph = conv(tmp_path / "m.onnx", **CONVS[name])
        layer = graph.nodes[0]
        inputs, targets = adaround._sampled(graph, [layer], graph.model, FRAMES)[layer.name]
        start = quantize_weights(graph.array("w"), 0)
        problem = adaround._problem(graph, layer, start, 127, inputs, targets)
        made = problem.inputs @ problem.weights.swapaxes(1, 2) + problem.bias
        assert made == pytest.approx(problem.targets, abs=1e-4)
        assert np.abs(problem.weights / problem.scales).max() == pytest.approx(127, rel=1e-5)

    def test_bounded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        graph = conv(tmp_path / "m.onnx")
        monkeypatch.setattr(adaround, "SAMPLES", 40)
        inputs, targets = adaround._sampled(graph, graph.nodes[:1], graph.model, FRAMES)["Conv_c"]
        assert inputs.shape == (40, 1, 72)
        assert targets.shape == (40, 8)


def check(graph: Graph, frames: Frames = FRAMES, per_channel: bool = True, **keys: Any) -> Rounding:
    """Never worse than nearest on samples, and every integer next to w / scale."""
    found, place = rounded(graph, frames, per_channel, **keys)
    assert set(found.gains) == set(
        suitable(graph, [n.name for n in graph.nodes if n.op_type in {"Conv", "Gemm", "MatMul"}])
    )
    assert all(gain <= 1 for gain in found.gains.values())
    for layer in graph.nodes:
        if layer.name not in found.gains:
            continue
        stored, weights = graph.array(layer.input[1]), found.fixed[layer.input[1]]
        axis = channel_axis(layer, stored) if per_channel else None
        nearest = quantize_weights(stored, axis, 4)
        assert weights.values.dtype == np.int8
        assert weights.axis == axis
        assert np.array_equal(weights.scales, nearest.scales)
        unit = Weights(np.ones_like(weights.values), weights.scales, axis).restored()
        assert (np.abs(weights.values - stored / unit) < 1.001).all()
        assert np.abs(weights.values).max() <= 7
    onnx.checker.check_model(place(found.fixed), full_check=True)
    return found


class TestNetworks:
    @pytest.mark.parametrize("per_channel", [True, False])
    @pytest.mark.parametrize("name", ["plain", "strided", "grouped", "depthwise"])
    def test_convolutions(self, name: str, per_channel: bool, tmp_path: Path) -> None:
        found = check(conv(tmp_path / "m.onnx", relu=True, **CONVS[name]), per_channel=per_channel)
        assert min(found.gains.values()) < (1 if name == "depthwise" else 0.9)
        assert 0 < found.flipped < 8 * 8 * 9

    def test_without_bias(self, tmp_path: Path) -> None:
        check(conv(tmp_path / "m.onnx", bias=False))

    def test_gemm_matmul_branches_and_two_inputs(self, tmp_path: Path) -> None:
        weights = {"a": normal(1, 6, 8), "b": normal(2, 6), "m": normal(3, 8, 6), "g": normal(4, 6, 3)}
        nodes = [
            node("Gemm", "x a b", "p", transB=1),
            node("Relu", "p", "r"),
            node("MatMul", "z m", "q"),
            node("Relu", "q", "o"),
            node("Add", "r o", "s"),
            node("Gemm", "s g", "y"),
        ]
        inputs = [("x", (5, 8), "float32"), ("z", (5, 8), "float32")]
        graph = Graph(simplified(write(tmp_path / "m.onnx", nodes, inputs, [("y", (5, 3), "float32")], weights)))
        found = check(graph, Frames({"x": (5, 8), "z": (5, 8)}, 40))
        assert set(found.fixed) == {"a", "m", "g"}

    def test_shared_weights_and_others_are_left_out(self, tmp_path: Path) -> None:
        weights = {"w": normal(1, 8, 8, 3, 3, scale=0.2), "t": normal(2, 8, 4, 2, 2), "v": normal(3, 4, 4, 1, 1)}
        nodes = [
            node("Conv", "x w", "c1", pads=[1, 1, 1, 1]),
            node("Conv", "c1 w", "c2", pads=[1, 1, 1, 1]),
            node("ConvTranspose", "c2 t", "u"),
            node("Conv", "u v", "y"),
        ]
        path = write(tmp_path / "m.onnx", nodes, [IMAGE], [("y", (1, 4, None, None), "float32")], weights)
        found, _ = rounded(Graph(simplified(path)), FRAMES, profile="tensorrt")
        assert set(found.fixed) == {"v"}

    def test_needs_a_frame(self, tmp_path: Path) -> None:
        graph = conv(tmp_path / "m.onnx")
        with pytest.raises(DataError, match="the calibration set is empty"):
            round_weights(graph, ["Conv_c"], lambda fixed: graph.model, Frames(FRAMES.shapes, 0))


class TestSolve:
    def problem(self, limits: tuple[float, float] = (-np.inf, np.inf)) -> Problem:
        """One output of two equal inputs: 0.4 + 0.45 is nearer to 0 + 1 steps than to 0 + 0."""
        inputs = np.repeat(normal(1, 1, 200, 1), 2, axis=2)
        weights = np.array([[[0.4, 0.45]]], np.float32)
        return Problem(
            weights=weights,
            scales=np.ones((1, 1, 1), np.float32),
            inputs=inputs,
            targets=inputs @ weights.swapaxes(1, 2),
            bias=np.zeros((1, 1, 1), np.float32),
            limits=limits,
            highest=7,
        )

    @pytest.mark.parametrize("limits", [(-np.inf, np.inf), (0.0, np.inf), (0.0, 1.0)])
    def test_errors_that_cancel(self, limits: tuple[float, float]) -> None:
        problem = self.problem(limits)
        assert sorted(solve(problem, 200).ravel()) == [0, 1]
        assert not problem.nearest.any()

    def test_deterministic(self) -> None:
        assert np.array_equal(solve(self.problem(), 50), solve(self.problem(), 50))

    def test_nothing_to_gain(self) -> None:
        problem = self.problem()
        exact = Problem(
            **{
                **vars(problem),
                "weights": np.ones((1, 1, 2), np.float32),
                "targets": problem.inputs.sum(2, keepdims=True),
            }
        )
        assert np.array_equal(solve(exact, 20), exact.nearest)


class TestPtq:
    def test_closer_outputs_and_record(self, tmp_path: Path) -> None:
        conv(tmp_path / "m.onnx", relu=True, pads=[1, 1, 1, 1])
        job = Job(tmp_path / "m.onnx", FRAMES)
        config = ptq.Config(rounding="adaround", weight_bits=4, calibrator="minmax")
        first, second = ptq.apply(job, config), ptq.apply(job, config)
        assert first.model == second.model
        about = first.record["repairs"]["adaround"]
        assert about["layers"] == 1
        assert 0 < about["flipped"] < 0.5
        plain = ptq.apply(job, config.model_copy(update={"rounding": "nearest"}))
        errors = [self.error(tmp_path / "m.onnx", found.model) for found in (first, plain)]
        assert errors[0] < 0.9 * errors[1]

    def error(self, source: Path, typed: bytes) -> float:
        total = 0.0
        for feeds in FRAMES:
            made, exact = (
                run(session(model, runtime().SessionOptions()), ["y"], feeds)[0]
                for model in (onnx.load_from_string(typed), onnx.load(source))
            )
            total += float(np.square(made - exact).sum())
        return total

    def test_all_three(self, tmp_path: Path) -> None:
        conv(tmp_path / "m.onnx", relu=True, pads=[1, 1, 1, 1])
        config = ptq.Config(rounding="adaround", equalize=True, bias_correction=True, profiles=("openvino",))
        found = ptq.apply(Job(tmp_path / "m.onnx", FRAMES), config)
        assert list(found.record["repairs"]) == ["equalize", "adaround", "bias_correction"]
        assert set(found.also) == {"openvino"}


def test_tapped_runs_only_what_is_needed(tmp_path: Path) -> None:
    nodes = [node("Relu", "x", "a"), node("Reshape", "a s", "y")]
    source = write(tmp_path / "m.onnx", nodes, [IMAGE, ("s", (1,), "int64")], [("y", (None,), "float32")])
    (found,) = tapped(onnx.load(source), {"a": ""}, [{"x": normal(1, *SHAPE)}])
    assert np.array_equal(found["a"], np.maximum(normal(1, *SHAPE), 0))


class TestWaves:
    def graph_of(self, folder: Path, joined: bool) -> Graph:
        """Three convolutions in a row; or two beside each other and a third behind one of them."""
        weights = {name: normal(k, 8, 8, 1, 1) for k, name in enumerate("uvw")}
        nodes = [node("Conv", "x u", "a"), node("Relu", "a", "r")]
        nodes += [node("Conv", "x v" if joined else "r v", "b"), node("Relu", "b", "s"), node("Conv", "s w", "c")]
        nodes.append(node("Add", "a c", "y"))
        return Graph(simplified(write(folder / "m.onnx", nodes, [IMAGE], [("y", SHAPE, "float32")], weights)))

    def test_neighbours_in_depth(self, tmp_path: Path) -> None:
        graph, names = self.graph_of(tmp_path, False), ["Conv_a", "Conv_b", "Conv_c"]
        assert waves(graph, names, 2) == [[("Conv_a", False), ("Conv_b", True)], [("Conv_c", False)]]
        assert waves(graph, names, 16) == [[(name, False)] for name in names]
        assert waves(graph, [], 16) == []

    def test_branches_share_a_wave(self, tmp_path: Path) -> None:
        found = waves(self.graph_of(tmp_path, True), ["Conv_a", "Conv_b", "Conv_c"], 3)
        assert [sorted(name for name, _ in wave) for wave in found] == [["Conv_a", "Conv_b"], ["Conv_c"]]
