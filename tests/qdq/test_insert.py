from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from onnx import numpy_helper

from edgekit.core.errors import ModelError
from edgekit.qdq.calibrate import calibrate
from edgekit.qdq.graph import Graph, simplified
from edgekit.qdq.insert import Grid, Weights, channel_axis, insert, quantize_weights
from edgekit.qdq.observe import Observer
from edgekit.qdq.placement import plan
from edgekit.qdq.profiles import PROFILES, profile
from edgekit.qdq.ranges import MinMax
from tests.support.fake_quant import fake_quant
from tests.support.graphs import convnet, node, normal, relative_l2, write

IMAGE = ("x", (1, 8, 16, 16), "float32")
PADS = [1, 1, 1, 1]
X = {"x": normal(9, 1, 8, 16, 16)}
SIZES = st.floats(0, 2.0**40, width=32)


def typed(
    folder: Path,
    nodes: Sequence[Any],
    weights: Mapping[str, np.ndarray],
    ranges: Mapping[str, tuple[float, float]],
    name: str = "ort-x86",
    **options: Any,
) -> tuple[Graph, onnx.ModelProto]:
    """A graph from ``x`` to ``y`` with rounding; tensors without a range get what a frame shows."""
    path = write(folder / "m.onnx", nodes, [IMAGE], [("y", (None,) * 4, "float32")], weights)
    graph = Graph(simplified(path))
    placed = plan(graph, profile(name))
    known = set(placed.tensors) <= set(ranges)
    seen = {} if known else calibrate(graph, placed.tensors, [X], MinMax).ranges(placed.profile)
    made = insert(graph, placed, {**seen, **ranges}, **options)
    onnx.checker.check_model(made, full_check=True)
    return graph, made


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


