"""Which Resizes operators of edgekit-ops take over.  cpp/ops/tests runs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from tests.support.graphs import node
from tests.support.rounded import RESIZES, SILU, Rounded

from edgekit.engine import ort
from edgekit.engine.ort import extension, interpolation, operators
from edgekit.onnxfile.parts import parts_of

ON = ort.Backend(ort.Config(engine="ort"))
OPS = ("ResizeLinearU8", "ResizeLinearU8ToFloat")


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Building asks for a version alone."""
    monkeypatch.setattr(extension, "version", lambda: 1)


def built(case: Rounded, folder: Path) -> onnx.ModelProto:
    ON.build(case.write(folder / "m.onnx"), folder / f"t{ON.suffix}")
    onnx.checker.check_model(made := onnx.load(folder / f"t{ON.suffix}"))
    return made


def resizes(model: onnx.ModelProto) -> list[tuple[str, dict[str, Any]]]:
    return [
        (one.op_type, {a.name: helper.get_attribute_value(a) for a in one.attribute})
        for one in model.graph.node
        if one.op_type in (*OPS, "Resize")
    ]


def bilinear(factors: Mapping[str, np.ndarray] | None = None, **attributes: Any) -> Rounded:
    mode = {"mode": "linear"} | attributes
    weights = {"roi": np.zeros(0, np.float32), "factors": np.float32([1, 1, 2, 2])} | dict(factors or {})
    inputs = "a roi factors sizes" if "sizes" in weights else "a roi factors"
    return Rounded([node("Resize", inputs, "b", **mode)], weights)


@pytest.mark.parametrize("case", RESIZES)
def test_taken_over(case: str, tmp_path: Path) -> None:
    made = built(RESIZES[case], tmp_path)
    ((op, at),) = resizes(made)
    assert op == ("ResizeLinearU8ToFloat" if "floats" in case else "ResizeLinearU8")
    assert at["coordinates"] == (2 if "aligned" in case else 0)
    wanted = (13, 30, 0.0, 0.0) if "size" in case else (0, 0, 2.0, 2.0)
    assert tuple(at[name] for name in ("height", "width", "factor_h", "factor_w")) == wanted
    if case == "to floats, int8":  # whose convolutions ONNX Runtime leaves in float, channels first
        return
    assert (at["channels_last"], at["made_last"]) == (1, "floats" not in case)
    assert "DequantizeLinear" not in [one.op_type for one in made.graph.node[:-1] if "b_f" not in one.output]


def test_grids_are_those_of_the_roundings(tmp_path: Path) -> None:
    made = built(RESIZES["rounded behind it"], tmp_path)
    (one,) = [one for one in made.graph.node if one.op_type in OPS]
    (grids,) = [onnx.numpy_helper.to_array(t) for t in made.graph.initializer if t.name == one.input[1]]
    np.testing.assert_array_equal(grids, np.float32([0.05, 120, 0.04, 9]))
    assert one.name == "Resize_b"


@pytest.mark.parametrize("mode", interpolation._COORDINATES)
def test_of_every_kind_of_coordinates(mode: str, tmp_path: Path) -> None:
    ((op, at),) = resizes(built(bilinear(coordinate_transformation_mode=mode), tmp_path))
    assert (op, at["coordinates"]) == ("ResizeLinearU8", interpolation._COORDINATES.index(mode))


@pytest.mark.parametrize(
    "case",
    [
        bilinear(mode="nearest"),
        bilinear(mode="cubic"),
        bilinear({"roi": np.float32([0, 0, 0, 0, 1, 1, 1, 1])}, coordinate_transformation_mode="tf_crop_and_resize"),
        replace(bilinear(), dtype="int8", made=(np.linspace(0.01, 0.05, 8), np.arange(3, 11)), last=(3, 3)),
    ],
)
def test_others_stay(case: Rounded, tmp_path: Path) -> None:
    found = resizes(built(case, tmp_path))
    assert "ResizeLinearU8" not in [op for op, _ in found]


def test_what_is_rounded_by_channel_is_made_float(tmp_path: Path) -> None:
    case = replace(bilinear(), made=(np.linspace(0.01, 0.05, 8), np.arange(3, 11)), last=(3, 3))
    assert [op for op, _ in resizes(built(case, tmp_path))] == ["ResizeLinearU8ToFloat"]


def typed(opset: int = 19, maker: str = "DequantizeLinear", factors: Any = (1, 1, 2, 2), **attributes: Any) -> bytes:
    """A model that rounds, and a Resize behind what ``maker`` names."""
    behind = {"DequantizeLinear": ["x_i", "s", "z"], "Relu": ["x"]}[maker]
    inputs = ["c", "f"] if opset == 10 else ["c", "", "f"]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["x_i"]),
        helper.make_node(maker, behind, ["c"]),
        helper.make_node("Resize", inputs, ["y"], **({"mode": "linear"} | attributes)),
    ]
    weights = {"s": np.float32(0.1), "z": np.uint8(3), "f": np.float32(factors)}
    x, y, i = (helper.make_tensor_value_info(name, 2 if name == "x_i" else 1, None) for name in ("x", "y", "x_i"))
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", [x], [y, i], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]).SerializeToString()


