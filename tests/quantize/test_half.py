from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from pydantic import ValidationError

from edgekit.core.errors import DataError, ModelError
from edgekit.qdq.casts import FORMATS
from edgekit.quantize import half
from edgekit.technique import Job
from tests.support import tensorrt_rtx
from tests.support.graphs import convnet, node, normal, write
from tests.support.halves import (
    CHOICES,
    ELEMENTS,
    IMAGE,
    NETWORKS,
    Frames,
    applied,
    casts,
    check_close,
    config,
    constants,
    feeds_of,
    graph,
    infer,
    made,
    random_graph,
)

BOTH = pytest.mark.parametrize("dtype", ["fp16", "bf16"])


@BOTH
class TestNetworks:
    @pytest.mark.parametrize("name", NETWORKS)
    def test_close_to_fp32(self, name: str, dtype: str, tmp_path: Path) -> None:
        source, found, model = made(name, tmp_path, dtype=dtype)
        assert found.precision == dtype
        assert ELEMENTS[dtype] in set(constants(model).values())
        check_close(source, model, feeds_of(name), dtype)

    @pytest.mark.parametrize("name", NETWORKS)
    def test_tensorrt_takes_it(self, name: str, dtype: str, tmp_path: Path) -> None:
        _, found, _ = made(name, tmp_path, dtype=dtype)
        assert tensorrt_rtx.parse(found.model) == []
        assert tensorrt_rtx.build(found.model)
        assert {"fp16": "HALF", "bf16": "BF16"}[dtype] in {kind for _, kind in tensorrt_rtx.layers(found.model)}

    def test_a_convolutional_network_is_cast_at_its_ends_only(self, dtype: str, tmp_path: Path) -> None:
        found, model = applied(convnet(tmp_path / "m.onnx"), Frames(x=(1, 3, 16, 16)), dtype=dtype)
        assert found.record["float_nodes"] == {}
        assert casts(model) == [("x", f"x_{dtype}"), (f"y_{dtype}", "y")]
        assert set(constants(model).values()) == {ELEMENTS[dtype]}
        assert sum(len(t.raw_data) for t in model.graph.initializer) == 2 * (8 * 27 + 8 * 72 + 16)

    def test_positions_of_resize_and_bounds_of_clip(self, dtype: str, tmp_path: Path) -> None:
        """Resize reads its scales as float32; a bound beyond the range becomes the end of the range."""
        _, found, model = made("resized", tmp_path, dtype=dtype)
        assert found.record["float_nodes"] == {}
        assert constants(model)["scales"] == TensorProto.FLOAT
        top = next(numpy_helper.to_array(t) for t in model.graph.initializer if t.name == "top")
        assert top.item() == pytest.approx(min(3e38, FORMATS[dtype].largest), rel=0.01)

    def test_an_output_read_inside_and_integers(self, dtype: str, tmp_path: Path) -> None:
        _, found, model = made("two_inputs", tmp_path, dtype=dtype)
        by_name = {n.name: n for n in model.graph.node}
        assert by_name["Add_y"].output[0] == by_name["Relu_r"].input[0] == f"y_{dtype}"
        assert (f"y_{dtype}", "y") in casts(model)
        assert constants(model)["shape"] == TensorProto.INT64
        assert by_name["ArgMax_best"].input[0] in (f"logits_{dtype}", "logits")
        assert found.record["float_nodes"] == {}

    def test_one_cast_for_many_readers(self, dtype: str, tmp_path: Path) -> None:
        weights = {f"w{i}": normal(i, 4, 4, 1, 1) for i in range(3)}
        nodes = [*(node("Conv", f"x w{i}", f"c{i}") for i in range(3)), node("Sum", "c0 c1 c2", "y")]
        _, model = applied(graph(tmp_path / "m.onnx", nodes, weights), dtype=dtype)
        assert len(casts(model)) == 2


