"""Two rounded convolutions, a Relu and a mean, with modules, as a typed model has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from tests.support.graphs import node, write

from edgekit.onnxfile.graph import MODULE_KEY


def rounded(path: Path, highest: int = 64) -> Path:
    """``x`` (1, 8, 16, 16) -> ``y`` (1, 16, 1, 1); the largest weight is ``highest``."""
    rng = np.random.default_rng(0)
    weights: dict[str, np.ndarray] = {
        "s": np.float32(0.02),
        "z": np.uint8(128),
        "s0": np.float32(0.05),
        "z0": np.uint8(0),
    }
    for name, shape in (("w1", (16, 8, 3, 3)), ("w2", (16, 16, 3, 3))):
        values = rng.integers(-highest, highest + 1, shape).astype(np.int8)
        values.flat[0] = highest
        weights |= {
            name: values,
            f"{name}s": np.full(16, 0.01 / highest, np.float32),
            f"{name}z": np.zeros(16, np.int8),
        }
    nodes = [
        node("QuantizeLinear", "x s z", "xq"),
        node("DequantizeLinear", "xq s z", "xd"),
        node("DequantizeLinear", "w1 w1s w1z", "w1d", axis=0),
        node("Conv", "xd w1d", "c1", pads=[1, 1, 1, 1]),
        node("Relu", "c1", "r1"),
        node("QuantizeLinear", "r1 s0 z0", "rq"),
        node("DequantizeLinear", "rq s0 z0", "rd"),
        node("DequantizeLinear", "w2 w2s w2z", "w2d", axis=0),
        node("Conv", "rd w2d", "c2", pads=[1, 1, 1, 1]),
        node("GlobalAveragePool", "c2", "y"),
    ]
    for made in nodes:
        if made.op_type in ("Conv", "Relu", "GlobalAveragePool"):
            module = {"c1": "first.conv", "r1": "first.act", "c2": "second.conv", "y": "pool"}[made.output[0]]
            made.metadata_props.append(onnx.StringStringEntryProto(key=MODULE_KEY, value=module))
    return write(path, nodes, [("x", (1, 8, 16, 16), "float32")], [("y", (1, 16, 1, 1), "float32")], weights)
