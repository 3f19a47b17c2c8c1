from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from onnx import helper

from edgekit.core.errors import ModelError
from edgekit.qdq.graph import Graph, simplified
from edgekit.qdq.placement import Plan, plan
from edgekit.qdq.profiles import PROFILES, profile
from tests.support.graphs import convnet, node, normal, write
from tests.support.reference_models import MODELS, reference

IMAGE = ("x", (1, 8, 16, 16), "float32")
PADS = [1, 1, 1, 1]
W = normal(1, 8, 8, 3, 3, scale=0.2)
ORT = profile("ort-x86")
OPS = profile("ort-x86-ops")
TRT = profile("tensorrt")


def graph_of(
    folder: Path,
    nodes: Sequence[Any],
    outputs: str = "y",
    weights: dict[str, np.ndarray] | None = None,
    inputs: Sequence[Any] = (IMAGE,),
) -> Graph:
    """Shapes of outputs are inferred; weights default to ``w``, ``w2`` .. of 3 x 3 convolutions."""
    given = {name: W for n in nodes for name in n.input if name.startswith("w")} | (weights or {})
    used = {name for n in nodes for name in n.input}
    made = [(name, (None,) * 4, "float32") for name in outputs.split()]
    path = write(folder / "m.onnx", nodes, inputs, made, {name: a for name, a in given.items() if name in used})
    return Graph(simplified(path))


def conv(inputs: str, output: str) -> Any:
    return node("Conv", inputs, output, pads=PADS)


def groups(found: Plan) -> list[set[str]]:
    """Tensors that share a grid."""
    made: dict[str, set[str]] = {}
    for tensor, group in found.groups.items():
        made.setdefault(group, set()).add(tensor)
    return sorted(made.values(), key=sorted)


class TestTables:
    """ONNX Runtime with tables for functions of one rounded tensor, and a grid per channel beside them."""

    DEPTHWISE: ClassVar[dict[str, np.ndarray]] = {"d": normal(3, 8, 1, 3, 3), "e": normal(4, 8, 1, 2, 2)}

    def silu(self, given: str, made: str) -> list[Any]:
        return [node("Sigmoid", given, f"s_{made}"), node("Mul", f"{given} s_{made}", made)]

    def depthwise(self, weight: str = "d", **attributes: Any) -> Any:
        return node("Conv", f"b {weight}", "c", group=8, **attributes)

    def test_nothing_is_rounded_inside(self, tmp_path: Path) -> None:
        graph = graph_of(tmp_path, [conv("x w", "a"), *self.silu("a", "b"), conv("b w2", "y")])
        found = plan(graph, OPS)
        assert set(found.tensors) == {"x", "a", "b", "y"}
        assert found.replaced == {"a", "b", "y"}
        assert set(plan(graph, ORT).tensors) == {"x", "a", "s_b", "b", "y"}

    def test_a_function_of_two_tensors_is_no_table(self, tmp_path: Path) -> None:
        nodes = [conv("x w", "a"), conv("x w2", "o"), node("Sigmoid", "o", "s"), node("Mul", "a s", "b")]
        found = plan(graph_of(tmp_path, [*nodes, conv("b w3", "y")]), OPS)
        assert found.tensors == plan(graph_of(tmp_path, [*nodes, conv("b w3", "y")]), ORT).tensors
        assert found.by_channel == frozenset()  # a sigmoid alone has a kernel with one grid

    def test_what_a_table_makes_for_depthwise_convolutions(self, tmp_path: Path) -> None:
        nodes = [conv("x w", "a"), *self.silu("a", "b"), self.depthwise(), *self.silu("c", "f"), conv("f w2", "y")]
        found = plan(graph_of(tmp_path, nodes, weights=self.DEPTHWISE), OPS)
        assert found.by_channel == {"a", "b"}  # another kernel reads f, so nobody gains by a grid per channel of c
        assert plan(graph_of(tmp_path, nodes, weights=self.DEPTHWISE), ORT).by_channel == frozenset()

    @pytest.mark.parametrize(
        "reader", [{"weight": "e"}, {"dilations": [2, 2]}], ids=["no kernel of that size", "dilated"]
    )
    def test_readers_without_a_kernel_for_it(self, reader: dict[str, Any], tmp_path: Path) -> None:
        nodes = [conv("x w", "a"), *self.silu("a", "b"), self.depthwise(**reader), conv("c w2", "y")]
        assert plan(graph_of(tmp_path, nodes, weights=self.DEPTHWISE), OPS).by_channel == frozenset()

    @pytest.mark.parametrize(
        ("function", "apart"),
        [
            ([node("Add", "a a", "b")], set()),
            ([node("LeakyRelu", "a", "b")], set()),
            ([node("Tanh", "a", "b")], {"a", "b"}),
            ([node("Sigmoid", "a", "s"), node("Mul", "a s", "b")], {"a", "b"}),
        ],
    )
    def test_not_where_the_runtime_has_a_kernel(self, function: list[Any], apart: set[str], tmp_path: Path) -> None:
        nodes = [conv("x w", "a"), *function, self.depthwise(), conv("c w2", "y")]
        assert plan(graph_of(tmp_path, nodes, weights=self.DEPTHWISE), OPS).by_channel == apart

    def test_of_a_convolution_alone(self, tmp_path: Path) -> None:
        """Other integer kernels make one grid."""
        nodes = [conv("x w", "o"), conv("x w2", "p"), node("Add", "o p", "a"), *self.silu("a", "b"), self.depthwise()]
        found = plan(graph_of(tmp_path, [*nodes, conv("c w3", "y")], weights=self.DEPTHWISE), OPS)
        assert found.by_channel == frozenset()
        assert "s_b" not in found.tensors

    def test_no_table_makes_what_was_folded(self, tmp_path: Path) -> None:
        nodes = [conv("x w", "a"), node("Relu", "a", "b"), self.depthwise(), conv("c w2", "y")]
        assert plan(graph_of(tmp_path, nodes, weights=self.DEPTHWISE), OPS).by_channel == frozenset()


