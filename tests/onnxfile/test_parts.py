"""An ONNX file in parts against the onnx package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgekit.core.errors import ModelError
from edgekit.onnxfile.parts import node_bytes, opsets, parts_of, small_model, tensor_bytes, without_opset
from tests.support.graphs import convnet, node, write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return convnet(tmp_path / "m.onnx")


def branching(captured: str) -> onnx.ModelProto:
    """``y`` comes from an If, whose branches read ``captured`` from outside."""
    made = helper.make_tensor_value_info("inner", 1, [2])
    branch = helper.make_graph([helper.make_node("Neg", [captured], ["inner"])], "b", [], [made])
    nodes = [
        helper.make_node("Exp", ["x"], ["e"]),
        helper.make_node("Abs", ["x"], ["a"]),
        helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch),
    ]
    inputs = [helper.make_tensor_value_info("x", 1, [2]), helper.make_tensor_value_info("c", 9, [])]
    graph = helper.make_graph(nodes, "g", inputs, [helper.make_tensor_value_info("y", 1, [2])])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_taken_apart_and_put_together_it_is_the_same(path: Path) -> None:
    model = onnx.load(path)
    again = onnx.load_from_string(parts_of(path.read_bytes()).serialised())
    assert again.SerializeToString(deterministic=True) == model.SerializeToString(deterministic=True)


def test_parts_are_those_of_onnx(path: Path) -> None:
    model, parts = onnx.load(path), parts_of(path.read_bytes())
    assert [one.op for one in parts.nodes] == [one.op_type for one in model.graph.node]
    assert {name: value.shape for name, value in parts.constants.items()} == {
        one.name: tuple(one.dims) for one in model.graph.initializer
    }
    assert parts.outputs == {"y"}
    assert parts.opsets == {"": 17}
    assert parts.producers()["c2"] == 2
    assert parts.readers()["r1"] == [2, 3]


def test_a_constant_that_may_be_fed_is_none(tmp_path: Path) -> None:
    model = onnx.load(convnet(tmp_path / "m.onnx"))
    model.graph.input.append(helper.make_tensor_value_info("b1", 1, [8]))
    assert "b1" not in parts_of(model.SerializeToString()).constants


def test_nodes_change_and_what_nobody_reads_goes(path: Path) -> None:
    new = node_bytes("Mul", ["c2", "k"], ["y"], "scaled")
    parts = parts_of(path.read_bytes()).replaced({3: [new]}, {"k": tensor_bytes("k", np.full((1,), 2, np.float32))})
    model = onnx.load_from_string(parts.serialised())
    onnx.checker.check_model(model, full_check=True)
    assert [one.op_type for one in model.graph.node] == ["Conv", "Relu", "Conv", "Mul"]
    short = parts_of(path.read_bytes()).replaced({3: [node_bytes("Neg", ["x"], ["y"], "n", size=-3)]}, {})
    model = onnx.load_from_string(short.serialised())
    assert [one.op_type for one in model.graph.node] == ["Neg"]
    assert model.graph.node[0].attribute[0].i == -3
    assert not model.graph.initializer


def test_numbers_of_a_node() -> None:
    made = onnx.NodeProto.FromString(node_bytes("Op", ["x"], ["y"], "n", "own", size=-3, factor=0.1))
    assert {a.name: helper.get_attribute_value(a) for a in made.attribute} == {"size": -3, "factor": np.float32(0.1)}


@pytest.mark.parametrize(("captured", "kept"), [("e", "Exp"), ("a", "Abs")])
def test_what_a_subgraph_reads_stays(captured: str, kept: str) -> None:
    parts = parts_of(branching(captured).SerializeToString())
    assert parts.captured >= {captured}
    assert [one.op for one in parts.replaced({}, {}).nodes] == [kept, "If"]


def test_a_part_runs_alone(tmp_path: Path) -> None:
    import onnxruntime

    nodes = [node("Abs", "x", "a"), node("Mul", "a k", "m"), node("Neg", "m", "y")]
    value = [("x", (3,), "float32")]
    path = write(tmp_path / "m.onnx", nodes, value, [("y", (3,), "float32")], {"k": np.full(1, 3, np.float32)})
    part = small_model(parts_of(path.read_bytes()), [1, 2], {"a": ("float32", (2,))}, ["y"])
    (made,) = onnxruntime.InferenceSession(part).run(None, {"a": np.array([1, -2], np.float32)})
    np.testing.assert_array_equal(made, [-3, 6])


def test_opsets_of_a_file(path: Path, tmp_path: Path) -> None:
    model = onnx.load(path)
    model.opset_import.append(helper.make_opsetid("mine", 3))
    other = tmp_path / "other.onnx"
    other.write_bytes(model.SerializeToString())
    assert opsets(other) == parts_of(other.read_bytes()).opsets == {"": 17, "mine": 3}
    assert parts_of(without_opset(other.read_bytes(), "mine")).opsets == {"": 17}


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int8", "int32", "int64"])
def test_tensors_are_those_of_onnx(dtype: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype)
    read = onnx.TensorProto.FromString(tensor_bytes("t", array))
    assert read.name == "t"
    np.testing.assert_array_equal(numpy_helper.to_array(read), array)


@pytest.mark.parametrize("content", [b"", b"text", b"\x3a\x7f"])
def test_what_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(ModelError, match="not an ONNX model"):
        parts_of(content)


def test_opsets_of_a_file_that_ends_early(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"\x08")
    with pytest.raises(ModelError, match=r"m\.onnx: not an ONNX model"):
        opsets(path)
