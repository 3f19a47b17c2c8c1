"""What limits a layer here: arithmetic, memory traffic, or neither.

The roofline model of Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for
multicore architectures", Communications of the ACM 52(4), 2009.  A layer cannot be faster than its
operations at the machine's peak, nor than its bytes at the machine's bandwidth; both are measured.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from edgekit.core.errors import InputError
from edgekit.core.reports import LayerTime, PeaksReport
from edgekit.engine import Engine, LayerEvent

Bound = Literal["compute", "memory", "overhead"]

EXPLAINED = 0.2
"""A layer that takes more than five times what compute and memory ask for is bound by something else."""

WORKING_SETS = (2**18, 2**21, 2**24, 2**27)
"""Bytes read and written: inner caches, outer caches, memory."""

_CONV = frozenset({"Conv", "ConvInteger", "FusedConv", "NhwcFusedConv", "QLinearConv"})
_CONV |= {"Convolution"}  # of OpenVINO, as are the next three
_TRANSPOSED = frozenset({"ConvTranspose", "Deconvolution"})
_MATMUL = frozenset({"FusedGemm", "FusedMatMul", "Gemm", "MatMul", "MatMulInteger", "QGemm", "QLinearMatMul"})
_MATMUL |= {"DynamicQuantizeMatMul", "FullyConnected", "MatMulIntegerToFloat"}
_MOVES = frozenset({"Concat", "Expand", "Flatten", "Gather", "Identity", "Pad", "Reshape", "Slice", "Split", "Squeeze"})
_MOVES |= {
    "DepthToSpace",
    "QLinearConcat",
    "Reorder",
    "ReorderInput",
    "ReorderOutput",
    "SpaceToDepth",
    "Transpose",
    "Unsqueeze",
}
_REDUCTIONS = frozenset({"ArgMax", "GlobalAveragePool", "GlobalMaxPool", "QLinearGlobalAveragePool"})
_REDUCTIONS |= {"QLinearReduceMean", "ReduceMax", "ReduceMean", "ReduceSum"}
_ELEMENTWISE = frozenset({"Add", "Cast", "Clip", "DequantizeLinear", "Div", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid"})
_ELEMENTWISE |= {"HardSwish", "LeakyRelu", "Mul", "PRelu", "Pow", "QLinearAdd", "QLinearLeakyRelu", "QLinearMul"}
_ELEMENTWISE |= {"QLinearSigmoid", "QuantizeLinear", "QuickGelu", "Relu", "Sigmoid", "Softplus", "Sqrt", "Sub", "Tanh"}


def flops(event: LayerEvent) -> int | None:
    """Operations of one run; a multiplication and an addition are two. None: not known for this operator.

    Exact for convolutions (groups, transposed, integer) and matrix products, with padding counted as if it were
    data and biases and activations left out, as is usual. Otherwise one per element: of the result of an elementwise
    operator, of the operand of a reduction; 0 for what only moves data.
    """
    if event.op in _MOVES:
        return 0
    if not event.inputs or not event.outputs:
        return None
    if event.op in _CONV | _TRANSPOSED:
        return _convolution(event)
    if event.op in _MATMUL:
        left = event.inputs[0].shape
        depth = left[-2] if event.attributes.get("transA") and len(left) > 1 else left[-1] if left else 1
        return 2 * event.outputs[0].elements * depth
    if event.op in _REDUCTIONS:
        return event.inputs[0].elements
    return event.outputs[0].elements if event.op in _ELEMENTWISE else None


def _convolution(event: LayerEvent) -> int | None:
    # Every position of the result (transposed: of the operand) meets each weight once.
    shape = (event.inputs if event.op in _TRANSPOSED else event.outputs)[0].shape
    if event.weight is None or len(shape) < 3:
        return None
    channels = shape[-1] if event.attributes.get("channels_last") else shape[1]
    return 2 * math.prod(shape) // max(channels, 1) * event.weight.elements


def traffic(event: LayerEvent) -> int | None:
    """Bytes of all inputs (weights too) and outputs: what a layer that keeps nothing in a cache must move."""
    sizes = [tensor.bytes for tensor in (*event.inputs, *event.outputs)]
    return None if None in sizes else sum(size for size in sizes if size is not None)


@dataclass(frozen=True)
class Peaks:
    """Measured limits: operations per second by dtype (``float32``, ``int8``), and bytes per second by working set.

    ``bandwidth`` holds (bytes read and written again and again, bytes per second), the smallest set first.
    """

    operations: Mapping[str, float]
    bandwidth: tuple[tuple[int, float], ...]
    threads: int = 1

    def __post_init__(self) -> None:
        rates = (*self.operations.values(), *(rate for _, rate in self.bandwidth))
        sizes = [size for size, _ in self.bandwidth]
        if not sizes or sizes != sorted(set(sizes)) or not all(math.isfinite(r) and r > 0 for r in rates):
            raise InputError(
                f"peaks need rates > 0 and growing working sets; found {self.operations}, {self.bandwidth}"
            )

    def compute_ms(self, operations: int, dtype: str) -> float | None:
        """The least time for ``operations``; None: the peak of ``dtype`` was not measured."""
        peak = self.operations.get("int8" if dtype == "uint8" else dtype)
        return 0.0 if operations == 0 else None if peak is None else operations / peak * 1e3

    def memory_ms(self, size: int) -> float:
        """The least time to move ``size`` bytes, if they are as near as a set of their size can be."""
        rate = next((rate for holds, rate in self.bandwidth if size <= holds), self.bandwidth[-1][1])
        return size / rate * 1e3

    def report(self) -> PeaksReport:
        """For a report: GFLOP/s (int8: GOP/s) by dtype, GB/s by working set in MiB."""
        return PeaksReport(
            gflops={dtype: rate / 1e9 for dtype, rate in self.operations.items()},
            bandwidth_gb_s={f"{size / 2**20:g}": rate / 1e9 for size, rate in self.bandwidth},
            threads=self.threads,
        )


def measure_peaks(engine: Engine, seconds: float = 0.2) -> Peaks:
    """Peaks with the threads of an open engine, in about six times ``seconds``.

    The runtime of the engine measures operations (:meth:`edgekit.engine.Engine.measure_peaks`), NumPy's copy
    the bandwidth.
    """
    threads = int(engine.describe().get("threads", 1))
    bandwidth = tuple((size, measure_bandwidth(size, threads, seconds)) for size in WORKING_SETS)
    return Peaks(engine.measure_peaks(seconds), bandwidth, threads)


def measure_bandwidth(working_set: int, threads: int = 1, seconds: float = 0.2) -> float:
    """Bytes per second, read and written, of the fastest copy inside ``working_set`` bytes.

    Processors that read a cache line before they write it move half as much again, which is not counted.
    """

    def copy(_: int) -> float:
        source = np.ones(max(working_set // threads // 2, 64), np.uint8)
        target = np.zeros_like(source)
        best, end = math.inf, time.perf_counter() + seconds
        while best == math.inf or time.perf_counter() < end:
            start = time.perf_counter()
            np.copyto(target, source)
            best = min(best, time.perf_counter() - start)
        return 2 * source.nbytes / best

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(copy, range(threads)))


def attained(layer: LayerTime, peaks: Peaks) -> float | None:
    """Share of the layer's time that the nearer of the two limits explains, at most 1; None: not known."""
    limits = [limit for limit in _limits(layer, peaks) if limit is not None]
    return None if not limits else 1.0 if layer.ms <= 0 else min(1.0, max(limits) / layer.ms)


