"""Parity: does an engine compute what its typed ONNX file says?

The reference of an INT8 engine is the typed model run without any graph
optimisation, so a difference is the engine's own.  The distance to the PyTorch
outputs is reported beside it: that is the price of quantization, which KPIs on
accuracy judge.  An FP32 engine is compared with the PyTorch outputs themselves.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgekit.core.errors import BundleError, CheckFailed
from edgekit.core.golden import feeds_of, frames_of
from edgekit.core.reports import OutputParity, Verdict, VerifyReport
from edgekit.core.tensors import Array
from edgekit.engine import Engine

# Relative L2 limits by precision.  FP32 engines reorder sums; 16-bit and INT8 engines
# also round at other places than the written graph does.
LIMITS = {"fp32": 1e-4, "fp16": 0.01, "bf16": 0.05, "int8": 0.05}


def compare(
    engine: Engine,
    golden: Mapping[str, Array],
    precision: str,
    *,
    bundle: str = "",
    name: str = "",
    limit_rel_l2: float | None = None,
) -> VerifyReport:
    """Compare ``engine`` with its golden outputs.

    Args:
        engine: an open engine.
        golden: ``input.<i>.<name>``, ``output.<i>.<name>`` (PyTorch) and
            ``int8.<i>.<name>`` (typed ONNX, unoptimised).
        precision: a key of :data:`LIMITS`.
        bundle: name for the report.
        name: engine name for the report.
        limit_rel_l2: overrides :data:`LIMITS`.

    Raises:
        BundleError: the golden file has no frame or lacks an output.
    """
    frames = frames_of(golden)
    reference = "output" if precision == "fp32" else precision
    if frames == 0:
        raise BundleError("golden.npz holds no frame; run edgekit compress and edgekit build again")
    limit = LIMITS[precision] if limit_rel_l2 is None else limit_rel_l2
    worst: dict[str, tuple[float, float, float]] = {}
    for frame in range(frames):
        results = engine.infer(feeds_of(golden, frame))
        for output, result in results.items():
            try:
                typed, fp32 = golden[f"{reference}.{frame}.{output}"], golden[f"output.{frame}.{output}"]
            except KeyError as error:
                raise BundleError(f"golden.npz lacks {error.args[0]!r}; run edgekit compress again") from None
            errors = (max_abs(result, typed), relative_l2(result, typed), relative_l2(result, fp32))
            seen = worst.get(output, (0.0, 0.0, 0.0))
            worst[output] = (max(seen[0], errors[0]), max(seen[1], errors[1]), max(seen[2], errors[2]))
    outputs = tuple(OutputParity(o, *e, limit, _verdict(e[1] <= limit)) for o, e in worst.items())
    verdict = _verdict(all(o.verdict == "pass" for o in outputs))
    return VerifyReport(bundle, name or precision, frames, outputs, verdict)


def require(report: VerifyReport) -> None:
    """Raise :class:`CheckFailed`, naming an output, and the layer if known, unless the report passes."""
    first = "" if report.departure is None else f"; the first layer that departs is {report.departure}"
    for output in report.outputs:
        if output.verdict != "pass":
            raise CheckFailed(
                f"engine {report.engine}: output {output.output!r} is {output.rel_l2:.2g} "
                f"(relative L2) from its typed ONNX; "
                f"the limit is {output.limit_rel_l2:g}{first}; build again, and report the model if it stays"
            )


def max_abs(result: Array, reference: Array) -> float:
    """Largest absolute difference; infinity when anything is not finite."""
    difference = np.abs(result.astype(np.float64) - reference.astype(np.float64))
    return float(difference.max()) if np.isfinite(difference).all() else float("inf")


def relative_l2(result: Array, reference: Array) -> float:
    """``|result - reference| / |reference|``; infinity when anything is not finite."""
    difference = float(np.linalg.norm(result.astype(np.float64) - reference.astype(np.float64)))
    norm = float(np.linalg.norm(reference.astype(np.float64)))
    if not np.isfinite(difference):
        return float("inf")
    return difference / norm if norm > 0 else (0.0 if difference == 0 else float("inf"))


def _verdict(holds: bool) -> Verdict:
    return "pass" if holds else "fail"
