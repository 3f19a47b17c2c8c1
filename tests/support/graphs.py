"""Small ONNX files written node by node, so that tests of engines and techniques need no exporter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

Value = tuple[str, Sequence[int | str | None], str]


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    """A node named after its first output; names are separated by spaces."""
    made = outputs.split()
    return helper.make_node(op, inputs.split(), made, name=f"{op}_{made[0]}", **attributes)


def write(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[Value],
    outputs: Sequence[Value],
    weights: Mapping[str, np.ndarray] | None = None,
) -> Path:
    """Write the graph as a checked ONNX file of opset 17; a value is (name, shape, dtype)."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [_value(v) for v in inputs],
        [_value(v) for v in outputs],
        [numpy_helper.from_array(np.asarray(a, order="C"), name) for name, a in (weights or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path


def _value(value: Value) -> onnx.ValueInfoProto:
    name, shape, dtype = value
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), list(shape))


def normal(seed: int, *shape: int, scale: float = 1.0) -> np.ndarray:
    """Seeded float32 values."""
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def convnet(path: Path) -> Path:
    """``x`` (1, 3, 16, 16) -> Conv, Relu, Conv with a residual Add -> ``y`` (1, 8, 16, 16)."""
    weights = {
        "w1": normal(1, 8, 3, 3, 3, scale=0.3),
        "b1": normal(2, 8, scale=0.1),
        "w2": normal(3, 8, 8, 3, 3, scale=0.2),
        "b2": normal(4, 8, scale=0.1),
    }
    nodes = [
        node("Conv", "x w1 b1", "c1", pads=[1, 1, 1, 1]),
        node("Relu", "c1", "r1"),
        node("Conv", "r1 w2 b2", "c2", pads=[1, 1, 1, 1]),
        node("Add", "c2 r1", "y"),
    ]
    return write(path, nodes, [("x", (1, 3, 16, 16), "float32")], [("y", (1, 8, 16, 16), "float32")], weights)


def relative_l2(result: np.ndarray, reference: np.ndarray) -> float:
    """|result - reference| / |reference|."""
    reference = reference.astype(np.float64)
    return float(np.linalg.norm(result - reference) / np.linalg.norm(reference))