FIRST, LAST = (0, 3, 1, 2), (0, 2, 3, 1)


def optimised(
    before: Any = None,
    behind: Any = None,
    factors: Any = (1, 1, 2, 2),
    to: str = "uint8",
    shown: bool = False,
    scales: int = 1,
    more: bool = False,
) -> list[tuple[str, dict[str, int], list[str]]]:
    """What becomes of the nodes of x, Transpose ``before``, Resize, rounding to ``to``, Transpose ``behind``.

    ``shown``: the resized floats are an output, too; ``more``: another node reads them; ``scales``: of x.
    """  # fmt: skip
    nodes = [helper.make_node("Transpose", ["x"], ["t"], perm=before)] if before else []
    nodes += [
        helper.make_node("DequantizeLinear", ["t" if before else "x", "s", "z"], ["f"]),
        helper.make_node("Resize", ["f", "", "k"], ["r"], name="up", mode="linear"),
        helper.make_node("QuantizeLinear", ["r", "sq", "zq"], ["q"]),
    ]
    nodes += [helper.make_node("Transpose", ["q"], ["y"], perm=behind)] if behind else []
    nodes += [helper.make_node("Relu", ["r"], ["other"])] if more else []
    weights = {
        "s": np.full(scales, 0.1, np.float32), "z": np.full(scales, 3, np.uint8), "k": np.float32(factors),
        "sq": np.float32(0.1), "zq": np.zeros((), to),
    }  # fmt: skip
    names = [("y" if behind else "q", 3 if to == "int8" else 2)]
    names += [("r", 1)] * shown + [("other", 1)] * more
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", 2, [1, 3, 4, 5])],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in names],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()
    made = interpolation.exchanged(parts_of(model)).nodes
    layout = ("channels_last", "made_last")
    return [
        (one.op, {k: one.attributes[k] for k in layout if k in one.attributes}, list(one.inputs[:1])) for one in made
    ]


def alone(op: str, last: int, made_last: int, given: str = "x") -> list[tuple[str, dict[str, int], list[str]]]:
    return [(op, {"channels_last": last, "made_last": made_last}, [given])]


class TestLayouts:
    def test_what_turns_an_image_is_left_out(self) -> None:
        assert optimised() == alone("ResizeLinearU8", 0, 0)
        assert optimised(FIRST) == alone("ResizeLinearU8", 1, 0)
        assert optimised(FIRST, LAST) == alone("ResizeLinearU8", 1, 1)
        assert optimised(factors=(1, 2, 2, 1)) == alone("ResizeLinearU8", 1, 1)
        assert optimised(None, FIRST, (1, 2, 2, 1)) == alone("ResizeLinearU8", 1, 0)

    def test_what_turns_it_otherwise_stays(self) -> None:
        assert [op for op, *_ in optimised(None, LAST)] == ["ResizeLinearU8", "Transpose"]
        assert [op for op, *_ in optimised(FIRST, FIRST)] == ["ResizeLinearU8", "Transpose"]
        assert [op for op, *_ in optimised(LAST)] == ["Transpose", "ResizeLinearU8"]
        assert optimised(FIRST, None, (1, 2, 2, 1))[1:] == alone("ResizeLinearU8", 1, 1, "t")


class TestRounding:
    def test_to_integers_of_another_type_stays(self) -> None:
        assert [op for op, *_ in optimised(to="int8")] == ["ResizeLinearU8ToFloat", "QuantizeLinear"]

    def test_of_floats_that_others_read_stays(self) -> None:
        assert [op for op, *_ in optimised(shown=True)] == ["ResizeLinearU8ToFloat", "QuantizeLinear"]
        assert [op for op, *_ in optimised(more=True)] == ["ResizeLinearU8ToFloat", "QuantizeLinear", "Relu"]

    def test_by_channel_before_it_keeps_the_resize(self) -> None:
        assert [op for op, *_ in optimised(scales=3)] == ["DequantizeLinear", "Resize", "QuantizeLinear"]


class TestApplicable:
    def test_behind_a_rounding(self) -> None:
        assert interpolation.applicable(parts_of(typed())) == 1

    @pytest.mark.parametrize(
        "attributes",
        [
            {"opset": 10},  # it knew no coordinates
            {"maker": "Relu"},
            {"antialias": 1},
            {"axes": [0, 1, 2, 3]},
            {"keep_aspect_ratio_policy": "not_larger"},
            {"factors": (1, 2, 2, 2)},
            {"factors": (2, 1, 2, 2)},
            {"factors": (1, 2, 2)},
        ],
    )
    def test_no_others(self, attributes: dict[str, Any]) -> None:
        assert interpolation.applicable(parts_of(typed(**attributes))) == 0

    def test_they_count_beside_tables(self, tmp_path: Path) -> None:
        assert operators.applicable(RESIZES["to floats"].write(tmp_path / "m.onnx").read_bytes()) == 2
        assert operators.applicable(Rounded(SILU).write(tmp_path / "m.onnx").read_bytes()) == 1
