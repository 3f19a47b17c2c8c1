from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.core.errors import ModelError
from edgekit.onnxfile.graph import MODULE_KEY
from edgekit.qdq.graph import OPSET, Graph, attribute, run, runtime, session, simplified
from tests.support.graphs import convnet, node, normal, write

IMAGE = ("x", (1, 8, 16, 16), "float32")
X = {"x": normal(7, 1, 8, 16, 16)}
KERNEL = {"w": normal(1, 8, 8, 3, 3, scale=0.2)}


def outputs(model: Any, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = runtime().SessionOptions()
    options.log_severity_level = 3
    return run(session(model, options), [value.name for value in model.graph.output], feeds)


def old(path: Path, opset: int, ir: int, nodes: list[Any], output: tuple[int, ...], weights: Any = None) -> Path:
    """A file as exporters wrote it years ago: with IR version 3, weights are inputs too."""
    weights = weights or {}
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, IMAGE[1])]
    if ir < 4:
        inputs += [helper.make_tensor_value_info(n, TensorProto.FLOAT, a.shape) for n, a in weights.items()]
    made = [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)]
    graph = helper.make_graph(nodes, "g", inputs, made, [numpy_helper.from_array(a, n) for n, a in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


class TestSimplified:
    def test_batch_norm_and_constants_are_folded(self, tmp_path: Path) -> None:
        weights = KERNEL | {k: np.abs(normal(2, 8)) + 0.5 for k in "gbmv"} | {"two": np.float32(2)}
        nodes = [
            node("Conv", "x w", "c", pads=[1, 1, 1, 1]),
            node("BatchNormalization", "c g b m v", "n"),
            node("Add", "two two", "four"),
            node("Mul", "n four", "y"),
        ]
        path = write(tmp_path / "m.onnx", nodes, [IMAGE], [("y", IMAGE[1], "float32")], weights)
        model = simplified(path)
        assert Counter(n.op_type for n in model.graph.node) in (Counter(["Conv", "Mul"]), Counter(["Conv"]))
        assert np.allclose(outputs(model, X)[0], outputs(onnx.load(path), X)[0], atol=1e-4)

    def test_every_tensor_has_a_type_and_a_shape(self, tmp_path: Path) -> None:
        graph = Graph(simplified(convnet(tmp_path / "m.onnx")))
        made = [name for n in graph.nodes for name in n.output]
        assert all(graph.types[name] == TensorProto.FLOAT for name in made)
        assert all(None not in graph.shapes[name] for name in made)

    def test_the_file_is_not_changed(self, tmp_path: Path) -> None:
        path = convnet(tmp_path / "m.onnx")
        before = path.read_bytes()
        simplified(path)
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]

    def test_names_of_nodes_become_unique(self, tmp_path: Path) -> None:
        """They are optional in ONNX and may repeat."""
        nodes = [node("Softmax", a, b, axis=1) for a, b in ("xa", "ab", "bc", "cd", "dy")]
        for made, name in zip(nodes, ("same", "", "Softmax_1", "same", ""), strict=True):
            made.name = name
        path = write(tmp_path / "m.onnx", nodes, [IMAGE], [("y", IMAGE[1], "float32")])
        names = [n.name for n in simplified(path).graph.node]
        assert len(set(names)) == 5
        assert names[0] == "same"
        assert names[2] == "Softmax_1"
        assert all(names)

    @pytest.mark.parametrize("ir", [3, 6])
    def test_weights_are_constants_not_inputs(self, tmp_path: Path, ir: int) -> None:
        nodes = [node("Conv", "x w", "c", pads=[1, 1, 1, 1]), node("Relu", "c", "y")]
        path = old(tmp_path / "m.onnx", 11, ir, nodes, IMAGE[1], KERNEL)
        graph = Graph(simplified(path))
        assert graph.inputs == ("x",)
        assert graph.nodes[0].input[1] in graph.constants
        opsets = {o.domain: o.version for o in graph.model.opset_import}
        assert opsets[""] == OPSET
        assert np.allclose(outputs(graph.model, X)[0], outputs(onnx.load(path), X)[0], atol=1e-5)

    def test_an_old_softmax_keeps_its_meaning(self, tmp_path: Path) -> None:
        """Before opset 13 it ran over all axes from ``axis`` on."""
        path = old(tmp_path / "m.onnx", 11, 6, [node("Softmax", "x", "y", axis=1)], IMAGE[1])
        (result,) = outputs(simplified(path), X)
        assert result.sum() == pytest.approx(1, abs=1e-5)

    def test_newer_opsets_stay(self, tmp_path: Path) -> None:
        path = convnet(tmp_path / "m.onnx")
        model = onnx.load(path)
        model.opset_import[0].version = 20
        path.write_bytes(model.SerializeToString())
        assert {o.domain: o.version for o in simplified(path).opset_import} == {"": 20}  # none that nobody uses

    @pytest.mark.parametrize(("op", "opset"), [("Crop", 5), ("ConstantOfShape", 6)])
    def test_an_opset_that_cannot_be_converted(self, tmp_path: Path, op: str, opset: int) -> None:
        path = convnet(tmp_path / "m.onnx")
        model = onnx.load(path)
        model.graph.node[-1].op_type = op
        model.opset_import[0].version = opset
        path.write_bytes(model.SerializeToString())
        with pytest.raises(ModelError, match=rf"m\.onnx: opset {opset} cannot be brought to 17; export it again"):
            simplified(path)

    def test_not_a_model(self, tmp_path: Path) -> None:
        (tmp_path / "m.onnx").write_bytes(b"no model")
        with pytest.raises(ModelError, match=r"m\.onnx: not an ONNX file, or a damaged one"):
            simplified(tmp_path / "m.onnx")

    def test_refused_by_the_runtime(self, tmp_path: Path) -> None:
        path = old(tmp_path / "m.onnx", 17, 8, [node("MatMul", "x w", "y")], IMAGE[1], {"w": normal(1, 5, 16)})
        with pytest.raises(ModelError, match=r"m\.onnx: ONNX Runtime refuses the model"):
            simplified(path)


def branching() -> Any:
    """An If whose branches read ``a`` (and, deeper, ``b``); a Loop's body has a formal input called ``a`` too."""
    deep = helper.make_graph(
        [helper.make_node("Mul", ["a", "b"], ["m"])], "deep", [], [helper.make_tensor_value_info("m", 1, None)]
    )
    then = helper.make_graph(
        [helper.make_node("If", ["flag"], ["t"], then_branch=deep, else_branch=deep)],
        "then",
        [],
        [helper.make_tensor_value_info("t", 1, None)],
    )
    other = helper.make_graph(
        [helper.make_node("Identity", ["w"], ["own"]), helper.make_node("Relu", ["own"], ["e"])],
        "else",
        [],
        [helper.make_tensor_value_info("e", 1, None)],
    )
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["inner", "c"], ["next"])],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("inner", TensorProto.FLOAT, None),
        ],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, []), helper.make_tensor_value_info("next", 1, None)],
    )
    nodes = [
        helper.make_node("If", ["flag"], ["y"], name="if", then_branch=then, else_branch=other),
        helper.make_node("Loop", ["count", "flag", "y"], ["z"], name="loop", body=body),
    ]
    return helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info(name, 1, None) for name in "abc"],
            [helper.make_tensor_value_info("z", 1, None)],
            [numpy_helper.from_array(np.float32(1), "w")],
        )
    )


