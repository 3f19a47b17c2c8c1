"""The reader of ONNX files against the onnx package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from edgekit.core.errors import ModelError
from edgekit.engine import LayerTensor
from edgekit.onnxfile.graph import DTYPES, read_graph
from tests.support.graphs import convnet

NAMES = st.text(min_size=1, max_size=20)


@given(
    names=st.lists(NAMES, max_size=5),
    number=st.integers(-(2**63), 2**63 - 1),
    dtype=st.sampled_from(["float32", "uint8", "int8", "int32", "int64", "float16", "float64", "bool"]),
    shape=st.lists(st.integers(0, 300), max_size=3),
)
def test_reads_what_onnx_wrote(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], number: int, dtype: str, shape: list[int]
) -> None:
    nodes = []
    for index, name in enumerate(names):
        node = helper.make_node("Op", [f"t{index}", "", name], [f"t{index + 1}"], name=name, size=number, mode="text")
        node.metadata_props.add(key="other", value="no")
        node.metadata_props.add(key="edgekit.module", value=f"block.{name}")
        nodes.append(node)
    constant = numpy_helper.from_array(np.zeros((2, 3), np.int8))
    nodes.append(helper.make_node("Constant", [], ["c"], value=constant))
    weights = [numpy_helper.from_array(np.zeros([min(s, 3) for s in shape], dtype), "w")]
    del weights[0].dims[:]
    weights[0].dims.extend(shape)
    path = tmp_path_factory.mktemp("graph") / "m.onnx"
    path.write_bytes(helper.make_model(helper.make_graph(nodes, "g", [], [], weights)).SerializeToString())
    graph = read_graph(path)
    assert [n.name for n in graph.nodes] == [*names, ""]
    for index, (node, name) in enumerate(zip(graph.nodes, names, strict=False)):
        assert (node.op, node.module, node.attributes) == ("Op", f"block.{name}", {"size": number})
        assert (node.inputs, node.outputs) == ((f"t{index}", "", name), (f"t{index + 1}",))
    assert graph.constants == {"w": LayerTensor(dtype, tuple(shape)), "c": LayerTensor("int8", (2, 3))}


def test_producers(tmp_path: Path) -> None:
    assert read_graph(convnet(tmp_path / "m.onnx")).producers() == {"c1": 0, "r1": 1, "c2": 2, "y": 3}


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    whole = convnet(tmp_path / "whole.onnx").read_bytes()
    for number, content in enumerate((b"", b"not a model", whole[: len(whole) // 2], whole[:-1])):
        path = tmp_path / f"damaged{number}.onnx"
        path.write_bytes(content)
        with pytest.raises(ModelError, match=rf"damaged{number}.onnx: not an ONNX model"):
            read_graph(path)


@pytest.mark.parametrize(
    ("dtype", "size"), [("float32", 24), ("uint8", 6), ("bfloat16", 12), ("int4", 3), ("bool", 6), ("string", None)]
)
def test_bytes_of_a_tensor(dtype: str, size: int | None) -> None:
    assert LayerTensor(dtype, (2, 3)).bytes == size
    assert LayerTensor("int4", (3,)).bytes == 2
    assert LayerTensor("float32", ()).bytes == 4


def test_onnx_has_no_other_integer_kinds_than_named() -> None:
    kinds = {onnx.TensorProto.UINT4: "uint4", onnx.TensorProto.INT4: "int4", onnx.TensorProto.BFLOAT16: "bfloat16"}
    assert kinds.items() <= DTYPES.items()