class TestRoundingOutputs:
    """The profiles of ONNX Runtime."""

    def test_concat_of_what_nobody_else_reads_has_one_grid(self, tmp_path: Path) -> None:
        nodes = [
            conv("x w", "a"), conv("x w2", "b"), conv("x w3", "c"), node("Relu", "c", "r"), conv("b w4", "other"),
            node("Concat", "a b r", "j", axis=1), node("Conv", "j v", "k"), node("Add", "k other", "y"),
        ]  # fmt: skip
        found = plan(graph_of(tmp_path, nodes, weights={"v": normal(5, 8, 24, 1, 1)}), ORT)
        assert found.groups["a"] == found.groups["j"]
        assert found.groups["b"] == "b"  # a convolution reads it, too
        assert found.groups["r"] == "r"  # the end of its grid is what was folded
        assert found.folded == {"Relu_r"}

    def test_a_chain_of_convolutions(self, tmp_path: Path) -> None:
        graph = graph_of(tmp_path, [conv("x w", "c"), node("Relu", "c", "r"), conv("r w2", "y")])
        found = plan(graph, ORT)
        assert found.compute == ("Conv_c", "Conv_y")
        assert found.tensors == ("x", "r", "y")
        assert found.replaced == {"r", "y"}
        assert found.folded == {"Relu_r"}
        assert found.reads == {("Conv_c", 0), ("Conv_y", 0)}
        assert not found.float_nodes

    def test_a_saturation_stays_where_its_input_is_read_elsewhere(self, tmp_path: Path) -> None:
        nodes = [conv("x w", "c"), node("Relu", "c", "r"), conv("r w2", "d"), node("Add", "d c", "y")]
        found = plan(graph_of(tmp_path, nodes), ORT)
        assert not found.folded
        assert found.replaced >= {"c", "d"}

    @pytest.mark.parametrize(
        ("low", "high", "folds"),
        [(0.0, 6.0, True), (-1.0, 1.0, True), (0.0, None, True), (0.5, 6.0, False), (-3.0, -1.0, False)],
    )
    def test_a_clip_folds_when_zero_is_in_reach(
        self, tmp_path: Path, low: float, high: float | None, folds: bool
    ) -> None:
        weights = {"low": np.float32(low)} | ({} if high is None else {"high": np.float32(high)})
        clip = node("Clip", "c low" + ("" if high is None else " high"), "k")
        graph = graph_of(tmp_path, [conv("x w", "c"), clip, conv("k w2", "y")], weights=weights)
        found = plan(graph, ORT)
        assert (found.folded == {"Clip_k"}) is folds
        assert ("c" in found.replaced) is not folds

    def test_a_clip_with_bounds_that_are_computed(self, tmp_path: Path) -> None:
        bounds = [("high", (), "float32")]
        graph = graph_of(
            tmp_path,
            [conv("x w", "c"), helper.make_node("Clip", ["c", "", "high"], ["k"], name="k"), conv("k w2", "y")],
            inputs=[IMAGE, *bounds],
        )
        assert not plan(graph, ORT).folded

    def test_an_excluded_relu_is_not_folded(self, tmp_path: Path) -> None:
        graph = graph_of(tmp_path, [conv("x w", "c"), node("Relu", "c", "r"), conv("r w2", "y")])
        found = plan(graph, ORT, ["Relu_r"])
        assert not found.folded
        assert found.tensors == ("x", "c", "r", "y")

    def test_moves_share_a_grid(self, tmp_path: Path) -> None:
        nodes = [
            conv("x w", "c"),
            node("MaxPool", "c", "p", kernel_shape=[2, 2], strides=[2, 2]),
            node("Transpose", "p", "t", perm=[0, 1, 3, 2]),
            helper.make_node("Resize", ["t", "", "s"], ["u"], name="u", mode="nearest"),
            conv("u w2", "y"),
        ]
        graph = graph_of(tmp_path, nodes, weights={"s": np.float32([1, 1, 2, 2])})
        assert groups(plan(graph, ORT)) == [{"c", "p", "t", "u"}, {"x"}, {"y"}]

    def test_glue_stays_integer_only_between_integers(self, tmp_path: Path) -> None:
        nodes = [
            conv("x w", "c"),
            node("Sigmoid", "c", "s"),
            node("Mul", "c s", "m"),
            conv("m w2", "d"),
            node("Sigmoid", "d", "y"),
        ]
        found = plan(graph_of(tmp_path, nodes), ORT)
        assert found.tensors == ("x", "c", "s", "m", "d")
        assert ("Sigmoid_y", 0) in found.reads  # it reads what an integer kernel makes
        assert "y" not in found.replaced

    def test_glue_behind_a_float_operator_stays_float(self, tmp_path: Path) -> None:
        nodes = [conv("x w", "c"), node("Softmax", "c", "s", axis=1), node("Mul", "c s", "m"), conv("m w2", "y")]
        found = plan(graph_of(tmp_path, nodes), ORT)
        assert found.tensors == ("x", "c", "m", "y")
        assert found.replaced == {"c", "y"}  # m is rounded for the convolution only

    def test_a_split_stays_float(self, tmp_path: Path) -> None:
        nodes = [
            conv("x w", "c"),
            node("Split", "c", "a b", axis=1),
            node("Concat", "b a", "j", axis=1),
            conv("j w2", "y"),
        ]
        assert plan(graph_of(tmp_path, nodes), ORT).tensors == ("x", "c", "j", "y")

    def test_matmul_gives_float_unless_an_integer_operator_follows(self, tmp_path: Path) -> None:
        weights = {"v": normal(1, 16, 16), "u": normal(2, 16, 16)}
        nodes = [
            node("MatMul", "x v", "a"),
            node("Relu", "a", "r"),
            node("MatMul", "r u", "b"),
            node("Softmax", "b", "y"),
        ]
        found = plan(graph_of(tmp_path, nodes, weights=weights), ORT)
        assert found.tensors == ("x", "r")
        assert found.folded == {"Relu_r"}

    def test_what_only_interpolation_reads_is_rounded_before_it(self, tmp_path: Path) -> None:
        resize = helper.make_node("Resize", ["d", "", "s"], ["y"], name="up", mode="linear")
        nodes = [conv("x w", "c"), conv("c w2", "d"), resize]
        found = plan(graph_of(tmp_path, nodes, weights={"s": np.float32([1, 1, 2, 2])}), ORT)
        assert found.compute == ("Conv_c", "Conv_d")
        assert ("up", 0) in found.reads
        assert "y" not in found.groups

    def test_a_relu_that_a_subgraph_reads_is_not_folded(self, tmp_path: Path) -> None:
        """The branches read the tensor by its name, which would be that of the convolution's result."""
        branch = helper.make_graph(
            [helper.make_node("Neg", ["r"], ["n"])], "b", [], [helper.make_tensor_value_info("n", 1, (1, 8, 16, 16))]
        )
        nodes = [
            conv("x w", "c"),
            node("Relu", "c", "r"),
            conv("r w2", "y"),
            helper.make_node("If", ["flag"], ["z"], name="if", then_branch=branch, else_branch=branch),
        ]
        graph = graph_of(tmp_path, nodes, "y z", inputs=[IMAGE, ("flag", (), "bool")])
        assert not plan(graph, ORT).folded


