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


class TestApplicable:
    def test_behind_a_rounding(self) -> None:
        assert interpolation.applicable(parts_of(typed())) == 1

    @pytest.mark.parametrize(
        "attributes",
        [
            {"opset": 10},  # it knew no coordinates
            {"maker": "Relu"},
            {"antialias": 1},
            {"axes": [2, 3], "factors": (2, 2)},
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
