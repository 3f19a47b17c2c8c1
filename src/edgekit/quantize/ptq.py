"""Post-training INT8 quantization to ONNX Q/DQ that ONNX Runtime runs fast on x86.

Activations are unsigned 8-bit, per tensor; weights signed 8-bit, per output
channel (Krishnamoorthi, "Quantizing deep convolutional networks for efficient
inference", 2018, section 3).  ONNX Runtime places the Q/DQ pairs; the ranges
are found here, in one pass over the frames and in constant memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from edgekit.core.errors import DataError, MissingRequirement, ModelError
from edgekit.core.tensors import Arrays
from edgekit.quantize import Quantized, TechniqueConfig
from edgekit.quantize._ranges import MinMax, Percentile, RangeFinder

# Operators worth 8 bits on a CPU.  Others stay float: a Q/DQ pair around an
# operator without an integer kernel only adds work.
QUANTIZED_OPS = (
    "Conv",
    "Gemm",
    "MatMul",
    "Add",
    "Mul",
    "Concat",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "Relu",
    "Clip",
)


class Config(TechniqueConfig):
    """Post-training quantization."""

    method: Literal["ptq"]
    calibrator: Literal["percentile", "minmax"] = "percentile"
    percentile: float = Field(99.99, gt=50, le=100, description="share of activations inside the range, per cent")
    exclude: tuple[str, ...] = Field((), description="names of ONNX nodes that stay float")

    def finder(self, tensor: str) -> RangeFinder:
        """An empty range finder for one tensor."""
        return MinMax(tensor) if self.calibrator == "minmax" else Percentile(tensor, self.percentile)


def apply(
    source: Path, feeds: Iterable[Arrays], config: Config, advance: Callable[[], None] = lambda: None
) -> Quantized:
    """Quantize the FP32 ONNX file ``source`` with ranges seen on ``feeds``.

    Args:
        source: FP32 ONNX model.
        feeds: one mapping of input name to array per frame; read once, not kept.
        config: the step's keys in the spec.
        advance: called after every frame.

    Raises:
        DataError: no frame.
        ModelError: NaN activations, an unknown excluded node, or nothing to quantize.
    """
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        model = _simplified(source, Path(folder))
        _check_excluded(model, config.exclude)
        excluded = {*config.exclude, *_float_heads(model)}
        tensors = _tensors_to_range(model, excluded)
        if not tensors:
            raise ModelError(f"{source}: no operator to quantize; INT8 needs one of {', '.join(QUANTIZED_OPS)}")
        finders, frames = _calibrate(model, tensors, feeds, config, advance)
        ranges = {name: finder.range() for name, finder in finders.items()}
        quantized = _insert_qdq(model, ranges, excluded)
    onnx.checker.check_model(quantized)
    record = {
        "method": "ptq",
        "config": config.model_dump(mode="json"),
        "frames": frames,
        "activations": "uint8 per tensor",
        "weights": "int8 per channel, symmetric",
        "float_nodes": sorted(excluded),
        "ranges": {name: [float(low), float(high)] for name, (low, high) in sorted(ranges.items())},
    }
    return Quantized(quantized.SerializeToString(deterministic=True), record)


def _simplified(source: Path, folder: Path) -> Any:
    """Constants folded and batch norms fused, by ONNX Runtime's basic rewrites."""
    import onnx

    runtime = _runtime()
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folder / "simplified.onnx")
    options.log_severity_level = 3
    runtime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    model = onnx.load(folder / "simplified.onnx")
    for index, node in enumerate(model.graph.node):
        # Names are optional in ONNX, but nodes are excluded by name.
        node.name = node.name or f"{node.op_type}_{index}"
    return onnx.shape_inference.infer_shapes(model)


def _check_excluded(model: Any, excluded: Sequence[str]) -> None:
    from edgekit.core.plugins import allowed

    known = tuple(node.name for node in model.graph.node)
    for name in excluded:
        if name not in known:
            hint = allowed(name, known).split(" allowed:")[0]
            raise ModelError(f"exclude: the model has no node {name!r}; {hint}")


def _float_heads(model: Any) -> list[str]:
    """Names of convolutions that feed nothing but interpolating Resize nodes.

    ONNX Runtime interpolates three times faster in its blocked float layout than
    in plain float or uint8, and a tensor has that layout only behind a float
    convolution.  Such a convolution is a network's last one, which INT8 costs most.
    """
    consumers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            consumers.setdefault(name, []).append(node)
    outputs = {value.name for value in model.graph.output}
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "Conv"
        and node.output[0] not in outputs
        and all(user.op_type == "Resize" and _mode(user) != "nearest" for user in consumers[node.output[0]])
    ]


def _mode(resize: Any) -> str:
    return next((a.s.decode() for a in resize.attribute if a.name == "mode"), "nearest")


def _tensors_to_range(model: Any, excluded: set[str]) -> list[str]:
    """Float activations that touch an operator of :data:`QUANTIZED_OPS`."""
    from onnx import TensorProto

    graph = model.graph
    constants = {t.name for t in graph.initializer}
    typed = {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.input, *graph.output)}
    names: dict[str, None] = {}
    for node in graph.node:
        if node.op_type in QUANTIZED_OPS and node.name not in excluded:
            names.update(dict.fromkeys((*node.input, *node.output)))
    return [n for n in names if n and n not in constants and typed.get(n, TensorProto.FLOAT) == TensorProto.FLOAT]


def _calibrate(
    model: Any, tensors: Sequence[str], feeds: Iterable[Arrays], config: Config, advance: Callable[[], None]
) -> tuple[dict[str, RangeFinder], int]:
    session = _observed(model, tensors)
    inputs = {node.name for node in session.get_inputs()}
    finders = {name: config.finder(name) for name in tensors}
    fetched = [name for name in tensors if name not in inputs]
    frames = 0
    for feed in feeds:
        for name, values in feed.items():
            if name in finders:
                finders[name].update(values)
        for name, values in zip(fetched, session.run(fetched, dict(feed)), strict=True):
            finders[name].update(values)
        frames += 1
        advance()
    if frames == 0:
        raise DataError("the calibration set is empty; give data.calibration at least one frame")
    return finders, frames


def _observed(model: Any, tensors: Sequence[str]) -> Any:
    """A session of the model whose outputs are ``tensors``."""
    import onnx

    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    present = {value.name for value in watched.graph.output}
    boundary = {value.name for value in watched.graph.input}
    for name in tensors:
        if name not in present and name not in boundary:
            watched.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    runtime = _runtime()
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    # Fetched outputs must not keep an arena of their own size alive.
    options.enable_cpu_mem_arena = False
    return runtime.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _insert_qdq(model: Any, ranges: dict[str, tuple[float, float]], excluded: set[str]) -> Any:
    import numpy as np
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
    from onnxruntime.quantization.quant_utils import QuantType

    data = {name: TensorData(lowest=np.float32(low), highest=np.float32(high)) for name, (low, high) in ranges.items()}
    quantizer = QDQQuantizer(
        model,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, data),
        nodes_to_quantize=[],
        nodes_to_exclude=sorted(excluded),
        op_types_to_quantize=list(QUANTIZED_OPS),
        extra_options={},
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    return quantizer.model.model


def _runtime() -> Any:
    try:
        import onnx  # noqa: F401  quantization edits ONNX graphs
        import onnxruntime
    except ImportError as error:
        raise MissingRequirement("onnx and ONNX Runtime", 'pip install "edgekit[compress]"') from error
    return onnxruntime
