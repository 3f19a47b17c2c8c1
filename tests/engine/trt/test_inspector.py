"""An inspector's layer list against what the typed model asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.graphs import node, normal, write

from edgekit.core.errors import InputError
from edgekit.core.reports import Achieved
from edgekit.engine.trt import inspector
from edgekit.onnxfile.graph import Graph, read_graph

INT8 = "Thirty-two wide channel vectorized row major Int8 format"
FP16 = "Two wide channel vectorized row major FP16 format"
FP32 = "Row major linear FP32"


def layer(name: str, kind: str, first: str, *nodes: str, weights: str = "") -> dict[str, Any]:
    """One entry as the inspector writes it."""
    found: dict[str, Any] = {
        "Name": name,
        "LayerType": kind,
        "Inputs": [{"Name": "in", "Dimensions": [1, 8, 4, 4], "Format/Datatype": first}],
        "Outputs": [{"Name": "out", "Dimensions": [1, 8, 4, 4], "Format/Datatype": first}],
        "TacticName": "sm80_xmma_fprop_implicit_gemm",
        "Metadata": "\x1e".join(f"[ONNX Layer: {each}]" for each in nodes),
    }
    return found | ({"Weights": {"Type": weights, "Count": 576}} if weights else {})


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """Conv_a between Q/DQ, Conv_b in float."""
    nodes = [
        node("QuantizeLinear", "x s z", "xq"),
        node("DequantizeLinear", "xq s z", "xd"),
        node("DequantizeLinear", "wq s z", "wd"),
        node("Conv", "xd wd", "a"),
        node("Relu", "a", "r"),
        node("Conv", "r wb", "b"),
    ]
    weights = {
        "s": np.float32(0.1),
        "z": np.int8(0),
        "wq": np.ones((8, 3, 1, 1), np.int8),
        "wb": normal(1, 4, 8, 1, 1),
    }
    value = [("x", (1, 3, 4, 4), "float32")]
    path = tmp_path_factory.mktemp("source") / "int8.onnx"
    return read_graph(write(path, nodes, value, [("b", (1, 4, 4, 4), "float32")], weights))


def inspect(source: Graph | None, *layers: dict[str, Any], **keys: Any) -> Achieved:
    return inspector.inspect(json.dumps({"Layers": layers, "Bindings": ["x", "b"]}), "int8", source, **keys)


def test_what_the_model_asks_for(source: Graph) -> None:
    assert inspector.requested(source) == {"Conv_a": "int8", "Conv_b": "fp32"}


def test_as_asked(source: Graph) -> None:
    found = inspect(
        source,
        layer("Reformatting CopyNode for Input Tensor 0 to Conv_a", "Reformat", FP32),
        layer("Conv_a + Relu_r", "CaskConvolution", INT8, "Conv_a", "Relu_r", weights="Int8"),
        layer("Conv_b", "CaskConvolution", FP32, "Conv_b", weights="Float"),
    )
    assert (found.verdict, found.missed, found.reformats) == ("pass", (), 1)
    assert found.rows() == [
        ("Conv_a + Relu_r", "CaskConvolution", "int8", "int8"),
        ("Conv_b", "CaskConvolution", "fp32", "fp32"),
    ]
    assert json.loads(json.dumps(found.to_dict()))["numbers"]["reformat_layers"] == 1


@pytest.mark.parametrize(
    ("first", "weights", "got"), [(FP32, "Float", "fp32"), (FP16, "Half", "fp16"), (FP16, "", "fp16")]
)
def test_an_int8_layer_that_runs_wider(source: Graph, first: str, weights: str, got: str) -> None:
    found = inspect(source, layer("Conv_a", "CaskConvolution", first, "Conv_a", weights=weights))
    assert (found.verdict, found.missed) == ("fail", ("Conv_a",))
    assert found.layers[0].achieved == got


def test_faster_than_asked_is_no_fault(source: Graph) -> None:
    int8 = layer("Conv_a", "CaskConvolution", INT8, "Conv_a", weights="Int8")
    assert inspect(source, int8, layer("Conv_b", "CaskConvolution", FP16, "Conv_b", weights="Half")).verdict == "pass"


def test_names_without_metadata(source: Graph) -> None:
    found = inspect(source, layer("Conv_a + Relu_r", "CaskConvolution", FP32, weights="Float"))
    assert found.missed == ("Conv_a + Relu_r",)


def test_rounding_that_stayed_a_layer(source: Graph) -> None:
    found = inspect(
        source,
        layer("QuantizeLinear_xq", "Quantize", FP32, "QuantizeLinear_xq"),
        layer("Conv_a", "CaskConvolution", INT8, "Conv_a", weights="Int8"),
        layer("Conv_b", "CaskConvolution", FP32, "Conv_b", weights="Float"),
    )
    assert (found.verdict, found.unfused) == ("pass", ("QuantizeLinear_xq",))
    assert found.numbers["unfused_qdq"] == 1


def test_dla(source: Graph) -> None:
    layers = (
        layer("{ForeignNode[Conv_a...Relu_r]}", "DLA", INT8, "Conv_a", "Relu_r"),
        layer("Reformatting CopyNode for Output Tensor 0", "Reformat", INT8),
        layer("Conv_b", "CaskConvolution", FP32, "Conv_b", weights="Float"),
    )
    found = inspect(source, *layers, dla=True)
    assert (found.verdict, found.dla_subgraphs, found.fallbacks) == ("pass", 1, ("Conv_b",))
    assert inspect(source, layers[2], dla=True).verdict == "fail"


def test_without_the_model_every_compute_layer_counts() -> None:
    found = inspect(None, layer("c", "CaskConvolution", FP16, weights="Half"), layer("r", "Reformat", FP32))
    assert found.missed == ("c",)


def test_a_layer_that_says_no_type_does_not_pass(source: Graph) -> None:
    rest = layer("Conv_b", "CaskConvolution", FP32, "Conv_b", weights="Float")
    found = inspect(source, layer("Conv_a", "CaskConvolution", "", "Conv_a"), rest)
    assert (found.verdict, found.unknown) == ("undecided", 1)


def test_nodes_that_no_layer_names_do_not_pass(source: Graph) -> None:
    found = inspect(source, layer("{ForeignNode[a...b]}", "Myelin", INT8))
    assert (found.verdict, found.unknown) == ("undecided", 2)


def test_a_document_that_was_cut_off() -> None:
    with pytest.raises(InputError, match="not an engine inspector's document"):
        inspector.inspect('{"Layers": [', "int8")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"Layers": ["Conv_a", "Conv_b"]}, "detailed_profiling: true"),
        ({"layers": []}, "expected a JSON object with the key Layers"),
        ([], "expected a JSON object"),
    ],
)
def test_documents_that_say_too_little(document: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        inspector.inspect(json.dumps(document), "int8")


def test_recorded_as_a_table(source: Graph, tmp_path: Path) -> None:
    rows = inspect(source, layer("Conv_a", "CaskConvolution", "", "Conv_a")).rows()
    assert rows == [("Conv_a", "CaskConvolution", "int8", "?")]


@pytest.mark.parametrize(
    ("tactic", "sparse"),
    [
        (
            "sm80_xmma_fprop_sparse_conv_interleaved_i8i8_i8i32_f32_nchw_vect_c_32kcrs_vect_c_32_nchw_vect_c_32_sptensor",
            1,
        ),
        ("sm80_xmma_fprop_avdt_sparse_int8int8_f32_nhwckrsc_nhwc", 1),
        ("sm80_xmma_fprop_avdt_dense_int8int8_f32_nhwckrsc_nhwc", 0),
        ("sm80_xmma_fprop_implicit_gemm_f16f16_f16f16_f16_nhwckrsc_nhwc", 0),
    ],
)
def test_layers_on_sparse_kernels_are_counted(tactic: str, sparse: int) -> None:
    described = layer("conv", "CaskConvolution", INT8, weights="Int8") | {"TacticName": tactic}
    found = inspect(None, described, layer("other", "CaskConvolution", INT8, weights="Int8"))
    assert found.numbers["sparse_layers"] == sparse
