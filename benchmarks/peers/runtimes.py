"""Model files opened in the runtime they are for: one thread, no spinning, everything the optimiser offers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.common import THREADS

from edgekit.core.tensors import Array, Arrays
from edgekit.engine.ort import extension
from edgekit.runtime import sessions

Infer = Callable[[Arrays], dict[str, Array]]

ENGINE = ".ort.onnx"
"""How the name of an engine of edgekit's ends: a graph that is optimised already, perhaps with operators of its own."""


def session(path: Path, without: Sequence[str] = (), profile: Path | None = None) -> Any:
    """An ONNX Runtime session; ``profile`` is the prefix of the file that a profiled one writes.

    Every contender's file runs with the settings of edgekit's own sessions: denormals flushed, exact 8-bit sums.
    ``without`` names optimisations that are left out.
    """
    import onnxruntime

    options, levels = onnxruntime.SessionOptions(), onnxruntime.GraphOptimizationLevel
    is_engine = path.name.endswith(ENGINE)
    options.graph_optimization_level = levels.ORT_DISABLE_ALL if is_engine else levels.ORT_ENABLE_ALL
    options.enable_mem_pattern = not is_engine
    if is_engine and (version := extension.needed(path)) is not None:
        extension.register(options, version)
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    sessions.configure(options)
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    return onnxruntime.InferenceSession(
        sessions.prepared(path.read_bytes()),
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=list(without),
    )


def open_ort(path: Path, without: Sequence[str] = ()) -> Infer:
    opened = session(path, without)
    names = [node.name for node in opened.get_outputs()]

    def infer(feeds: Arrays) -> dict[str, Array]:
        return dict(zip(names, opened.run(names, dict(feeds)), strict=True))

    return infer


def open_openvino(path: Path, full_precision: bool) -> Infer:
    """``full_precision``: float32 where OpenVINO would choose bfloat16 by itself on processors that have it."""
    import openvino

    config: dict[str, Any] = {"INFERENCE_NUM_THREADS": THREADS, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
    if full_precision:
        config["INFERENCE_PRECISION_HINT"] = "f32"
    compiled = openvino.Core().compile_model(path, "CPU", config)
    request = compiled.create_infer_request()
    names = [port.get_any_name() for port in compiled.outputs]

    def infer(feeds: Arrays) -> dict[str, Array]:
        results = request.infer(dict(feeds))
        return {name: results[index].copy() for index, name in enumerate(names)}

    return infer


def open_model(path: Path, runtime: str, reference: bool = False, without: Sequence[str] = ()) -> Infer:
    """Function from inputs to outputs of the model in ``path``; ``reference``: it is the runtime's FP32."""
    return open_openvino(path, reference) if runtime == "openvino" else open_ort(path, without)