class TestRoundingInputs:
    """TensorRT and OpenVINO."""

    def test_only_inputs_of_compute_operators(self, tmp_path: Path) -> None:
        graph = graph_of(tmp_path, [conv("x w", "c"), node("Relu", "c", "r"), conv("r w2", "y")])
        found = plan(graph, TRT)
        assert found.tensors == ("x", "r")
        assert not found.replaced | found.folded

    def test_the_earlier_branch_of_a_residual_is_rounded(self, tmp_path: Path) -> None:
        found = plan(Graph(simplified(convnet(tmp_path / "m.onnx"))), TRT)
        assert found.tensors == ("x", "r1")
        assert found.reads == {("Conv_c1", 0), ("Conv_c2", 0), ("Add_y", 1)}

    def test_of_two_convolutions_the_last_fuses_with_the_add(self, tmp_path: Path) -> None:
        graph = graph_of(tmp_path, [conv("x w", "a"), conv("a w2", "b"), conv("x w3", "c"), node("Add", "c b", "y")])
        assert ("Add_y", 1) in plan(graph, TRT).reads
        assert "b" in plan(graph, TRT).groups

    def test_a_bias_is_no_residual(self, tmp_path: Path) -> None:
        graph = graph_of(tmp_path, [conv("x w", "c"), node("Add", "c k", "y")], weights={"k": normal(1, 8, 1, 1)})
        assert plan(graph, TRT).tensors == ("x",)

    def test_concat_shares_its_grid_with_the_inputs_that_are_rounded(self, tmp_path: Path) -> None:
        nodes = [conv("x w", "a"), conv("a w2", "b"), node("Concat", "a b", "j", axis=1), conv("j v", "y")]
        graph = graph_of(tmp_path, nodes, weights={"v": normal(1, 8, 16, 3, 3)})
        assert groups(plan(graph, TRT)) == [{"a", "j"}, {"x"}]

    def test_openvino_rounds_before_what_carries_integers(self, tmp_path: Path) -> None:
        nodes = [
            conv("x w", "a"),
            node("MaxPool", "a", "p", kernel_shape=[3, 3], pads=PADS),
            node("Concat", "a p", "j", axis=1),
            conv("j v", "y"),
        ]
        graph = graph_of(tmp_path, nodes, weights={"v": normal(1, 8, 16, 3, 3)})
        found = plan(graph, profile("openvino"))
        assert groups(found) == [{"a"}, {"x"}]
        assert found.reads == {("Conv_a", 0), ("MaxPool_p", 0), ("Concat_j", 0)}

    def test_openvino_rounds_behind_what_others_read_exactly(self, tmp_path: Path) -> None:
        nodes = [
            conv("x w", "a"),
            node("MaxPool", "a", "p", kernel_shape=[3, 3], pads=PADS),
            conv("p w2", "b"),
            node("Sigmoid", "p", "s"),
            node("Mul", "b s", "y"),
        ]
        found = plan(graph_of(tmp_path, nodes), profile("openvino"))
        assert ("MaxPool_p", 0) not in found.reads
        assert ("Conv_b", 0) in found.reads

    @pytest.mark.parametrize("reader", ["depthwise", "both"])
    def test_a_grid_per_channel_where_depthwise_convolutions_alone_read(self, tmp_path: Path, reader: str) -> None:
        nodes = [conv("x w", "a"), node("Conv", "a d", "b", pads=PADS, group=8)]
        nodes += [node("Conv", "a w2", "c", pads=PADS)] if reader == "both" else [node("Relu", "a", "c")]
        graph = graph_of(tmp_path, [*nodes, node("Add", "b c", "y")], weights={"d": normal(1, 8, 1, 3, 3)})
        assert plan(graph, profile("openvino")).by_channel == (set() if reader == "both" else {"a"})
        assert not plan(graph, TRT).by_channel

    def test_transposed_convolutions(self, tmp_path: Path) -> None:
        nodes = [conv("x w", "c"), node("ConvTranspose", "c v", "y", strides=[2, 2])]
        graph = graph_of(tmp_path, nodes, weights={"v": normal(1, 8, 4, 2, 2)})
        assert plan(graph, TRT).compute == ("Conv_c", "ConvTranspose_y")
        assert plan(graph, ORT).compute == ("Conv_c",)