class TestKeep:
    def test_a_weight_shared_with_a_kept_node_is_doubled(self, tmp_path: Path) -> None:
        nodes = [node("Conv", "x w", "c1"), node("Relu", "c1", "r"), node("Conv", "r w", "y")]
        source = graph(tmp_path / "m.onnx", nodes, {"w": normal(1, 4, 4, 1, 1)})
        found, model = applied(source, keep=["Conv_y"])
        assert found.record["float_nodes"] == {"Conv_y": "kept by the spec"}
        assert constants(model) == {"w": TensorProto.FLOAT, "w_fp16": TensorProto.FLOAT16}
        assert casts(model) == [("x", "x_fp16"), ("r", "r_fp32")]
        check_close(source, model, feeds_of("shared"), "fp16")

    def test_unknown_name(self, tmp_path: Path) -> None:
        with pytest.raises(
            ModelError, match=r"keep: the model has no module and no node 'Conv_c11'; did you mean 'Conv_c1'\?"
        ):
            applied(convnet(tmp_path / "m.onnx"), Frames(x=(1, 3, 16, 16)), keep=["Conv_c11"])

    def test_nothing_left(self, tmp_path: Path) -> None:
        source = graph(tmp_path / "m.onnx", [node("Relu", "x", "y")])
        with pytest.raises(ModelError, match=r"no operator can compute in FP16 \(Relu_y: kept by the spec\)"):
            applied(source, keep=["Relu_y"])

    def test_moves_between_kept_nodes_stay(self, tmp_path: Path) -> None:
        weights = {"w": normal(1, 4, 4, 1, 1), "s": np.array([1, 64, 4, 1], np.int64)}
        nodes = [
            node("Conv", "x w", "c"),
            node("Sigmoid", "c", "a"),
            node("Transpose", "a", "t", perm=[0, 2, 3, 1]),
            node("Reshape", "t s", "f"),
            node("Softmax", "f", "y", axis=2),
        ]
        found, model = applied(graph(tmp_path / "m.onnx", nodes, weights), keep=["Sigmoid_a", "Softmax_y"])
        assert set(found.record["float_nodes"]) == {"Sigmoid_a", "Transpose_t", "Reshape_f", "Softmax_y"}
        assert found.record["float_nodes"]["Reshape_f"] == "moves values between FP32 operators"
        assert len(casts(model)) == 2


