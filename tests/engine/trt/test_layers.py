from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.graphs import node, normal, write

from edgekit.core.errors import CheckFailed
from edgekit.engine.trt.layers import layer_events
from edgekit.onnxfile.graph import Graph, read_graph

CONV = {
    "Name": "Conv_c + Relu_r",
    "LayerType": "CaskConvolution",
    "ParameterType": "Convolution",
    "Inputs": [{"Name": "x", "Dimensions": [1, 3, 8, 8], "Format/Datatype": "Row major linear FP32"}],
    "Outputs": [{"Name": "r", "Dimensions": [1, 4, 6, 6], "Format/Datatype": "Thirty-two wide channel vector Int8"}],
    "Metadata": "[ONNX Layer: Relu_r]\u001e[ONNX Layer: Conv_c]",
}


def document(*layers: object) -> str:
    return json.dumps({"Layers": layers, "Bindings": ["x", "r"]})


@pytest.fixture
def source(tmp_path: Path) -> Graph:
    nodes = [node("Conv", "x w", "c"), node("Relu", "c", "r")]
    inputs, outputs = [("x", (1, 3, 8, 8), "float32")], [("r", (1, 4, 6, 6), "float32")]
    return read_graph(write(tmp_path / "m.onnx", nodes, inputs, outputs, {"w": normal(1, 4, 3, 3, 3)}))


def test_layers_get_their_nodes(source: Graph) -> None:
    (event,) = layer_events([[("Conv_c + Relu_r", 0.5)]], document(CONV), source)
    assert event.nodes == ("Conv_c", "Relu_r")
    assert event.op == "Convolution"
    assert event.duration_us == 500
    assert event.weight is not None
    assert event.weight.shape == (4, 3, 3, 3)
    assert [(tensor.dtype, tensor.shape) for tensor in (*event.inputs, *event.outputs)] == [
        ("float32", (1, 3, 8, 8)),
        ("int8", (1, 4, 6, 6)),
    ]


def test_layers_follow_each_other() -> None:
    reports = [[("a", 1.0), ("b", 2.0)], [("a", 3.0), ("b", 4.0)]]
    events = layer_events(reports, document(), None)
    assert [(e.name, e.query, e.start_us) for e in events] == [("a", 0, 0), ("b", 0, 1e3), ("a", 1, 3e3), ("b", 1, 6e3)]


def test_engine_without_detailed_profiling(source: Graph) -> None:
    (event,) = layer_events([[("Conv_c + Relu_r", 0.5)]], document("Conv_c + Relu_r"), source)
    assert event.nodes == ("Conv_c", "Relu_r")
    assert (event.op, event.inputs) == ("", ())


def test_layer_that_tensorrt_added(source: Graph) -> None:
    (event,) = layer_events(
        [[("Reformatting CopyNode for Input Tensor 0 to Conv_c + Relu_r", 0.1)]], document(), source
    )
    assert event.nodes == ()


@pytest.mark.parametrize(
    ("text", "dtype"),
    [
        ("Half", "float16"),
        ("Row major linear BFloat16", "bfloat16"),
        ("FP8", "float8_e4m3fn"),
        ("Int32", "int32"),
        ("UInt8", "uint8"),
        ("Bool", "bool"),
        ("Float", "float32"),
        ("something new", "something new"),
        ("", "unknown"),
    ],
)
def test_types_as_the_inspector_writes_them(text: str, dtype: str) -> None:
    layer = {"Name": "a", "Inputs": [{"Dimensions": [2], "Format/Datatype": text}]}
    (event,) = layer_events([[("a", 1.0)]], document(layer), None)
    assert event.inputs[0].dtype == dtype


def test_query_without_layers() -> None:
    with pytest.raises(CheckFailed, match="query 1"):
        layer_events([[("a", 1.0)], []], document(), None)