def inputs_of(model: onnx.ModelProto, name: str) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Integers and scales of the constants that a node reads through a DequantizeLinear, by input."""
    held = constants(model)
    producer = {made: n for n in model.graph.node for made in n.output}
    (reader,) = (n for n in model.graph.node if n.name == name)
    found = {}
    for index, tensor in enumerate(reader.input):
        dequantize = producer.get(tensor)
        if dequantize is not None and dequantize.op_type == "DequantizeLinear" and dequantize.input[0] in held:
            found[index] = held[dequantize.input[0]], held[dequantize.input[1]]
    return found


class TestGrid:
    @given(SIZES, SIZES, st.sampled_from(list(PROFILES)))
    def test_zero_is_exact_and_the_range_is_covered(self, low: float, high: float, name: str) -> None:
        chosen = profile(name)
        grid = Grid.of(-low, high, chosen)
        first, last = chosen.limits
        assert first <= grid.zero <= last
        assert np.isfinite(grid.scale)
        assert grid.scale > 0
        assert grid.scale.dtype == np.float32
        if max(low, high) > 2.0**-80:
            # Zero is moved to a step, so that one end may lie half a step outside.
            step = float(grid.scale)
            assert (first - grid.zero) * step <= -low + step * 0.501
            assert (last - grid.zero) * step >= high - step * 0.501
            assert step <= 1.001 * (2 * max(low, high) / 254 if chosen.symmetric else (low + high) / 255)
        if chosen.symmetric:
            assert grid.zero == 0

    @pytest.mark.parametrize(("name", "zero"), [("ort-x86", 0), ("ort-arm", -128), ("tensorrt", 0), ("openvino", 0)])
    def test_of_nothing_but_zeros(self, name: str, zero: int) -> None:
        assert Grid.of(0.0, 0.0, profile(name)) == Grid(np.float32(1), zero)

    def test_a_relu_starts_at_the_first_integer(self) -> None:
        assert Grid.of(0.0, 25.5, profile("ort-x86")) == Grid(np.float32(0.1), 0)
        assert Grid.of(0.0, 25.5, profile("ort-arm")) == Grid(np.float32(0.1), -128)
        assert Grid.of(0.0, 12.7, profile("tensorrt")) == Grid(np.float32(12.7 / 127), 0)


class TestWeights:
    @settings(deadline=None)
    @given(
        npst.arrays(np.float32, (4, 3, 2), elements=st.floats(-8, 8, width=32)),
        st.sampled_from([None, 0, 1]),
        st.sampled_from([8, 4]),
    )
    def test_against_torch(self, weight: np.ndarray, axis: int | None, bits: int) -> None:
        found = quantize_weights(weight, axis, bits)
        high = 2 ** (bits - 1) - 1
        assert found.values.dtype == np.int8
        assert found.scales.dtype == np.float32
        assert np.abs(found.values).max() <= high
        given_, scales = torch.tensor(weight), torch.tensor(found.scales)
        if axis is None:
            expected = torch.fake_quantize_per_tensor_affine(given_, float(scales), 0, -high, high)
        else:
            zeros = torch.zeros(len(scales), dtype=torch.int32)
            expected = torch.fake_quantize_per_channel_affine(given_, scales, zeros, axis, -high, high)
        step = found.scales.max()
        # Torch multiplies by the inverse of the scale: halves may fall on either side.
        differs = np.abs(found.restored() - expected.numpy())
        assert np.all(differs <= step * 1.001)
        assert np.mean(differs > 1e-6) <= 0.1
        assert np.all(np.abs(found.restored() - weight) <= step * 0.501)

    def test_a_channel_of_zeros(self) -> None:
        weight = normal(1, 3, 4)
        weight[1] = 0
        found = quantize_weights(weight, 0)
        assert not found.values[1].any()
        assert np.all(found.scales > 0)

    @pytest.mark.parametrize(
        ("op", "shape", "attributes", "axis"),
        [
            ("Conv", (8, 4, 3, 3), {"group": 2}, 0),
            ("ConvTranspose", (8, 4, 3, 3), {}, 1),
            ("ConvTranspose", (8, 4, 3, 3), {"group": 2}, None),
            ("Gemm", (8, 4), {}, 1),
            ("Gemm", (8, 4), {"transB": 1}, 0),
            ("MatMul", (8, 4), {}, 1),
            ("MatMul", (2, 8, 4), {}, None),
            ("MatMul", (8,), {}, None),
        ],
    )
    def test_axis_of_output_channels(self, op: str, shape: tuple[int, ...], attributes: Any, axis: int | None) -> None:
        assert channel_axis(node(op, "x w", "y", **attributes), np.zeros(shape)) == axis


class TestShared:
    @pytest.mark.parametrize("size", [1.0, 1e4])
    def test_two_input_grids(self, tmp_path: Path, size: float) -> None:
        """One copy of the integers serves both, unless a bias is too huge for the other input's scales."""
        weights = {"w": normal(1, 8, 8, 3, 3, scale=0.2), "b": normal(2, 8), "d": normal(3, 8) * np.float32(size)}
        nodes = [
            node("Conv", "x w b", "c", pads=PADS),
            node("Sigmoid", "c", "s"),
            node("Conv", "s w d", "y", pads=PADS),
        ]
        ranges = {"x": (-4.0, 4.0), "c": (-4.0, 4.0), "s": (0.0, 1e-2), "y": (-4.0, 4.0)}
        _, model = typed(tmp_path, nodes, weights, ranges)
        names = {n.name: n for n in model.graph.node}
        assert (names["Conv_c"].input[1] == names["Conv_y"].input[1]) is (size == 1)
        for name, bias, low, high in (("Conv_c", "b", -4.0, 4.0), ("Conv_y", "d", 0.0, 1e-2)):
            found = inputs_of(model, name)
            scale = Grid.of(low, high, profile("ort-x86")).scale
            assert found[2][1] == pytest.approx(scale * found[1][1], rel=1e-6)
            step = found[2][1].astype(np.float64)
            assert np.all(np.abs(found[2][0] * step - weights[bias]) <= step * 0.501)
            assert np.abs(found[2][0].astype(np.int64)).max() <= 1.001 * 2**30

    @pytest.mark.parametrize("per_channel", [True, False])
    def test_weights_that_are_also_an_operand(self, tmp_path: Path, per_channel: bool) -> None:
        """Integers of a weight are signed and symmetric, those of an operand like activations."""
        weights = {"w": np.abs(normal(1, 8, 8, 1, 1, scale=0.2))}
        nodes = [
            node("Conv", "x w", "c"),
            node("GlobalAveragePool", "c", "g"),
            node("Add", "g w", "a"),
            node("Conv", "a w", "y"),
        ]
        _, model = typed(tmp_path, nodes, weights, {}, per_channel=per_channel)
        as_weight, as_operand = inputs_of(model, "Conv_c")[1], inputs_of(model, "Add_a")[1]
        assert as_weight[0].dtype == np.int8
        assert as_operand[0].dtype == np.uint8
        for integers, scale in (as_weight, as_operand):
            spread = scale.reshape(-1, 1, 1, 1) if scale.ndim else scale
            assert np.all(np.abs(integers * spread - weights["w"]) <= spread * 0.501)

    def test_weights_tied_with_a_float_use(self, tmp_path: Path) -> None:
        weights = {"w": normal(1, 8, 8, 1, 1, scale=0.2), "k": normal(2, 1, 8, 1, 1)}
        nodes = [node("Conv", "x w", "c"), node("Softmax", "c", "s", axis=1), node("Mul", "s w", "y")]
        _, model = typed(tmp_path, nodes, weights, {})
        (mul,) = (n for n in model.graph.node if n.op_type == "Mul")
        assert np.array_equal(constants(model)[mul.input[1]], weights["w"])

    def test_given_integers_of_another_axis_are_not_used(self, tmp_path: Path) -> None:
        square = normal(1, 16, 16)
        nodes = [node("MatMul", "x v", "a"), node("MatMul", "a v", "y")]
        given_ = quantize_weights(square, 0)
        _, model = typed(tmp_path, nodes, {"v": square}, {}, fixed={"v": given_})
        assert np.array_equal(inputs_of(model, "MatMul_a")[1][0], quantize_weights(square, 1).values)
        down = Weights(np.zeros((16, 16), np.int8), quantize_weights(square, 1).scales, 1)
        _, model = typed(tmp_path, nodes, {"v": square}, {}, fixed={"v": down})
        assert not inputs_of(model, "MatMul_a")[1][0].any()