def bound(layer: LayerTime, peaks: Peaks) -> Bound | None:
    """What limits a layer; ``overhead`` when neither compute nor memory explains a fifth of its time.

    None when memory does not explain the time, and the operations or the peak of the dtype are not known.
    """
    compute, memory = _limits(layer, peaks)
    share = attained(layer, peaks)
    if share is None:
        return None
    if share < EXPLAINED:
        return None if compute is None else "overhead"
    return "compute" if (compute or 0.0) > (memory or 0.0) else "memory"


def annotate(layers: Iterable[LayerTime], peaks: Peaks) -> tuple[LayerTime, ...]:
    """The layers with :attr:`~edgekit.core.reports.LayerTime.bound` filled in."""
    return tuple(dataclasses.replace(layer, bound=bound(layer, peaks)) for layer in layers)


def hint(layer: LayerTime, peaks: Peaks) -> str:
    """What limits the layer and what to try, in one line; empty when nothing is known about it."""
    limit, share = bound(layer, peaks), attained(layer, peaks)
    if share is None:
        return ""
    if limit is None:
        unknown = f"operations of {layer.op} are" if layer.flops is None else f"peak of {layer.dtype} is"
        return f"memory explains {share:.0%} of the time; the {unknown} not known here"
    if limit == "compute":
        narrower = ", or compute in int8" if layer.dtype.startswith("float") else ""
        return f"compute-bound: {share:.0%} of the peak; fewer channels or a smaller resolution{narrower}"
    if limit == "memory":
        per_byte = intensity(layer)
        said = "" if per_byte is None else f"{per_byte:.1f} FLOP/B, "
        return f"memory-bound: {said}{share:.0%} of the bandwidth; fuse it or shrink its activations"
    return (
        f"overhead: compute and memory explain {share:.0%} of the time; too small to fill the machine, "
        "or a slow kernel for this shape: merge it, or use channels in multiples of 16"
    )


def intensity(layer: LayerTime) -> float | None:
    """Operations per byte."""
    return layer.flops / layer.bytes if layer.flops is not None and layer.bytes else None


def chart(layers: Iterable[LayerTime], peaks: Peaks) -> dict[str, Any]:
    """A roofline chart as data: the peaks, and a point for every layer that computes."""
    points = [
        {
            "node": layer.node,
            "module": layer.module,
            "dtype": layer.dtype,
            "flop_per_byte": intensity(layer),
            "gflops": layer.flops / layer.ms / 1e6,
            "ms": layer.ms,
            "bound": layer.bound,
        }
        for layer in layers
        if layer.flops and layer.bytes and layer.ms > 0
    ]
    return {"peaks": peaks.report().to_dict(), "points": points}


def _limits(layer: LayerTime, peaks: Peaks) -> tuple[float | None, float | None]:
    compute = None if layer.flops is None else peaks.compute_ms(layer.flops, layer.dtype)
    return compute, None if layer.bytes is None else peaks.memory_ms(layer.bytes)