class TestRanges:
    def test_the_branch_that_overflows_stays(self, tmp_path: Path) -> None:
        source, found, model = made("scaled", tmp_path, headroom=2)
        assert found.record["ranges"]["big"] > 32752
        assert found.record["float_nodes"] == dict.fromkeys(
            ("Mul_big", "Sqrt_root"),
            f"'big' reaches {found.record['ranges']['big']:.6g}, FP16 with headroom 2 32752",
        )
        assert casts(model) == [("x", "x_fp16"), ("b", "b_fp32"), ("root", "root_fp16"), ("y_fp16", "y")]
        check_close(source, model, feeds_of("scaled"), "fp16")

    def test_bfloat16_holds_it(self, tmp_path: Path) -> None:
        _, found, _ = made("scaled", tmp_path, dtype="bf16")
        assert found.record["float_nodes"] == {}

    def test_headroom(self, tmp_path: Path) -> None:
        source = graph(tmp_path / "m.onnx", [node("Relu", "x", "r"), node("Abs", "r", "y")])
        frames = Frames({"x": np.full(IMAGE[1], 20000, np.float32)})
        assert applied(source, frames, headroom=3)[0].record["float_nodes"] == {}
        with pytest.raises(ModelError, match="Relu_r: 'x' reaches 20000, FP16 with headroom 4 16376"):
            applied(source, frames)

    def test_ranges_are_largest_magnitudes(self, tmp_path: Path) -> None:
        source = graph(tmp_path / "m.onnx", [node("Neg", "x", "n"), node("Relu", "n", "y")])
        values = np.stack([f["x"] for f in Frames()])
        expected = {"x": np.abs(values).max(), "n": np.abs(values).max(), "y": -values.min()}
        assert applied(source)[0].record["ranges"] == pytest.approx({k: float(v) for k, v in expected.items()})

    @pytest.mark.parametrize(
        ("op", "attributes", "peak"),
        [
            ("GlobalAveragePool", {}, 3000.0),  # 64 x 3000 inside
            ("ReduceMean", {"axes": [2, 3]}, 3000.0),
            ("ReduceL2", {"axes": [1]}, 200.0),
            ("LpNormalization", {"axis": 1}, 200.0),
            ("Softplus", {}, 10.0),
        ],
    )
    def test_what_forms_large_values_inside_stays(self, op: str, attributes: Any, peak: float, tmp_path: Path) -> None:
        source = graph(
            tmp_path / "m.onnx", [node("Abs", "x", "a"), node(op, "a", "b", **attributes), node("Abs", "b", "y")]
        )
        for scale, kept in ((peak, [f"{op}_b"]), (peak / 1000, [])):
            found, _ = applied(source, Frames({"x": np.full(IMAGE[1], scale, np.float32)}))
            assert list(found.record["float_nodes"]) == kept
        assert (
            "forms values up to"
            in applied(source, Frames({"x": np.full(IMAGE[1], peak, np.float32)}))[0].record["float_nodes"][f"{op}_b"]
        )

    def test_a_constant_beyond_the_range_stays(self, tmp_path: Path) -> None:
        """A constant needs no headroom: calibration cannot have missed it."""
        for value, kept in ((65000, {}), (65600, {"Min_m": "constant 'c' reaches 65600, FP16 65504"})):
            nodes = [node("Min", "x c", "m"), node("Sigmoid", "m", "y")]
            source = graph(tmp_path / "m.onnx", nodes, {"c": np.float32(value)})
            assert applied(source)[0].record["float_nodes"] == kept

    def test_values_below_the_range_stay(self, tmp_path: Path) -> None:
        weights = {"tiny": normal(1, 4, 4, 1, 1, scale=1e-6), "large": np.float32(1e4)}
        nodes = [
            node("Conv", "x tiny", "c"),
            node("Relu", "c", "r"),
            node("Sigmoid", "x", "s"),
            node("Add", "r s", "y"),
        ]
        found, _ = applied(graph(tmp_path / "m.onnx", nodes, weights))
        assert set(found.record["float_nodes"]) == {"Conv_c", "Relu_r", "Add_y"}
        assert "'c' reaches only" in found.record["float_nodes"]["Relu_r"]

    def test_a_weight_that_would_change_stays(self, tmp_path: Path) -> None:
        """Products of tiny weights and large inputs have ordinary sizes."""
        weights = {"w": normal(1, 4, 4, 1, 1, scale=1e-6), "up": np.float32(1e4)}
        nodes = [node("Mul", "x up", "b"), node("Conv", "b w", "c"), node("Sigmoid", "c", "y")]
        found, _ = applied(graph(tmp_path / "m.onnx", nodes, weights), headroom=1)
        assert list(found.record["float_nodes"]) == ["Conv_c"]
        assert found.record["float_nodes"]["Conv_c"].startswith("constant 'w' would change by 0.0")

    def test_an_epsilon_protects_its_division(self, tmp_path: Path) -> None:
        """x / max(|x|, 1e-12) of a zero vector is zero, not NaN."""
        weights = {"eps": np.float32(1e-12), "w": normal(1, 4, 4, 1, 1), "like": np.array(IMAGE[1], np.int64)}
        nodes = [
            node("Conv", "x w", "c"),
            node("ReduceL2", "c", "n", axes=[1]),
            node("Clip", "n eps", "m"),
            node("Expand", "m like", "e"),
            node("Div", "c e", "y"),
        ]
        source = graph(tmp_path / "m.onnx", nodes, weights)
        found, model = applied(source)
        assert set(found.record["float_nodes"]) == {"Clip_m", "Expand_e", "Div_y"}
        assert "holds a small constant that FP16 would lose" in found.record["float_nodes"]["Div_y"]
        assert not infer(model, {"x": np.zeros(IMAGE[1], np.float32)})[0].any()

    def test_an_epsilon_that_protects_nothing(self, tmp_path: Path) -> None:
        """Only the sum that a small constant enters stays, not what moves it or adds to it."""
        weights = {"eps": np.float32(1e-7), "w": normal(1, 4, 8, 1, 1)}
        nodes = [node("Add", "x eps", "a"), node("Concat", "a x", "j", axis=1), node("Conv", "j w", "y")]
        found, _ = applied(graph(tmp_path / "m.onnx", nodes, weights))
        assert list(found.record["float_nodes"]) == ["Add_a"]


