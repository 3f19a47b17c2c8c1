"""Engine files are the same bytes in every build, and the rewritten graph is the same graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.engine import ort
from edgekit.onnxfile.names import stable


def _model(names: list[str]) -> onnx.ModelProto:
    operators = ["ReorderInput", "Conv", "ReorderOutput"]
    nodes = [
        onnx.helper.make_node(
            operators[i % 3], [f"t{i}"], [f"t{i + 1}"], name=name, domain="com.microsoft.nchwc", group=i
        )
        for i, name in enumerate(names)
    ]
    weights = [onnx.numpy_helper.from_array(np.arange(300, dtype=np.float32), "w")]
    ends = [onnx.helper.make_tensor_value_info(t, onnx.TensorProto.FLOAT, [1]) for t in ("t0", f"t{len(names)}")]
    graph = onnx.helper.make_graph(nodes, "g" * 200, ends[:1], ends[1:], weights)
    return onnx.helper.make_model(graph, producer_name="test")


@given(st.lists(st.text(min_size=1, max_size=200), max_size=12))
def test_only_the_names_of_layout_nodes_change(names: list[str]) -> None:
    model = _model(names)
    found = onnx.load_from_string(stable(model.SerializeToString()))
    expected = [n if i % 3 == 1 else f"{('ReorderInput', '', 'ReorderOutput')[i % 3]}/{i}" for i, n in enumerate(names)]
    assert [node.name for node in found.graph.node] == expected
    for node, name in zip(found.graph.node, names, strict=True):
        node.name = name
    assert found == model


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_builds_are_byte_identical(precision: str, tiny_bundle: Path, tmp_path: Path) -> None:
    source = tiny_bundle / "models" / f"{precision}.onnx"
    results = set()
    for index in range(6):
        ort.Backend(ort.Config(engine="ort")).build(source, tmp_path / f"{index}.ort.onnx")
        results.add((tmp_path / f"{index}.ort.onnx").read_bytes())
    assert len(results) == 1
    assert results == {(tiny_bundle / "engines" / f"{precision}.ort.onnx").read_bytes()}
