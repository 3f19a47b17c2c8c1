"""Parity: does an engine compute what its typed ONNX file says?

Three questions, in this order.  Does every layer, fed with the typed model's own tensors, give what the typed model
gives (:mod:`edgekit.verification.layers`)?  Are the outputs, compared as what they are, as near to the typed model's as
INT8's own noise lets one expect (:mod:`edgekit.verification.outputs`)?  And does the task make the same of both
(:mod:`edgekit.verification.agreement`)?  The first finds wrong engines; roundings that add up are judged by the third,
and by the KPIs on accuracy.  An FP32 engine is compared with the PyTorch outputs themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgekit.core.errors import BundleError, CheckFailed
from edgekit.core.golden import FP32, Golden
from edgekit.core.reports import Agreement, OutputParity, Verdict, VerifyReport
from edgekit.core.tensors import Array, Arrays
from edgekit.engine import Backend, Engine
from edgekit.verification.layers import check_layers
from edgekit.verification.limits import LIMITS as LIMITS
from edgekit.verification.limits import Limits, limits_of
from edgekit.verification.outputs import distance, kind_of, ordered_outputs
from edgekit.verification.outputs import max_abs as max_abs
from edgekit.verification.outputs import relative_l2 as relative_l2

_ROUNDING = 1e-6
"""Of an input, relative: what the order of sums and fused operators change in float32, some ten times over."""
_DRAWS = 4


@dataclass(frozen=True)
class Proven:
    """An engine file and what it is held against.

    ``model`` is the typed ONNX file; ``golden`` has the outputs of the model as it was loaded, and under the name of
    the precision those of the typed ONNX file, unoptimised.
    """

    engine: Path
    model: Path
    precision: str
    golden: Golden


def check(
    backend: Backend,
    proven: Proven,
    limits: Limits,
    agreement: Agreement | None = None,
    *,
    bundle: str = "",
    name: str = "",
) -> VerifyReport:
    """All that can be said of an engine here: NumPy and the backend are enough.

    Args:
        backend: that of the target.
        proven: the engine, its typed model and what it is held against.
        limits: see :func:`edgekit.verification.limits.limits_of`.
        agreement: the second check's verdict, where it was asked.
        bundle: name for the report.
        name: engine name for the report.

    Raises:
        BundleError: there is no golden frame, or an output is not there.
    """
    _require_frames(proven.golden)
    layers = check_layers(backend, proven.engine, proven.model, proven.golden, limits)
    with backend.engine(proven.engine) as engine:
        found = compare(
            engine, proven.golden, proven.precision, bundle=bundle, name=name, limits=limits, model=proven.model
        )
    return decided(replace(found, layers=layers, agreement=agreement), proven.precision)


def compare(
    engine: Engine,
    golden: Golden,
    precision: str,
    *,
    bundle: str = "",
    name: str = "",
    limits: Limits | None = None,
    model: Path | None = None,
) -> VerifyReport:
    """Compare the outputs of ``engine`` with its golden outputs.

    Args:
        engine: an open engine.
        golden: see :class:`Proven`.
        precision: of the engine; a key of :data:`LIMITS`.
        bundle: name for the report.
        name: engine name for the report.
        limits: default: those of the precision.
        model: the typed ONNX file: which outputs are ordered by score, and how far rounding errors alone move them.

    Raises:
        BundleError: there is no golden frame, or an output is not there.
    """
    frames, limits = _require_frames(golden), limits or limits_of(precision)
    found: dict[str, list[_Compared]] = {}
    for frame in range(frames):
        for output, result in engine.infer(golden.feeds(frame)).items():
            typed, fp32 = golden.output(frame, output, precision), golden.output(frame, output)
            kept = golden.kept(frame, output, result).copy()
            found.setdefault(output, []).append(_Compared(kept, typed, fp32))
    ordered = frozenset() if model is None else ordered_outputs(model)
    shaken = _Shaken(model, golden) if precision == FP32 and model is not None else None
    outputs = tuple(_output_parity(output, compared, ordered, limits, shaken) for output, compared in found.items())
    verdict = _verdict(all(o.verdict == "pass" for o in outputs))
    return VerifyReport(bundle, name or precision, frames, outputs, verdict)


def decided(report: VerifyReport, precision: str) -> VerifyReport:
    """The verdict over layers, outputs and the second check.

    Outputs over their limit fail an engine unless something that knows better says otherwise: the task that sees no
    difference or, where it was not asked or has too few frames to say, layers that all hold, so that only roundings
    can have added up; of reduced precision only.
    """
    layers, judge = report.layers, report.agreement
    outputs = all(output.verdict == "pass" for output in report.outputs)
    proven = layers is not None and layers.mode == "layers" and layers.verdict == "pass"
    said = "undecided" if judge is None else judge.verdict
    excused = precision != FP32 and (said == "pass" or (said == "undecided" and proven))
    wrong = (layers is not None and layers.verdict == "fail") or said == "fail"
    return replace(report, verdict=_verdict((outputs or excused) and not wrong))


def require(report: VerifyReport) -> None:
    """Raise :class:`CheckFailed`, naming the layer, the output or what the task sees, unless the report passes."""
    if report.verdict == "pass":
        return
    if report.layers is not None and report.layers.departed:
        blamed, more = report.layers.departed[0], len(report.layers.departed) - 1
        further = f" ({more} further {'layer departs' if more == 1 else 'layers depart'} too)" if more else ""
        raise CheckFailed(
            f"engine {report.engine}: a layer does not compute what the typed ONNX says: {blamed}{further}; "
            "build again, and report the model and the runtime's version if it stays"
        )
    if report.agreement is not None and report.agreement.verdict == "fail":
        seen = report.agreement
        raise CheckFailed(
            f"engine {report.engine}: {seen.disagreement:.1%} {seen.measure} against its typed ONNX on {seen.frames} "
            f"frames; allowed {seen.limit:.1%}, and INT8 itself changes {seen.noise:.1%}; see parity in docs/parity.md"
        )
    first = "" if report.departure is None else f"; the first layer that departs is {report.departure}"
    for output in report.outputs:
        if output.verdict != "pass":
            how = "relative L2" if output.kind == "dense" else f"share of the {output.kind} that differs"
            raise CheckFailed(
                f"engine {report.engine}: output {output.output!r} is {output.distance:.2g} ({how}) "
                f"from its typed ONNX; the limit is {output.limit:.3g}{first}; "
                "build again, and report the model if it stays"
            )


@dataclass(frozen=True)
class _Compared:
    """One output on one frame."""

    result: Array
    typed: Array
    fp32: Array


class _Shaken:
    """How far an FP32 model's own outputs move when its inputs move by rounding errors: found when it is asked for."""

    def __init__(self, model: Path, golden: Golden) -> None:
        self._model, self._golden = model, golden
        self._runs: list[tuple[Arrays, Arrays]] | None = None

    def noise(self, output: str, apart: Callable[[Array, Array], float]) -> float:
        """The largest distance of ``output`` over frames and draws."""
        if self._runs is None:
            self._runs = list(self._run())
        return max(apart(moved[output], still[output]) for still, moved in self._runs)

    def _run(self) -> Collection[tuple[Arrays, Arrays]]:
        from edgekit.engine import ort

        random, runs = np.random.default_rng(0), []
        with ort.reference(self._model) as engine:
            for feeds in self._golden.inputs:
                still = {name: array.copy() for name, array in engine.infer(feeds).items()}
                for _ in range(_DRAWS):
                    moved = {name: _moved(array, random) for name, array in feeds.items()}
                    runs.append((still, {name: array.copy() for name, array in engine.infer(moved).items()}))
        return runs