class TestBias:
    @pytest.mark.parametrize("per_channel", [True, False])
    @pytest.mark.parametrize("size", [0.0, 1e-30, 1e-20, 1e-9, 1e-3])
    def test_tiny_weights_with_a_bias(self, tmp_path: Path, size: float, per_channel: bool) -> None:
        """The bias is the output: it must neither overflow 32 bits nor be rounded to the input's step."""
        weights = {"w": normal(1, 8, 8, 3, 3) * np.float32(size), "b": normal(2, 8)}
        weights["w"][3] = 0
        nodes = [node("Conv", "x w b", "y", pads=PADS)]
        _, model = typed(tmp_path, nodes, weights, {"x": (-4.0, 4.0), "y": (-3.0, 3.0)}, per_channel=per_channel)
        integers, scale = inputs_of(model, "Conv_y")[2]
        assert np.abs(integers.astype(np.int64)).max() <= 1.001 * 2**30
        assert np.all(scale >= 2.0**-126)
        assert integers * scale.astype(np.float64) == pytest.approx(weights["b"], rel=1e-5, abs=1e-6)

    def test_ordinary_weights_keep_their_scales(self, tmp_path: Path) -> None:
        weights = {"w": normal(1, 8, 8, 3, 3, scale=0.2), "b": normal(2, 8)}
        _, model = typed(tmp_path, [node("Conv", "x w b", "y", pads=PADS)], weights, {})
        expected = quantize_weights(weights["w"], 0)
        integers, scales = inputs_of(model, "Conv_y")[1]
        assert np.array_equal(integers, expected.values)
        assert np.array_equal(scales, expected.scales)

    def test_a_bias_of_one_value(self, tmp_path: Path) -> None:
        path = write(
            tmp_path / "m.onnx",
            [node("Gemm", "x v b", "y")],
            [("x", (2, 8), "float32")],
            [("y", (2, 4), "float32")],
            {"v": normal(1, 8, 4), "b": np.float32([0.5])},
        )
        graph = Graph(simplified(path))
        model = insert(graph, plan(graph, profile("ort-x86")), {"x": (-3.0, 3.0)})
        x = normal(5, 2, 8)
        made, exact = fake_quant(model, {"x": x})["y"], fake_quant(onnx.load(path), {"x": x})["y"]
        assert relative_l2(made, exact) < 0.03

    @pytest.mark.parametrize("name", ["tensorrt", "openvino"])
    def test_stays_float_elsewhere(self, tmp_path: Path, name: str) -> None:
        weights = {"w": normal(1, 8, 8, 3, 3), "b": normal(2, 8)}
        _, model = typed(tmp_path, [node("Conv", "x w b", "y", pads=PADS)], weights, {}, name)
        (conv,) = (n for n in model.graph.node if n.op_type == "Conv")
        assert np.array_equal(constants(model)[conv.input[2]], weights["b"])

    def test_a_grid_per_channel_before_a_depthwise_convolution(self, tmp_path: Path) -> None:
        """Channels of very different sizes: each keeps its eight bits, and what shares a grid does not."""
        sizes = (100.0 ** np.linspace(-1, 1, 8)).astype(np.float32).reshape(8, 1, 1, 1)
        weights = {"w": normal(1, 8, 8, 3, 3) * sizes, "d": normal(2, 8, 1, 3, 3) / sizes}
        nodes = [node("Conv", "x w", "a", pads=PADS), node("Conv", "a d", "y", pads=PADS, group=8)]
        path = write(tmp_path / "m.onnx", nodes, [IMAGE], [("y", (None,) * 4, "float32")], weights)
        graph = Graph(simplified(path))
        placed = plan(graph, profile("openvino"))
        seen = calibrate(graph, placed.tensors, [X], MinMax)
        ranges, channels = seen.ranges(placed.profile), seen.channel_ranges(placed.profile)
        a = Observer(graph, ["a"])(X)["a"]
        lows, highs = np.minimum(a.min((0, 2, 3)), 0), np.maximum(a.max((0, 2, 3)), 0)
        wide = np.clip([2 * lows - highs, 2 * highs - lows], *ranges["a"])  # one frame says little of the next
        assert np.allclose(channels["a"], wide, rtol=1e-5, atol=1e-6)
        exact = fake_quant(onnx.load(path), X)["y"]
        apart, together = (
            relative_l2(fake_quant(insert(graph, placed, ranges, channels=given), X)["y"], exact)
            for given in (channels, None)
        )
        assert apart < 0.02
        assert together > 5 * apart


