"""Outputs compared as what they are, and limits in proportion to what INT8 itself costs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.core.golden import Golden
from edgekit.core.spec import ParityLimits
from edgekit.core.tensors import Array, Arrays, TensorSpec
from edgekit.engine import Engine, ort
from edgekit.verification.limits import limits_of
from edgekit.verification.outputs import distance, kind_of, ordered_outputs, relative_l2
from edgekit.verification.parity import compare, decided
from tests.support.graphs import node, normal, write


class Says(Engine):
    """An engine with one output per name that gives these arrays, frame by frame."""

    def __init__(self, *frames: Arrays, shape: tuple[int, ...] = (1,)) -> None:
        self.inputs, self.outputs = (TensorSpec("x", shape),), ()
        self._frames, self._open = iter(frames), True

    def activate(self) -> None: ...
    def deactivate(self) -> None: ...
    def describe(self) -> dict[str, object]:
        return {}

    def infer_impl(self, feeds: Arrays) -> dict[str, Array]:
        return dict(next(self._frames))


def golden(typed: Array, fp32: Array) -> Golden:
    frame = Golden(({"x": np.zeros(1, np.float32)},))
    return frame.with_reference("int8", [{"y": typed}]).with_reference("fp32", [{"y": fp32}])


def test_rows_of_varying_number_and_order() -> None:
    boxes = normal(1, 1, 40, 4)
    fewer, turned = boxes[:, :38], boxes[:, ::-1]
    assert kind_of("boxes", [(fewer, boxes)], ()) == "set"
    assert distance("set", turned, boxes) == 0
    assert distance("set", fewer, boxes) == pytest.approx(1 - 2 * 38 / 78)
    assert distance("set", boxes[:, :0], boxes) == 1
    assert distance("set", boxes[:, :0], boxes[:, :0]) == 0
    assert distance("set", boxes + 10, boxes) == 1
    assert distance("set", boxes[0, :1], boxes[0]) == pytest.approx(1 - 2 / 41)  # one row of four, not four rows


def test_indices_labels_and_booleans() -> None:
    ranks = np.array([[5, 3, 9, 1]], np.int64)
    assert kind_of("i", [(ranks, ranks)], {"i"}) == "ranking"
    assert kind_of("i", [(ranks, ranks)], ()) == "labels"
    assert kind_of("b", [(ranks > 3, ranks > 3)], {"b"}) == "labels"
    assert distance("ranking", ranks[:, [0, 2, 1, 3]], ranks) == 0  # a tie
    assert distance("ranking", np.array([[5, 3, 9, 7]]), ranks) == pytest.approx(0.25)
    assert distance("labels", np.array([[5, 3, 9, 7]]), ranks) == pytest.approx(0.25)
    assert distance("labels", ranks[:, :2], ranks) == 1


def test_a_map_is_no_set_whatever_made_it() -> None:
    plane = np.zeros((1, 1, 100, 100), np.float32).reshape(1, 10000)
    assert kind_of("y", [(plane, plane)], {"y"}) == "dense"


def test_masks_of_minus_infinity_are_no_error() -> None:
    masked = np.array([-np.inf, 1.0, 2.0])
    assert relative_l2(masked, masked) == 0
    assert relative_l2(np.array([0.0, 1.0, 2.0]), masked) == np.inf


def test_an_output_below_one_is_held_by_its_own_size() -> None:
    assert relative_l2(np.array([0.3]), np.array([0.25])) == pytest.approx(0.2)


def test_what_orders_by_value(tmp_path: Path) -> None:
    nodes = [node("Relu", "x", "r"), node("TopK", "r k", "best places"), node("Neg", "best", "y")]
    value = (1, 9), "float32"
    model = write(tmp_path / "m.onnx", nodes, [("x", *value)], [("y", (1, 3), "float32")], {"k": np.array([3])})
    assert {"best", "places", "y"} <= ordered_outputs(model)
    assert "r" not in ordered_outputs(model)


def test_the_limit_is_relative_to_what_int8_costs() -> None:
    fp32 = normal(2, 1, 100)
    typed = fp32 + 0.6 * normal(3, 1, 100)  # INT8 destroys much of this model
    near, far = typed + 0.15 * normal(4, 1, 100), typed + 0.9 * normal(5, 1, 100)
    quiet = fp32 + 0.01 * normal(6, 1, 100)  # and nothing of this one
    assert compare(Says({"y": near}), golden(typed, fp32), "int8").verdict == "pass"
    assert compare(Says({"y": far}), golden(typed, fp32), "int8").verdict == "fail"
    wrong = compare(Says({"y": quiet + 0.15 * normal(4, 1, 100)}), golden(quiet, fp32), "int8").outputs[0]
    assert (wrong.verdict, wrong.limit) == ("fail", 0.05)
    spec = limits_of("int8", ParityLimits(output_rel_l2=0.5))
    assert (
        compare(Says({"y": quiet + 0.15 * normal(4, 1, 100)}), golden(quiet, fp32), "int8", limits=spec).verdict
        == "pass"
    )


def test_no_output_ends_in_a_traceback() -> None:
    five = {"boxes": normal(1, 1, 5, 4), "n": np.array([5]), "ok": np.array([True])}
    four = {"boxes": normal(1, 1, 4, 4), "n": np.array([4]), "ok": np.array([False])}
    frame = Golden(({"x": np.zeros(1, np.float32)},))
    report = compare(Says(four), frame.with_reference("int8", [five]).with_reference("fp32", [five]), "int8")
    assert {o.output: o.kind for o in report.outputs} == {"boxes": "set", "n": "labels", "ok": "labels"}
    assert report.verdict == "fail"
    assert report.outputs[0].rel_l2 is None


def test_rounding_that_changes_an_order_is_no_difference_of_fp32(tmp_path: Path) -> None:
    """Two scores 6e-8 apart: PyTorch and the engine may rank them differently, and nothing of it is wrong."""
    scores = np.linspace(1, 2, 64, dtype=np.float32).reshape(1, 64)
    scores[0, 1::2] = scores[0, ::2] * np.float32(1 + 6e-8)
    nodes = [node("TopK", "x k", "best places"), node("Gather", "table places", "y", axis=0)]
    value = [("x", (1, 64), "float32")], [("y", (1, 20, 4), "float32"), ("places", (1, 20), "int64")]
    model = write(tmp_path / "m.onnx", nodes, *value, {"k": np.array([20]), "table": normal(7, 64, 4)})
    swapped = scores.reshape(1, 32, 2)[..., ::-1].reshape(1, 64).copy()
    with ort.reference(model) as engine:
        said = {name: array.copy() for name, array in engine.infer({"x": scores}).items()}
        other = {name: array.copy() for name, array in engine.infer({"x": swapped}).items()}
    assert (said["places"] != other["places"]).any()
    arrays = Golden(({"x": scores},)).with_reference("fp32", [other])
    assert compare(Says(said, shape=(1, 64)), arrays, "fp32", model=model).verdict == "pass"
    far = {name: array[:, ::-1] * 0 for name, array in said.items()}
    assert compare(Says(far, shape=(1, 64)), arrays, "fp32", model=model).verdict == "fail"


def test_values_that_move_between_places_are_shaken_too(tmp_path: Path) -> None:
    """Unpooling: a maximum that is elsewhere by a rounding error puts a value elsewhere, far in relative L2."""
    x = np.ones((1, 1, 8, 8), np.float32)
    x[..., ::2] *= np.float32(1 + 6e-8)
    x = (x * np.repeat(np.arange(1, 5, dtype=np.float32), 16).reshape(1, 1, 8, 8)).astype(np.float32)
    nodes = [
        node("MaxPool", "x", "m i", kernel_shape=[2, 2], strides=[2, 2]),
        node("MaxUnpool", "m i", "y", kernel_shape=[2, 2], strides=[2, 2]),
    ]
    value = (1, 1, 8, 8), "float32"
    model = write(tmp_path / "m.onnx", nodes, [("x", *value)], [("y", *value)])
    with ort.reference(model) as engine:
        said = engine.infer({"x": x})["y"].copy()
    arrays = Golden(({"x": x},)).with_reference("fp32", [{"y": said[..., ::-1].copy()}])
    report = compare(Says({"y": said}, shape=x.shape), arrays, "fp32", model=model)
    assert report.outputs[0].distance > 0.5
    assert report.verdict == "pass"


def test_the_verdict_over_all_three() -> None:
    from dataclasses import replace

    from edgekit.core.reports import Agreement, LayersReport

    fp32 = normal(2, 1, 100)
    over = compare(Says({"y": fp32 * 2}), golden(fp32, fp32), "int8")
    proven, wrong = LayersReport("layers", "pass", 3), LayersReport("layers", "fail", 3)
    blind = LayersReport("outputs only", "pass")
    same = Agreement("pixels", 16, 0.0, 0.0, 0.1, 0.2, "pass")
    other = replace(same, verdict="fail")

    def verdict(layers: LayersReport, judge: Agreement | None, precision: str = "int8") -> str:
        return decided(replace(over, layers=layers, agreement=judge), precision).verdict

    assert over.verdict == "fail"
    assert verdict(proven, None) == "pass"  # roundings that add up
    assert verdict(blind, None) == "fail"
    assert verdict(blind, same) == "pass"
    assert verdict(proven, other) == "fail"
    unsure = replace(same, verdict="undecided")
    assert verdict(proven, unsure) == "pass"
    assert verdict(blind, unsure) == "fail"
    assert verdict(wrong, same) == "fail"
    assert verdict(proven, same, "fp32") == "fail"  # layers cannot vouch for the export


def test_each_row_has_one_partner() -> None:
    one = normal(1, 1, 1, 4)
    assert distance("set", np.concatenate([one, one], axis=1), one) == pytest.approx(1 / 3)


def test_columns_of_one_value_have_a_width() -> None:
    """A thousandth of the value: of one row, or of a column that says the same of all."""
    row, other = np.array([[100.0, 5.0]], np.float32), np.zeros((1, 2), np.float32)
    for moved, expected in (([0.004, 0.0002], 1 / 3), ([0.006, 0.0], 1.0)):
        found = np.concatenate([row + np.array([moved], np.float32), other])
        assert distance("set", found, row) == pytest.approx(expected)