class TestGraph:
    def test_subgraphs_read_outer_tensors(self) -> None:
        graph = Graph(branching())
        assert graph.captured == {"flag", "a", "b", "c", "w"}
        assert [n.name for n in graph.consumers["a"]] == ["if"]
        assert [n.name for n in graph.consumers["c"]] == ["loop"]
        assert "inner" not in graph.consumers

    def test_names_of_subgraphs_count(self) -> None:
        assert {"a", "if", "loop", "own", "inner", "m", "w"} <= Graph(branching()).names

    def test_lookups(self, tmp_path: Path) -> None:
        graph = Graph(onnx.load(convnet(tmp_path / "m.onnx")))
        assert graph.inputs == ("x",)
        assert graph.outputs == ("y",)
        assert graph.producer["y"].op_type == "Add"
        assert [n.op_type for n in graph.consumers["r1"]] == ["Conv", "Add"]
        assert graph.array("w1").shape == graph.shapes["w1"] == (8, 3, 3, 3)
        graph.array("b1")[:] = 0
        assert graph.array("b1").any()
        assert attribute(graph.nodes[0], "pads") == [1, 1, 1, 1]
        assert attribute(graph.nodes[0], "group", 1) == 1

    def test_a_tensor_that_two_inputs_of_a_node_read(self, tmp_path: Path) -> None:
        path = write(tmp_path / "m.onnx", [node("Mul", "x x", "y")], [IMAGE], [("y", IMAGE[1], "float32")])
        assert len(Graph(onnx.load(path)).consumers["x"]) == 1

    def test_dynamic_sizes_are_none(self, tmp_path: Path) -> None:
        value = ("x", ("n", 3), "float32")
        path = write(tmp_path / "m.onnx", [node("Relu", "x", "y")], [value], [("y", ("n", 3), "float32")])
        graph = Graph(simplified(path))
        assert graph.shapes["x"] == graph.shapes["y"] == (None, 3)

    def test_unknown_node(self, tmp_path: Path) -> None:
        graph = Graph(onnx.load(convnet(tmp_path / "m.onnx")))
        assert graph.nodes_named(("Conv_c1",), "exclude") == ("Conv_c1",)
        with pytest.raises(
            ModelError, match=r"exclude: .* no module and no node 'Conv_c3'; did you mean 'Conv_c[12]'\?"
        ):
            graph.nodes_named(("Conv_c1", "Conv_c3"), "exclude")

    def test_modules_and_globs_mean_all_their_nodes(self, tmp_path: Path) -> None:
        model = onnx.load(convnet(tmp_path / "m.onnx"))
        modules = ("features.1.conv", "features.1.act", "features.10.conv")
        for one, module in zip(model.graph.node, modules, strict=False):
            one.metadata_props.add(key=MODULE_KEY, value=module)
        graph = Graph(model)
        first, second, third, *rest = (one.name for one in graph.nodes)
        assert graph.nodes_named(["features.1.conv"], "exclude") == (first,)
        assert graph.nodes_named(["features.1"], "exclude") == (first, second)
        assert graph.nodes_named(["*.conv", first], "exclude") == (first, third)
        assert graph.nodes_named(["*"], "exclude") == (first, second, third, *rest)
        with pytest.raises(ModelError, match=r"did you mean 'features\.1\.conv'\?"):
            graph.nodes_named(["feature.1.conv"], "exclude")