class TestOperators:
    def test_what_onnx_has_not_in_this_type_stays(self, tmp_path: Path) -> None:
        weights = {"k": np.array([2], np.int64)}
        nodes = [node("Relu", "x", "r"), node("TopK", "r k", "v i", axis=1), node("Sigmoid", "v", "y")]
        source = graph(tmp_path / "m.onnx", nodes, weights)
        assert applied(source)[0].record["float_nodes"] == {}
        found, _ = applied(source, dtype="bf16")
        assert found.record["float_nodes"] == {"TopK_v": "ONNX opset 22 has no BF16 TopK with these outputs"}

    def test_what_tensorrt_refuses_stays(self, tmp_path: Path) -> None:
        nodes = [node("Relu", "x", "r"), node("LpNormalization", "r", "y", axis=1)]
        found, _ = applied(graph(tmp_path / "m.onnx", nodes), dtype="bf16")
        assert found.record["float_nodes"] == {"LpNormalization_y": "TensorRT takes no BF16 LpNormalization"}
        assert tensorrt_rtx.parse(found.model) == []

    def test_positions_stay(self, tmp_path: Path) -> None:
        weights = {"w": normal(1, 4, 4, 1, 1), "grid": normal(2, 1, 8, 8, 2, scale=0.3)}
        nodes = [node("Conv", "x w", "c"), node("GridSample", "c grid", "g"), node("Relu", "g", "y")]
        found, _ = applied(graph(tmp_path / "m.onnx", nodes, weights))
        assert found.record["float_nodes"] == {"GridSample_g": "GridSample computes positions or running sums"}

    def test_subgraphs_stay(self, tmp_path: Path) -> None:
        """A branch reads an outer tensor by its name, so that name stays float32."""
        value = helper.make_tensor_value_info("b", TensorProto.FLOAT, None)
        then = helper.make_graph([node("Neg", "c", "b")], "then", [], [value])
        other = helper.make_graph([helper.make_node("Mul", ["c", "w0"], ["b"], name="in")], "else", [], [value])
        weights = {"w": normal(1, 4, 4, 1, 1), "w0": np.float32(3), "zero": np.float32(0)}
        nodes = [
            node("Conv", "x w", "c"),
            node("Relu", "c", "r"),
            node("ReduceMax", "x", "m", keepdims=0),
            node("Greater", "m zero", "cond"),
            node("If", "cond", "i", then_branch=then, else_branch=other),
            node("Mul", "i w0", "j"),
            node("Add", "j r", "y"),
        ]
        source = graph(tmp_path / "m.onnx", nodes, weights)
        found, model = applied(source)
        assert found.record["float_nodes"] == {"If_i": "holds a subgraph"}
        assert ("c_fp16", "c") in casts(model)
        assert constants(model)["w0"] == TensorProto.FLOAT
        assert constants(model)["w0_fp16"] == TensorProto.FLOAT16
        check_close(source, model, feeds_of("if"), "fp16")

    def test_shapes_computed_in_floats_stay(self, tmp_path: Path) -> None:
        """FP16 counts to 2048: a size of 3001 pixels would be lost."""
        weights = {"w": normal(1, 4, 4, 1, 1), "half": np.float32(0.5), "two": np.array([2], np.int64)}
        nodes = [
            node("Conv", "x w", "c"),
            node("Shape", "c", "s"),
            node("Cast", "s", "sf", to=TensorProto.FLOAT),
            node("Mul", "sf half", "sh"),
            node("Cast", "sh", "si", to=TensorProto.INT64),
            node("ConstantOfShape", "si", "z"),
            node("ReduceSum", "z", "zs", keepdims=1),
            node("Add", "c zs", "y"),
        ]
        path = tmp_path / "m.onnx"
        write(path, nodes, [("x", (1, 4, "h", 8), "float32")], [("y", (1, 4, "h", 8), "float32")], weights)
        found, _ = applied(path, Frames(x=(1, 4, 3001, 8), count=1))
        kept = found.record["float_nodes"]
        assert {"Cast_sf", "Mul_sh"} <= set(kept)
        assert kept["Mul_sh"] == "computes with shapes and constants, not with data"
        assert not {"Conv_c", "Add_y"} & set(kept)

    def test_images_of_bytes(self, tmp_path: Path) -> None:
        """The model's own Cast gives 16 bits at once; masks that only FP32 reads are left alone."""
        weights = {"scale": np.float32(1 / 255), "w": normal(1, 4, 3, 1, 1)}
        nodes = [
            node("Cast", "u", "f", to=TensorProto.FLOAT),
            node("Mul", "f scale", "n"),
            node("Conv", "n w", "c"),
            node("Greater", "c scale", "g"),
            node("Cast", "g", "y", to=TensorProto.FLOAT),
        ]
        path = tmp_path / "m.onnx"
        write(path, nodes, [("u", (1, 3, 8, 8), "uint8")], [("y", (1, 4, 8, 8), "float32")], weights)
        feed = {"u": np.arange(192, dtype=np.uint8).reshape(1, 3, 8, 8)}
        found, model = applied(path, Frames(feed))
        assert [c[0] for c in casts(model)] == ["u", "g"]
        assert found.record["float_nodes"] == {"Cast_y": "moves values between FP32 operators"}


