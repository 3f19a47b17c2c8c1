"""Grids per channel as ONNX Runtime's integer convolutions take them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from tests.support.graphs import node, normal, write

from edgekit.engine.ort import grids
from edgekit.onnxfile import edit
from edgekit.onnxfile.parts import Parts, parts_of

CHANNELS = 8
SCALES = np.geomspace(0.002, 0.2, CHANNELS).astype(np.float32)
ZEROS = np.array([0, 30, 60, 90, 120, 150, 200, 255], np.uint8)
WEIGHTS = np.random.default_rng(1).integers(-127, 128, (CHANNELS, 3, 3, 3)).astype(np.int8)
SPREAD = np.linspace(0.001, 0.01, CHANNELS).astype(np.float32)
BIAS = normal(3, CHANNELS)


def typed(
    folder: Path, change: Mapping[str, np.ndarray] | None = None, depthwise: bool = False, reader: str = "Sigmoid"
) -> Path:
    """A convolution from one grid to one per channel, what reads it, and perhaps a depthwise one that reads that."""
    weights: dict[str, np.ndarray] = {
        "sx": np.float32(1 / 64), "zx": np.uint8(128), "w": WEIGHTS, "sw": SPREAD, "zw": np.zeros(CHANNELS, np.int8),
        "bias": BIAS, "sa": SCALES, "za": ZEROS, "sb": SCALES / 4, "zb": ZEROS[::-1].copy(),
        "w2": np.random.default_rng(2).integers(-127, 128, (CHANNELS, 1, 3, 3)).astype(np.int8),
        "bias2": normal(4, CHANNELS), "sy": np.float32(0.02), "zy": np.uint8(100),
    }  # fmt: skip
    nodes = [
        node("QuantizeLinear", "x sx zx", "x_i"), node("DequantizeLinear", "x_i sx zx", "x_f"),
        node("DequantizeLinear", "w sw zw", "w_f", axis=0), node("Conv", "x_f w_f bias", "c", pads=[1, 1, 1, 1]),
        node("QuantizeLinear", "c sa za", "a_i", axis=1), node("DequantizeLinear", "a_i sa za", "a", axis=1),
        node(reader, "a", "b"),
    ]  # fmt: skip
    made = "b"
    if depthwise:
        nodes += [
            node("QuantizeLinear", "b sb zb", "b_i", axis=1), node("DequantizeLinear", "b_i sb zb", "b_f", axis=1),
            node("DequantizeLinear", "w2 sw zw", "w2_f", axis=0),
            node("Conv", "b_f w2_f bias2", "d", group=CHANNELS, pads=[1, 1, 1, 1]),
            node("QuantizeLinear", "d sy zy", "d_i"), node("DequantizeLinear", "d_i sy zy", "y"),
        ]  # fmt: skip
        made = "y"
    used = {name for one in nodes for name in one.input}
    weights = {name: array for name, array in (weights | dict(change or {})).items() if name in used}
    outputs = [(made, (1, CHANNELS, "h", "w"), "float32")]
    return write(folder / "m.onnx", nodes, [("x", (1, 3, 9, 11), "float32")], outputs, weights)


def integers(model: bytes, name: str) -> np.ndarray:
    """What a model rounds to, computed as it is written."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(edit.show(model, [name]), options)
    (made,) = session.run([name], {"x": normal(7, 1, 3, 9, 11)})
    return np.asarray(made).astype(np.int64)


def rewritten(parts: Parts) -> bytes:
    chosen = [one for one in grids.convolutions(parts) if one.zeros is None]
    return parts.replaced(*grids.written(parts, chosen)).serialised()


@pytest.mark.parametrize("bias", [BIAS, 40 * BIAS, np.zeros(CHANNELS, np.float32)])
def test_integers_are_those_of_the_grid_per_channel(bias: np.ndarray, tmp_path: Path) -> None:
    parts = parts_of(typed(tmp_path, {"bias": bias}).read_bytes())
    difference = integers(rewritten(parts), "a_i") - integers(parts.serialised(), "a_i")
    assert np.abs(difference).max() <= 1  # at a tie
    assert np.mean(difference != 0) < 0.01
    (rounding,) = [one for one in onnx.load_from_string(rewritten(parts)).graph.node if "a_i" in one.output]
    held = {
        one.name: onnx.numpy_helper.to_array(one) for one in onnx.load_from_string(rewritten(parts)).graph.initializer
    }
    assert [held[name].size for name in rounding.input[1:]] == [1, 1]


def test_a_channel_of_zeros_gives_its_bias(tmp_path: Path) -> None:
    weights, spread = WEIGHTS.copy(), SPREAD.copy()
    weights[2], spread[2] = 0, 1.0  # as such a channel is written, whatever its bias
    parts = parts_of(typed(tmp_path, {"w": weights, "sw": spread}).read_bytes())
    assert (integers(rewritten(parts), "a_i")[:, 2] == integers(parts.serialised(), "a_i")[:, 2]).all()


def test_a_bias_that_32_bits_do_not_hold_stays_float(tmp_path: Path) -> None:
    parts = parts_of(typed(tmp_path, {"bias": np.full(CHANNELS, 1e6, np.float32)}).read_bytes())
    assert grids.convolutions(parts) == []


@pytest.mark.parametrize(
    "change",
    [
        {"sa": np.float32(0.1), "za": np.uint8(3)},  # one grid: ONNX Runtime's own
        {"w": WEIGHTS.astype(np.uint8), "zw": np.zeros(CHANNELS, np.uint8)},
    ],
)
def test_what_stays(change: dict[str, Any], tmp_path: Path) -> None:
    assert grids.convolutions(parts_of(typed(tmp_path, change).read_bytes())) == []


def test_a_convolution_that_somebody_reads_in_float_stays(tmp_path: Path) -> None:
    model = onnx.load(typed(tmp_path))
    model.graph.output.append(onnx.helper.make_tensor_value_info("c", 1, [1, CHANNELS, 9, 11]))
    assert grids.convolutions(parts_of(model.SerializeToString())) == []


def test_a_depthwise_one_reads_one_grid_until_it_is_exchanged(tmp_path: Path) -> None:
    parts = parts_of(typed(tmp_path, depthwise=True).read_bytes())
    first, second = grids.convolutions(parts)
    assert (first.zeros is None, second.zeros is None) == (True, False)
    assert second.zeros is not None
    np.testing.assert_array_equal(second.zeros, ZEROS[::-1])
    # The product of scales that a kernel multiplies with is that of the typed model.
    products = second.reading * second.weight_scales / second.scale
    np.testing.assert_allclose(products, SCALES / 4 * SPREAD / np.float32(0.02), rtol=1e-5)
    _, tensors = grids.written(parts, [first, second])
    assert second.mark in tensors


def test_no_two_stand_ins_are_alike(tmp_path: Path) -> None:
    """The runtime shares constants of one value, and then a name says no more whose it is."""
    one = typed(tmp_path, depthwise=True)
    model = onnx.load(one)
    again = [node_ for node_ in model.graph.node if node_.output[0] in ("d", "d_i", "y")]
    for old in again:
        new = model.graph.node.add()
        new.CopyFrom(old)
        new.name += "_2"
        new.output[0] += "_2"
        new.input[0] = old.input[0] if old.output[0] == "d" else f"{old.input[0]}_2"
    model.graph.output.append(onnx.helper.make_tensor_value_info("y_2", 1, [1, CHANNELS, None, None]))
    found = [
        one.reading.item() for one in grids.convolutions(parts_of(model.SerializeToString())) if one.zeros is not None
    ]
    assert len(found) == len(set(found)) == 2