class TestReasons:
    @pytest.mark.parametrize("name", PROFILES)
    def test_why_an_operator_stays_float(self, tmp_path: Path, name: str) -> None:
        nodes = [
            node("Gemm", "x v", "a", alpha=0.5),
            node("Gemm", "a v", "b", transA=1),
            node("Gemm", "b v m", "c"),
            node("MatMul", "c b", "d"),
            node("Gemm", "d v k", "e"),
            node("Gemm", "e v", "f"),
            node("Gemm", "f v", "y"),
        ]
        weights = {"v": normal(1, 4, 4), "m": normal(2, 4, 4)}
        inputs = [("x", (4, 4), "float32"), ("k", (4,), "float32")]
        path = write(tmp_path / "m.onnx", nodes, inputs, [("y", (4, 4), "float32")], weights)
        found = plan(Graph(simplified(path)), profile(name), ["Gemm_f"])
        odd = "alpha, beta or transA are set, or the bias is no vector"
        assert found.compute == ("Gemm_y",)
        assert found.float_nodes == {
            "Gemm_a": odd,
            "Gemm_b": odd,
            "Gemm_c": odd,
            "MatMul_d": "its second input is no constant",
            "Gemm_e": "its bias is no constant",
            "Gemm_f": "excluded",
        }

    def test_other_types(self, tmp_path: Path) -> None:
        halves = {"w": W.astype(np.float16)}
        nodes = [node("Cast", "x", "h", to=10), conv("h w", "c"), node("Cast", "c", "y", to=1)]
        graph = graph_of(tmp_path, nodes, weights=halves)
        with pytest.raises(ModelError, match=r"no operator to quantize: .* \(Conv_c: it does not compute in float32\)"):
            plan(graph, ORT)

    def test_nothing_to_quantize(self, tmp_path: Path) -> None:
        graph = graph_of(tmp_path, [node("Softmax", "x", "y", axis=1)])
        with pytest.raises(ModelError, match=r"INT8 needs one of Conv, Gemm, MatMul with constant weights$"):
            plan(graph, ORT)


