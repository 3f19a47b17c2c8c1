"""ONNX Runtime sessions of tests, with the settings of every session of edgekit.

A plain session's sums of uint8 times int8 saturate on an x86 processor without VNNI: what tests expect would depend on
the machine.
"""

from __future__ import annotations

import onnxruntime

from edgekit.runtime import sessions


def session(model: bytes, optimised: bool = True) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    sessions.configure(options)
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    content = sessions.prepared(model) if optimised else model
    return onnxruntime.InferenceSession(
        content, options, providers=["CPUExecutionProvider"], disabled_optimizers=sessions.unwanted()
    )
