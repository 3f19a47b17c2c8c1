"""Measurements of model files: accuracy of one, latency of all in turn, and where ONNX Runtime spends the time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.peers import metrics
from benchmarks.peers.models import SPLITS, Model, evaluation
from benchmarks.peers.runtimes import Infer, open_ort, session

from edgekit.core.tensors import Array, Arrays
from edgekit.profiling import summarise

CONV_OPS = ("QLinearConv", "ConvInteger", "QLinearConvTranspose", "ConvU8", "DepthwiseU8")
MATMUL_OPS = (
    *("QLinearMatMul", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul"),
    *("QGemm", "QAttention", "DynamicQuantizeLSTM"),
)
TOP = 8


def accuracy(
    model: Model, camvid: Path, infer: Infer, source: Path, splits: Sequence[str] = SPLITS
) -> dict[str, dict[str, float | None]]:
    """Scores by split; ``source`` is the FP32 file for the metrics that compare with it."""
    found = {}
    reference = open_ort(source) if metrics.score(model.metric).needs_reference else None
    for split in splits:
        score = metrics.score(model.metric)
        for feeds, geometry, truth in evaluation(model, camvid, split):
            wanted = reference(feeds)[model.output] if reference else None
            score.update(infer(feeds)[model.output], wanted, geometry, truth)
        found[split] = score.compute()
    return found


def interleaved(
    models: Mapping[str, Infer],
    feeds: Sequence[Arrays],
    queries: int,
    warmup: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Array]:
    """Milliseconds of each query by model; the models take turns (A B C, C B A, ...), so that drift meets all."""
    order = list(models)
    times: dict[str, list[float]] = {name: [] for name in models}
    for query in range(warmup + queries):
        feed = feeds[query % len(feeds)]
        for name in order:
            start = clock()
            models[name](feed)
            if query >= warmup:
                times[name].append((clock() - start) * 1e3)
        order.reverse()
    return {name: np.array(values) for name, values in times.items()}


def latency(times_ms: Mapping[str, Array], references: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Percentiles, and how many times as fast as the reference: of the p50, and of the 5th and 95th percentile pair."""
    found: dict[str, dict[str, Any]] = {}
    for name, values in times_ms.items():
        summary, reference = summarise(values), times_ms[references[name]]
        found[name] = {
            "p50_ms": summary.p50,
            "p99_ms": summary.p99,
            "mean_ms": summary.mean,
            "queries": len(values),
            "speedup_p50": float(np.median(reference) / np.median(values)),
            "speedup_of_pairs_p5_p95": [float(v) for v in np.percentile(reference / values, (5, 95))],
        }
    return found


def profiled(path: Path, feeds: Iterable[Arrays], prefix: Path, without: Sequence[str] = ()) -> dict[str, Any]:
    """Run the model with ONNX Runtime's profiler and say which operators take the time."""
    opened = session(path, without, prefix)
    for feed in feeds:
        opened.run(None, dict(feed))
    trace = Path(opened.end_profiling())
    events = json.loads(trace.read_text())
    trace.unlink()
    return operators(events)


def operators(events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Shares of kernel time in ONNX Runtime's profile: integer convolutions, integer matrix products, other
    integer operators, reorders between float and integer (Q/DQ), and the operator types that take the most."""
    durations: dict[str, float] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            kind = event["args"]["op_name"]
            durations[kind] = durations.get(kind, 0.0) + float(event["dur"])
    total = sum(durations.values())
    if total == 0:
        raise SystemExit("the profile of ONNX Runtime holds no kernel")
    share = {kind: value / total for kind, value in durations.items()}
    conv = sum(share.get(kind, 0.0) for kind in CONV_OPS)
    matmul = sum(share.get(kind, 0.0) for kind in MATMUL_OPS)
    other = sum(value for kind, value in share.items() if kind.startswith("QLinear")) - sum(
        share.get(kind, 0.0) for kind in (*CONV_OPS, *MATMUL_OPS) if kind.startswith("QLinear")
    )
    top = sorted(share.items(), key=lambda item: -item[1])[:TOP]
    return {
        "conv": conv,
        "matmul": matmul,
        "other": max(other, 0.0),
        "quantize_dequantize": sum(
            share.get(kind, 0.0) for kind in ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")
        ),
        "top": [{"operator": kind, "share": value} for kind, value in top],
    }