class TestRoom:
    @pytest.mark.parametrize(("frames", "share"), [(1, 1.0), (2, 1.0), (8, 0.25), (40, 0.05)])
    def test_the_more_frames_the_less(self, frames: int, share: float) -> None:
        found = MinMax("a")
        for _ in range(frames):
            found.widen(np.array([-1.0, 0.0, -4.0], np.float32), np.array([3.0, 2.0, 0.0], np.float32))
        wide = [[-1 - 4 * share, 0, -4 - 4 * share], [3 + 4 * share, 2 + 2 * share, 0]]
        assert found.channel_ranges(-100, 100) == pytest.approx(np.array(wide))
        assert found.channel_ranges(-4, 3) == pytest.approx(np.clip(wide, -4, 3))


class TestNames:
    def test_what_the_model_has_already_is_left_alone(self, tmp_path: Path) -> None:
        """Tensors, nodes and weights called as ours would be, and an output that keeps its name."""
        weights = {"w": normal(1, 8, 8, 3, 3, scale=0.2), "w/axis0": normal(2, 8, 8, 1, 1), "b": normal(3, 8)}
        nodes = [
            node("Conv", "x w b", "x/rounded", pads=PADS),
            node("Relu", "x/rounded", "y/exact"),
            node("Conv", "y/exact w/axis0", "x/integer"),
            node("Sigmoid", "x/integer", "w/axis0/integer"),
            node("Mul", "x/integer w/axis0/integer", "x/integer/rounded"),
            node("Conv", "x/integer/rounded w", "y", pads=PADS),
        ]
        for made, name in zip(nodes, ("x/QuantizeLinear", "b", "y", "a", "y/QuantizeLinear", "w"), strict=True):
            made.name = name
        graph, model = typed(tmp_path, nodes, weights, {})
        names = [n.name for n in model.graph.node]
        assert len(set(names)) == len(names)
        assert {n.name for n in graph.nodes} - {"b"} <= set(names)  # b is the Relu, which the grid replaces
        exact = fake_quant(onnx.load(tmp_path / "m.onnx"), X)["y"]
        assert relative_l2(fake_quant(model, X)["y"], exact) < 0.05

    def test_nothing_is_dequantized_that_nobody_reads(self, tmp_path: Path) -> None:
        """Max computes on the integers, so that of its operands only the one with another reader has values."""
        weights = {"w": normal(1, 8, 8, 3, 3, scale=0.2), "s": np.full((8, 1, 1), 0.2, np.float32)}
        nodes = [
            node("Conv", "x w", "a", pads=PADS),
            node("Mul", "a s", "b"),
            node("Max", "a b", "c"),
            node("Conv", "c w", "y", pads=PADS),
        ]
        _, model = typed(tmp_path, nodes, weights, {})
        graph = Graph(model)
        values = {n.output[0] for n in graph.nodes if n.op_type == "DequantizeLinear"}
        assert "a/rounded" in values
        assert "b/rounded" not in values
        assert values - {"y"} <= graph.consumers.keys()

    def test_same_arguments_same_bytes(self, tmp_path: Path) -> None:
        graph = Graph(simplified(convnet(tmp_path / "m.onnx")))
        placed = plan(graph, profile("ort-x86"))
        ranges = dict.fromkeys(placed.tensors, (-1.0, 1.0))
        first, second = (insert(graph, placed, ranges).SerializeToString(deterministic=True) for _ in range(2))
        assert first == second

    def test_the_graph_is_not_changed(self, tmp_path: Path) -> None:
        graph = Graph(simplified(convnet(tmp_path / "m.onnx")))
        before = graph.model.SerializeToString()
        placed = plan(graph, profile("ort-x86"))
        insert(graph, placed, dict.fromkeys(placed.tensors, (-1.0, 1.0)))
        assert graph.model.SerializeToString() == before


class TestRefused:
    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    @pytest.mark.parametrize("which", ["w", "b"])
    def test_weights_that_are_not_finite(self, tmp_path: Path, bad: float, which: str) -> None:
        weights = {"w": normal(1, 8, 8, 3, 3), "b": normal(2, 8)}
        weights[which].reshape(-1)[3] = bad
        with pytest.raises(ModelError, match=f"weight '{which}' holds NaN or infinity; train or export the model"):
            typed(tmp_path, [node("Conv", "x w b", "y", pads=PADS)], weights, dict.fromkeys("xy", (-4.0, 4.0)))
