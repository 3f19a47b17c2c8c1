"""The lowest opset and IR version: an older runtime takes the model, and no number changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases
from onnxruntime.capi import onnxruntime_pybind11_state as state

from edgekit.bundle import open_bundle
from edgekit.model.opset import lowered

FLOAT = np.float32


def model(nodes: list[Any], opset: int, inputs: dict[str, Any], outputs: dict[str, int], weights: Any = None) -> bytes:
    """A model of the newest IR version; inputs are arrays, outputs element types."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [
            helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            for n, a in inputs.items()
        ],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    imports = [
        helper.make_opsetid("", opset),
        helper.make_opsetid("ai.onnx.ml", 5),
        helper.make_opsetid("com.microsoft", 1),
    ]
    made = helper.make_model(graph, opset_imports=imports, ir_version=13)
    return bytes(onnx.shape_inference.infer_shapes(made, data_prop=True).SerializeToString())


def versions(content: bytes) -> tuple[int, int]:
    """Opset and IR version; checks the file, and that no import is idle."""
    read = onnx.load_from_string(content)
    onnx.checker.check_model(read, full_check=True)
    (only,) = read.opset_import
    return only.version, read.ir_version


def run(content: bytes, feeds: dict[str, Any], level: Any) -> list[Any]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level, options.log_severity_level = level, 4
    return list(onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"]).run(None, feeds))


X = np.linspace(-2, 2, 2 * 3 * 8 * 8, dtype=FLOAT).reshape(2, 3, 8, 8)
LATE = [
    helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
    helper.make_node("QuantizeLinear", ["c", "scale", "zero"], ["q"], axis=1, saturate=1, block_size=0),
    helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"], axis=1),
    helper.make_node("MaxPool", ["d"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
    helper.make_node("Transpose", ["p"], ["t"], perm=[0, 2, 3, 1]),
    helper.make_node("Shape", ["t"], ["s"], start=0, end=1),
    helper.make_node("Concat", ["s", "rest"], ["wanted"], axis=0),
    helper.make_node("Reshape", ["t", "wanted"], ["r"]),
    helper.make_node("Unsqueeze", ["r", "axes"], ["u"]),
    helper.make_node("Squeeze", ["u", "axes"], ["v"]),
    helper.make_node("Softplus", ["v"], ["y"]),
    helper.make_node("Cast", ["y"], ["i"], to=TensorProto.INT32, saturate=1, round_mode="up"),
]
WEIGHTS = {
    "w": np.linspace(-1, 1, 4 * 3 * 9, dtype=FLOAT).reshape(4, 3, 3, 3), "scale": np.array(0.05, FLOAT),
    "zero": np.array(3, np.uint8), "rest": np.array([-1], np.int64), "axes": np.array([0], np.int64),
}  # fmt: skip


@pytest.mark.parametrize("opset", [23, 24, 25])
def test_a_new_exporter_meets_an_old_runtime(opset: int) -> None:
    nodes = [node for node in LATE if opset >= 24 or node.op_type != "Cast"]
    outputs = {"y": TensorProto.FLOAT} | ({"i": TensorProto.INT32} if opset >= 24 else {})
    given = model(nodes, opset, {"x": X}, outputs, WEIGHTS)
    made = lowered(given)
    assert versions(made) == (17, 8)
    for level in ("ORT_DISABLE_ALL", "ORT_ENABLE_ALL"):
        chosen = onnxruntime.GraphOptimizationLevel.__members__[level]
        for one, other in zip(run(given, {"x": X}, chosen), run(made, {"x": X}, chosen), strict=True):
            np.testing.assert_array_equal(one, other)
    assert lowered(made) == made


HALF = np.float16
KEEPS: dict[str, tuple[list[Any], dict[str, Any], dict[str, int], tuple[int, int]]] = {
    "an operator that is new": ([helper.make_node("Gelu", ["x"], ["y"])], {"x": X}, {"y": TensorProto.FLOAT}, (20, 9)),
    "a type that is new": (
        [helper.make_node("QuantizeLinear", ["x", "s"], ["y"], output_dtype=TensorProto.INT8)],
        {"x": X.astype(HALF), "s": np.array(1, HALF)},
        {"y": TensorProto.INT8},
        (21, 10),
    ),
    "a value that is new": (
        [helper.make_node("Pad", ["x", "pads"], ["y"], mode="wrap")],
        {"x": X, "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)},
        {"y": TensorProto.FLOAT},
        (19, 9),
    ),
    "a size that is new": (
        [helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], ceil_mode=1)],
        {"x": X},
        {"y": TensorProto.FLOAT},
        (22, 10),
    ),
    "booleans": (
        [helper.make_node("ReduceMax", ["x"], ["y"], keepdims=0)],
        {"x": np.ones((2, 2), np.bool_)},
        {"y": TensorProto.BOOL},
        (20, 9),
    ),
    "eight-bit floats": (
        [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT8E4M3FN)],
        {"x": X},
        {"y": TensorProto.FLOAT8E4M3FN},
        (19, 9),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", KEEPS)
def test_what_needs_a_newer_opset_keeps_it(name: str) -> None:
    nodes, inputs, outputs, expected = KEEPS[name]
    assert versions(lowered(model(nodes, 23, inputs, outputs))) == expected


def test_inside_a_branch() -> None:
    """The lowest is that of all graphs, and the types of outer values are known inside."""
    x = X[0, 0]
    branches = {
        key: helper.make_graph([node], key, [], [helper.make_tensor_value_info(key, TensorProto.FLOAT, None)])
        for key, node in {
            "then_branch": helper.make_node("Identity", ["x"], ["then_branch"]),
            "else_branch": helper.make_node("Transpose", ["x"], ["else_branch"]),
        }.items()
    }
    inputs = {"x": x, "c": np.array(True)}
    given = model([helper.make_node("If", ["c"], ["y"], **branches)], 23, inputs, {"y": TensorProto.FLOAT})
    assert versions(lowered(given)) == (17, 8)
    branches["else_branch"].node[0].op_type = "Gelu"
    given = model([helper.make_node("If", ["c"], ["y"], **branches)], 23, inputs, {"y": TensorProto.FLOAT})
    assert versions(lowered(given)) == (20, 9)


def test_foreign_operators_stay() -> None:
    nodes = [helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft"), helper.make_node("Identity", ["y"], ["z"])]
    made = onnx.load_from_string(lowered(model(nodes, 23, {"x": X}, {"z": TensorProto.FLOAT})))
    # The type of what onnx does not know is unknown, so what reads it keeps its version.
    assert [(entry.domain, entry.version) for entry in made.opset_import] == [("", 23), ("com.microsoft", 1)]


def test_an_old_file_is_not_raised() -> None:
    node = helper.make_node("Upsample", ["x", "s"], ["y"], mode="nearest")
    graph = helper.make_graph([node], "g", [], [], [])
    old = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 9)], ir_version=4)
    made = onnx.load_from_string(lowered(old.SerializeToString()))
    assert (made.opset_import[0].version, made.ir_version) == (9, 4)


def test_the_models_of_a_bundle(tiny_bundle: Path) -> None:
    """PyTorch exports opset 20; this network needs none of it."""
    assert open_bundle(tiny_bundle).contents.candidate.precision == "int8"
    for name in ("fp32", "int8"):
        assert versions((tiny_bundle / "models" / f"{name}.onnx").read_bytes()) == (17, 8)


RANDOM = ("test_bernoulli",)
UNSUPPORTED = (state.NotImplemented, state.Fail, state.InvalidGraph, state.InvalidArgument, RuntimeError)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning:onnx")
def test_every_operator_of_the_standard() -> None:
    """ONNX's own node tests, each lowered as far as it goes: the same bits from the same runtime."""
    compared = 0
    level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    for case in collect_testcases(None):
        given = case.model.SerializeToString()
        made = lowered(given)
        before, after = (onnx.load_from_string(each).opset_import for each in (given, made))
        if [e.version for e in before] == [e.version for e in after] or case.name.startswith(RANDOM):
            continue
        onnx.checker.check_model(made, full_check=True)
        feeds = dict(zip([value.name for value in case.model.graph.input], case.data_sets[0][0], strict=False))
        try:
            expected = run(given, feeds, level)
        except UNSUPPORTED:  # nothing to compare with
            continue
        for one, other in zip(expected, run(made, feeds, level), strict=True):
            np.testing.assert_array_equal(np.asarray(one), np.asarray(other), err_msg=case.name)
        compared += 1
    assert compared > 300
