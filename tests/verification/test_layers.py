"""Every layer of an engine on its own: wrong ones are named, right ones are half a step from the typed model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgekit.core.errors import CheckFailed
from edgekit.core.golden import Golden
from edgekit.core.reports import VerifyReport
from edgekit.engine import Backend, Part, ort
from edgekit.onnxfile import edit, graph
from edgekit.onnxfile.graph import read_graph
from edgekit.qdq.profiles import PROFILES
from edgekit.quantize import ptq
from edgekit.technique import Job
from edgekit.verification.layers import check_layers, judge_parts
from edgekit.verification.limits import limits_of
from edgekit.verification.parity import require
from tests.support.graphs import node, normal, write
from tests.support.reference_models import reference

CPU = ort.Config(engine="ort")
INT8 = limits_of("int8")


def quantized(name: str, folder: Path, profile: str = "ort-x86") -> tuple[Path, Path, Golden]:
    """An INT8 engine of a reference network, its typed model and two golden frames."""
    source = reference(name).write(folder)
    typed, engine = folder / "typed.onnx", folder / f"engine{ort.Backend.suffix}"
    typed.write_bytes(ptq.apply(Job(source, reference(name).frames(), profile), ptq.Config(method="ptq")).model)
    ort.Backend(CPU).build(typed, engine)
    return engine, typed, Golden(tuple(reference(name).frames(2, 100)))


@pytest.mark.parametrize("profile", PROFILES)
def test_a_right_engine_rounds_and_nothing_else(profile: str, tmp_path: Path) -> None:
    engine, typed, golden = quantized("yolox", tmp_path, profile)
    report = check_layers(ort.Backend(CPU), engine, typed, golden, INT8)
    assert (report.mode, report.verdict, report.departed) == ("layers", "pass", ())
    assert 0.4 < report.worst[0].steps <= 0.51
    made = sum(len(n.outputs) for n in read_graph(engine).nodes)
    assert report.compared >= 0.9 * made


def test_no_layer_rounds_inside_before_it_gives_floats(tmp_path: Path) -> None:
    """Where the runtime stores int8 as uint8 under its own names: a value near a tie would move a float by a step."""
    engine, typed, golden = quantized("vit", tmp_path, "ort-arm")
    operators = {made.name: made.op for made in read_graph(engine).nodes}
    parts = [p for p in ort.Backend(CPU).parts(engine, typed, [golden.inputs[0]]) if p.expected.dtype.kind == "f"]
    assert any(part.op == "QGemm" for part in parts)
    assert [part.layer for part in parts if "QuantizeLinear" in {operators.get(name) for name in part.inside}] == []


def test_floats_that_a_pair_rounds_are_held_against_what_was_rounded() -> None:
    """A value on a tie may go up or down: one step of the float, half a step from the number that was rounded."""
    scale, zero = 0.1, 3.0
    exact = np.array([10.5, 20.2])  # in steps
    expected, found = (np.float32((np.array(steps) - zero) * scale) for steps in ([10, 20], [11, 20]))
    part = Part("l", "DequantizeLinear", ("l",), (), "", "t", expected, found, exact, 1.0, 0, (scale, zero))
    assert part.steps() == pytest.approx(0.5, abs=1e-4)
    assert judge_parts([part], INT8).verdict == "pass"
    wrong = replace(part, found=np.float32((np.array([12, 20]) - zero) * scale))
    assert wrong.steps() == pytest.approx(1.5, abs=1e-4)
    assert judge_parts([wrong], INT8).verdict == "fail"
    assert judge_parts([replace(part, found=np.float32([np.nan, 1]))], INT8).verdict == "fail"
    assert judge_parts([replace(part, exact=None, grid=None)], INT8).verdict == "fail"


def test_the_layer_furthest_over_its_own_limit_is_named_first() -> None:
    """Integers may be half a step away and a little, floats a twentieth of one."""
    rounded = Part("b", "QLinearConv", ("b",), (), "", "u", np.uint8([10]), np.uint8([11]), np.array([10.0]), 1.0, 0)
    floating = Part("a", "Conv", ("a",), (), "", "t", np.float32([1.0]), np.float32([1.00004]), None, 1.0, 0)
    assert floating.steps() < rounded.steps()
    report = judge_parts([rounded, floating], INT8)
    assert [layer.layer for layer in report.worst] == ["a", "b"]


def test_pairs_that_round_floats_are_known(tmp_path: Path) -> None:
    engine, typed, golden = quantized("mobilenet", tmp_path, "ort-arm")
    operators = {made.name: made.op for made in read_graph(engine).nodes}
    parts = [
        part
        for part in ort.Backend(CPU).parts(engine, typed, [golden.inputs[0]])
        if operators.get(part.layer) == "DequantizeLinear" and part.expected.dtype.kind == "f"
    ]
    rounding = [p for p in parts if "QuantizeLinear" in {operators.get(name) for name in p.inside}]
    assert rounding
    assert all(part.grid is not None and part.steps() <= 0.51 for part in rounding)
    # Integers that are only taken back to floats have no ties.
    assert all(part.grid is None and part.steps() < 0.01 for part in parts if part not in rounding)


@pytest.mark.parametrize("name", ["yolox", "vit"])
def test_float_layers_differ_in_their_last_digits(name: str, tmp_path: Path) -> None:
    """In blocked and in turned layouts, and with names that are of another tensor by now."""
    source, engine = reference(name).write(tmp_path), tmp_path / f"e{ort.Backend.suffix}"
    ort.Backend(CPU).build(source, engine)
    golden = Golden(tuple(reference(name).frames(1)))
    report = check_layers(ort.Backend(CPU), engine, source, golden, limits_of("fp32"))
    assert report.verdict == "pass"
    assert report.worst[0].steps < 0.01
    assert report.compared >= 30


def test_a_wrong_bias_is_found_and_named_where_it_is(tmp_path: Path) -> None:
    engine, typed, golden = quantized("yolox", tmp_path)
    model = onnx.load(engine)
    convs = [n for n in model.graph.node if n.op_type == "QLinearConv"]
    wrong = convs[4]
    for tensor in model.graph.initializer:
        if tensor.name == wrong.input[8]:
            value = numpy_helper.to_array(tensor).copy()
            value[0] += 400
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    engine.write_bytes(model.SerializeToString())
    report = check_layers(ort.Backend(CPU), engine, typed, golden, INT8)
    assert [layer.layer for layer in report.departed] == [wrong.name]  # what follows from it is right
    assert report.departed[0].steps > 1
    found = VerifyReport("", "int8", 2, (), "fail", layers=report)
    with pytest.raises(CheckFailed, match=r"engine int8: a layer does not compute .* QLinearConv 'node_.*allowed 0.55"):
        require(found)


def test_layers_that_changed_places_are_two(tmp_path: Path) -> None:
    source, engine = tmp_path / "m.onnx", tmp_path / f"e{ort.Backend.suffix}"
    nodes = [
        node("Conv", "x wa", "a", pads=[1] * 4),
        node("Sigmoid", "a", "s"),
        node("Conv", "s wb", "y", pads=[1] * 4),
    ]
    weights = {"wa": normal(1, 8, 8, 3, 3), "wb": normal(2, 8, 8, 3, 3)}
    value = (1, 8, 8, 8), "float32"
    write(source, nodes, [("x", *value)], [("y", *value)], weights)
    swapped = tmp_path / "swapped.onnx"
    write(swapped, nodes, [("x", *value)], [("y", *value)], {"wa": weights["wb"], "wb": weights["wa"]})
    ort.Backend(CPU).build(swapped, engine)
    golden = Golden(({"x": normal(3, 1, 8, 8, 8)},))
    report = check_layers(ort.Backend(CPU), engine, source, golden, limits_of("fp32"))
    assert {name for layer in report.departed for name in layer.nodes} >= {"Conv_a", "Conv_y"}


class Dumb(ort.Backend):
    """A backend that cannot show inner tensors."""

    parts = Backend.parts  # type: ignore[assignment]


def test_a_backend_that_shows_nothing(tmp_path: Path) -> None:
    report = check_layers(Dumb(CPU), tmp_path / "e", tmp_path / "m", Golden(()), INT8)
    assert (report.mode, report.verdict) == ("outputs only", "pass")
    assert "no inner tensors" in report.reason


def part(expected: np.ndarray, found: np.ndarray, exact: np.ndarray | None = None, magnitude: float = 0.0) -> Part:
    return Part("l", "Conv", ("l",), ("n",), "", "t", expected, found, exact, magnitude, 0)


class TestSteps:
    def test_integers_are_held_against_what_was_rounded(self) -> None:
        exact = np.array([1.49, 2.0, 7.6])
        assert part(np.array([1, 2, 8], np.uint8), np.array([2, 2, 8], np.uint8), exact).steps() == pytest.approx(0.51)
        assert part(np.array([1, 2, 8], np.uint8), np.array([1, 1, 8], np.uint8), exact).steps() == 1
        # Any fault that moves a number by more than a step is more than half a step from where it was.
        for moved in np.linspace(-3, 3, 61):
            if abs(moved) > 1:
                found = np.round(exact + moved).clip(0, 255).astype(np.uint8)
                wanted = np.clip(np.abs(np.round(exact + moved) - exact).max(), 0, 255)
                assert part(np.round(exact).astype(np.uint8), found, exact).steps() > 0.55 or wanted <= 0.55

    def test_floats_in_steps_of_their_span(self) -> None:
        wanted = np.array([0.0, 255.0], np.float32)
        assert part(wanted, wanted + np.float32(0.5)).steps() == pytest.approx(0.5)
        assert part(wanted, np.array([np.nan, 255], np.float32)).steps() == np.inf
        assert part(np.array([-np.inf, 0, 1]), np.array([-np.inf, 0, 1])).steps() == 0

    def test_what_cancels_keeps_the_rounding_of_what_went_in(self) -> None:
        nothing, rest = np.zeros(3, np.float32), np.full(3, 3e-5, np.float32)
        assert part(nothing, rest).steps() == np.inf
        assert part(nothing, rest, magnitude=1000.0).steps() < 0.001

    def test_other_shapes_and_kinds(self) -> None:
        assert part(np.zeros(3), np.zeros(4)).steps() == np.inf
        assert part(np.zeros(3), np.zeros(3, np.int32)).steps() == np.inf
        assert part(np.zeros(3, np.int8), np.zeros(3, np.int32)).steps() == 0
        assert part(np.zeros((0, 4)), np.zeros((0, 4))).steps() == 0

    def test_the_worst_frame_counts(self) -> None:
        one = part(np.zeros(2, np.uint8), np.ones(2, np.uint8))
        report = judge_parts([replace(one, found=one.expected), replace(one, frame=1)], INT8)
        assert (report.verdict, report.worst[0].frame, report.compared) == ("fail", 1, 1)


def test_a_cut_file_starts_anew_at_every_cut(tmp_path: Path) -> None:
    model = write(
        tmp_path / "m.onnx", [node("Relu", "x", "a"), node("Neg", "a", "b"), node("Exp", "b", "y")],
        [("x", (2,), "float32")], [("y", (2,), "float32")],
    )  # fmt: skip
    cuts = [edit.Cut(n, graph.LayerTensor("float32", (2,))) for n in ("a", "b", "y")]
    import onnxruntime

    session = onnxruntime.InferenceSession(edit.cut(model.read_bytes(), cuts))
    feeds = {"x": [-1, 1], "a": [5, 6], "b": [0, 0], "y": [9, 9]}
    known = {value.name for value in session.get_inputs()}
    found = session.run(None, {k: np.array(v, np.float32) for k, v in feeds.items() if k in known})
    assert [list(array) for array in found] == [[0, 1], [-5, -6], [1, 1]]


@pytest.mark.parametrize("channels", [8, 12, 16])
def test_sums_of_dilated_convolutions_one_beside_the_other(channels: int, tmp_path: Path) -> None:
    """The runtime lets each convolution add the one before; the sums have their names behind a change of layout."""
    weights = {f"w{i}": normal(i, channels, channels, 3, 3, scale=0.2) for i in range(4)}
    nodes = [node("Conv", "x w0", "c0", pads=[1] * 4)]
    nodes += [node("Conv", f"c0 w{i}", f"c{i}", pads=[2**i] * 4, dilations=[2**i] * 2) for i in (1, 2, 3)]
    nodes += [node("Add", "c1 c2", "s2"), node("Add", "s2 c3", "s3"), node("Concat", "c1 s2 s3", "y", axis=1)]
    shape = (1, channels, 24, 32)
    source = write(
        tmp_path / "m.onnx", nodes, [("x", shape, "float32")], [("y", (1, 3 * channels, 24, 32), "float32")], weights
    )
    engine = tmp_path / f"e{ort.Backend.suffix}"
    ort.Backend(CPU).build(source, engine)
    report = check_layers(ort.Backend(CPU), engine, source, Golden(({"x": normal(9, *shape)},)), limits_of("fp32"))
    assert (report.verdict, report.departed) == ("pass", ())
    assert report.worst[0].steps < 0.01
