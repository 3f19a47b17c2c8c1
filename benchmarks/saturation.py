"""What exact sums of eight-bit products cost in ONNX Runtime, and how wrong they are without.

    python benchmarks/saturation.py --json

One layer a model, uint8 activations and int8 weights near 127, with and without ``session.x64quantprecision``
(docs/decisions/0014): the largest difference from the typed model as a share of its largest output, and processor time,
medians of queries in turn.  On a processor with VNNI both are exact, and the option costs time for nothing.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

KEY = "session.x64quantprecision"
LAYERS = {  # operator, channels in and out, size of the kernel, groups
    "3x3, 64 to 64": ("Conv", 64, 64, 3, 1),
    "1x1, 256 to 64": ("Conv", 256, 64, 1, 1),
    "3x3 depthwise, 64": ("Conv", 64, 64, 3, 64),
    "matrix product, 256 to 256": ("MatMul", 256, 256, 1, 1),
}


def model_of(operator: str, given: int, made: int, size: int, groups: int) -> tuple[bytes, tuple[int, ...]]:
    """One rounded layer between float input and output, and the input's shape."""
    import onnx
    from onnx import helper, numpy_helper

    conv = operator == "Conv"
    rng = np.random.default_rng(0)
    weights = rng.integers(100, 127, (made, given // groups, size, size) if conv else (given, made)).astype(np.int8)
    fan = given // groups * size * size
    held = {
        "sx": np.float32(1 / 255), "zx": np.uint8(0), "w8": weights, "sw": np.full(made, 0.01, np.float32),
        "zw": np.zeros(made, np.int8), "sy": np.float32(fan * 1.3 / 255), "zy": np.uint8(0),
    }  # fmt: skip
    more: dict[str, Any] = {"pads": [size // 2] * 4, "group": groups} if conv else {}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "sx", "zx"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "sx", "zx"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w8", "sw", "zw"], ["wd"], axis=0 if conv else 1),
        helper.make_node(operator, ["xd", "wd"], ["c"], **more),
        helper.make_node("QuantizeLinear", ["c", "sy", "zy"], ["cq"]),
        helper.make_node("DequantizeLinear", ["cq", "sy", "zy"], ["y"]),
    ]
    shape, out = ((1, given, 32, 32), (1, made, 32, 32)) if conv else ((1024, given), (1024, made))
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, out)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in held.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model.SerializeToString(), shape


def session(model: bytes, exact: bool, optimised: bool) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry(KEY, "1" if exact else "0")
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def measured(layer: tuple[str, int, int, int, int], queries: int) -> dict[str, float]:
    model, shape = model_of(*layer)
    feeds = {"x": np.random.default_rng(1).random(shape, np.float32)}
    wanted = session(model, exact=True, optimised=False).run(None, feeds)[0]
    both = {name: session(model, name == "exact", optimised=True) for name in ("default", "exact")}
    times: dict[str, list[float]] = {name: [] for name in both}
    for _ in range(queries):
        for name, opened in both.items():
            start = time.thread_time()
            opened.run(None, feeds)
            times[name].append((time.thread_time() - start) * 1e3)
    wrong = {name: float(np.abs(o.run(None, feeds)[0] - wanted).max() / wanted.max()) for name, o in both.items()}
    p50 = {name: float(np.median(own)) for name, own in times.items()}
    return {
        "wrong_default": wrong["default"],
        "wrong_exact": wrong["exact"],
        "default_ms": p50["default"],
        "exact_ms": p50["exact"],
        "cost": float(np.median(np.array(times["exact"]) / np.array(times["default"]))),
    }


def main() -> None:
    from edgekit.core.artifacts import write_json
    from edgekit.engine import ort
    from edgekit.profiling import machine

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, help="write the document there too")
    given = parser.parse_args()
    rows = {name: measured(layer, given.queries) for name, layer in LAYERS.items()}
    facts = ort.Backend(ort.Config(engine="ort")).fingerprint()
    document = {"machine": asdict(machine()), "device": facts, "layers": rows}
    if given.out is not None:
        write_json(given.out, document)
    if given.json:
        print(json.dumps(document, indent=2))
        return
    for name, row in rows.items():
        print(f"{name:28} wrong by {row['wrong_default']:.3f}, exact {row['wrong_exact']:.3f}; cost {row['cost']:.2f}x")


if __name__ == "__main__":
    main()