def _moved(array: Array, random: np.random.Generator) -> Array:
    if array.dtype.kind != "f":
        return array
    return (array * (1 + _ROUNDING * random.standard_normal(array.shape))).astype(array.dtype)


def _output_parity(
    output: str, frames: Collection[_Compared], ordered: Collection[str], limits: Limits, shaken: _Shaken | None
) -> OutputParity:
    kind = kind_of(output, [(each.result, each.typed) for each in frames], ordered)

    def apart(result: Array, reference: Array) -> float:
        return distance(kind, result, reference)

    worst = max(apart(each.result, each.typed) for each in frames)
    noise = max(apart(each.typed, each.fp32) for each in frames)
    floor = limits.output_rel_l2 if kind == "dense" else limits.output_share
    limit = _relative(floor, noise, limits)
    if worst > limit and shaken is not None:
        noise = shaken.noise(output, apart)
        limit = _relative(floor, noise, limits)
    alike = all(each.result.shape == each.typed.shape == each.fp32.shape for each in frames)
    numbers = alike and all(each.typed.dtype.kind != "b" for each in frames)
    return OutputParity(
        output,
        max(max_abs(each.result, each.typed) for each in frames) if numbers else None,
        max(relative_l2(each.result, each.typed) for each in frames) if numbers else None,
        max(relative_l2(each.result, each.fp32) for each in frames) if numbers else None,
        limits.output_rel_l2,
        _verdict(worst <= limit),
        kind,
        worst,
        noise,
        limit,
    )


def _relative(floor: float, noise: float, limits: Limits) -> float:
    """In proportion to the model's own noise; one that is farther from FP32 than FP32 is long says nothing more."""
    return floor if floor < 0 or not np.isfinite(noise) else max(floor, limits.output_noise * min(noise, 1.0))


def _require_frames(golden: Golden) -> int:
    if golden.frames == 0:
        raise BundleError("golden.npz holds no frame; run edgekit compress and edgekit build again")
    return golden.frames


def _verdict(holds: bool) -> Verdict:
    return "pass" if holds else "fail"