class TestContract:
    def test_record(self, tmp_path: Path) -> None:
        found, _ = applied(convnet(tmp_path / "m.onnx"), Frames(x=(1, 3, 16, 16), count=6))
        assert found.record["method"] == "half"
        assert found.record["frames"] == 6
        assert found.record["dtype"] == found.precision == "fp16"
        assert found.record["config"] == {"method": "half", "dtype": "fp16", "keep": [], "headroom": 4.0}
        assert json.loads(json.dumps(found.record)) == found.record
        assert list(found.record["ranges"]) == sorted(found.record["ranges"])
        assert {"x", "y"} <= set(found.record["ranges"])

    @BOTH
    def test_same_frames_same_bytes(self, dtype: str, tmp_path: Path) -> None:
        (tmp_path / "again").mkdir()
        first, again = (made("attention", folder, dtype=dtype)[1] for folder in (tmp_path, tmp_path / "again"))
        assert first == again

    def test_frames_are_streamed(self, tmp_path: Path) -> None:
        alive: list[weakref.ref[np.ndarray]] = []
        most = 0

        class Counted(Frames):
            def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
                nonlocal most
                for feed in super().__iter__():
                    gc.collect()
                    most = max(most, sum(r() is not None for r in alive))
                    alive.append(weakref.ref(feed["x"]))
                    yield feed
                    del feed

        applied(convnet(tmp_path / "m.onnx"), Counted(x=(1, 3, 16, 16), count=12))
        assert len(alive) == 12
        assert most <= 2

    def test_no_frame(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"the calibration set is empty; give data\.calibration"):
            applied(convnet(tmp_path / "m.onnx"), Frames(count=0))

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_bad_activations_name_the_tensor(self, bad: float, tmp_path: Path) -> None:
        frames = Frames({"x": np.full((1, 3, 16, 16), bad, np.float32)})
        with pytest.raises(ModelError, match="tensor 'x' holds NaN or infinity"):
            applied(convnet(tmp_path / "m.onnx"), frames)

    @pytest.mark.parametrize(
        "keys", [{"dtype": "fp8"}, {"headroom": 0.5}, {"headroom": float("inf")}, {"head": 1}, {"method": "ptq"}]
    )
    def test_config_mistakes(self, keys: dict[str, object]) -> None:
        with pytest.raises(ValidationError):
            config(**keys)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(choices=CHOICES, dtype=st.sampled_from(["fp16", "bf16"]))
def test_any_graph_is_typed_and_close(choices: Any, dtype: str, tmp_path: Path) -> None:
    source, keep = random_graph(tmp_path / "m.onnx", choices)
    _, model = applied(source, dtype=dtype)  # Tanh always runs in 16 bits
    check_close(source, model, feeds_of("any"), dtype)
    known = {n.name for n in onnx.load_from_string(half.apply(Job(source, Frames()), config()).model).graph.node}
    found, model = applied(source, dtype=dtype, keep=sorted(known.intersection(keep)))
    assert known.intersection(keep) <= set(found.record["float_nodes"])
    check_close(source, model, feeds_of("any"), dtype)