class TestExclude:
    @pytest.mark.parametrize("name", PROFILES)
    @pytest.mark.parametrize("model", MODELS)
    def test_excluding_more_never_rounds_more(self, tmp_path: Path, name: str, model: str) -> None:
        """One calibration serves every mix of integer and float layers."""
        graph = Graph(simplified(reference(model).write(tmp_path)))
        whole = plan(graph, profile(name))
        for one in whole.compute:
            for exclude in ([one], [other for other in whole.compute if other != one]):
                if len(exclude) < len(whole.compute):
                    part = plan(graph, profile(name), exclude)
                    assert set(part.tensors) <= set(whole.tensors)
                    assert set(exclude) == {node for node, why in part.float_nodes.items() if why == "excluded"}
                    assert set(part.compute) == set(whole.compute) - set(exclude)

    def test_both_branches_of_a_residual(self, tmp_path: Path) -> None:
        graph = graph_of(tmp_path, [conv("x w", "a"), conv("x w2", "b"), node("Add", "a b", "y")])
        assert plan(graph, TRT).tensors == ("x", "a")
        assert plan(graph, TRT, ["Conv_b"]).tensors == ("x",)
        assert plan(graph, TRT, ["Conv_a"]).tensors == ("x", "a")


class TestPlan:
    @pytest.mark.parametrize("name", PROFILES)
    @pytest.mark.parametrize("model", MODELS)
    def test_is_consistent(self, tmp_path: Path, name: str, model: str) -> None:
        graph = Graph(simplified(reference(model).write(tmp_path)))
        found = plan(graph, profile(name))
        by_name = {n.name: n for n in graph.nodes}
        assert found == plan(graph, profile(name))
        assert list(found.compute) == [n.name for n in graph.nodes if n.name in found.compute]
        assert all(graph.is_float(tensor) for tensor in found.tensors)
        assert set(found.groups.values()) <= set(found.tensors)
        assert found.replaced <= set(found.tensors)
        for reader, index in found.reads:
            tensor = by_name[reader].input[index]
            assert tensor in found.groups or tensor in graph.constants
        for reader in found.compute:
            node_ = by_name[reader]
            while (node_.name, 0) not in found.reads:  # what carries integers was rounded before
                node_ = graph.producer[node_.input[0]]
                assert node_.op_type in found.profile.carriers
        for name_ in found.folded:
            assert by_name[name_].input[0] not in found.groups
            assert by_name[name_].output[0] in found.replaced
