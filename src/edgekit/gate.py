"""KPIs against measured numbers: a verdict for each, and one for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgekit.core.errors import SpecError
from edgekit.core.plugins import allowed
from edgekit.core.reports import EvaluateReport, GateReport, KpiResult, Metric, ProfileReport, Verdict
from edgekit.core.spec import Kpi

PROFILE_METRICS = (
    Metric("latency_p50_ms", False, "ms"),
    Metric("latency_p90_ms", False, "ms"),
    Metric("latency_p99_ms", False, "ms"),
    Metric("total_p50_ms", False, "ms"),
    Metric("total_p99_ms", False, "ms"),
    Metric("peak_memory_mib", False, "MiB"),
    Metric("engine_memory_mib", False, "MiB"),
    Metric("size_mib", False, "MiB"),
    Metric("speedup_p50", True, "x"),
)


@dataclass(frozen=True)
class Measured:
    """A number, its direction, and the FP32 control's number on the same frames."""

    metric: Metric
    value: float
    control: float | None = None


def measured(evaluation: EvaluateReport, profile: ProfileReport, metrics: tuple[Metric, ...]) -> dict[str, Measured]:
    """Every number that a KPI can name."""
    control = evaluation.control or {}
    table = {
        m.name: Measured(m, evaluation.metrics[m.name], control.get(m.name))
        for m in metrics
        if m.name in evaluation.metrics
    }
    values = profile_values(profile)
    table.update({m.name: Measured(m, values[m.name]) for m in PROFILE_METRICS if m.name in values})
    return table


def profile_values(profile: ProfileReport) -> dict[str, float]:
    """A profile's numbers under their KPI names."""
    values = {f"latency_{p}_ms": getattr(profile.latency_ms, p) for p in ("p50", "p90", "p99")}
    values |= {f"total_{p}_ms": getattr(profile.stages_ms["total"], p) for p in ("p50", "p99")}
    values["peak_memory_mib"] = profile.memory_mib["peak_rss"]
    values["engine_memory_mib"] = profile.memory_mib["engine"]
    values["size_mib"] = profile.size_mib
    if profile.speedup_p50 is not None:
        values["speedup_p50"] = profile.speedup_p50
    return values


def judge(kpis: Mapping[str, Kpi], target: str, numbers: Mapping[str, Measured], bundle: str = "") -> GateReport:
    """Judge every KPI that applies to ``target``.

    Raises:
        SpecError: no KPI applies, a KPI names what was not measured, or its limit
            contradicts the metric's direction.
    """
    results: list[KpiResult] = []
    elsewhere = tuple(name for name, kpi in kpis.items() if kpi.target not in (None, target))
    for name, kpi in kpis.items():
        if name in elsewhere:
            continue
        if name not in numbers:
            raise SpecError(f"kpis.{name}: not measured; {allowed(name, tuple(numbers))}")
        results += _judge(name, kpi, numbers[name])
    if not results:
        raise SpecError(f"no KPI applies to target {target!r}; add one under kpis, e.g. latency_p99_ms: {{max: 33.3}}")
    verdict: Verdict = "pass" if all(r.verdict == "pass" for r in results) else "fail"
    return GateReport(bundle, target, verdict, tuple(results), elsewhere)


def _judge(name: str, kpi: Kpi, number: Measured) -> list[KpiResult]:
    metric, value = number.metric, number.value
    wrong = "max" if metric.higher else "min"
    if getattr(kpi, wrong) is not None:
        right = "min" if metric.higher else "max"
        better = "higher" if metric.higher else "lower"
        raise SpecError(f"kpis.{name}: {wrong} contradicts the metric ({better} is better); use {right}")
    if not (value == value and number.control == number.control):
        raise SpecError(f"kpis.{name}: the measured value is NaN; look at the evaluation before judging it")
    results = []
    if kpi.min is not None:
        results.append(_result(name, value, {"kind": "min", "value": kpi.min}, value - kpi.min, metric))
    if kpi.max is not None:
        results.append(_result(name, value, {"kind": "max", "value": kpi.max}, kpi.max - value, metric))
    if kpi.max_drop is not None:
        if number.control is None:
            raise SpecError(f"kpis.{name}: max_drop needs the FP32 control, which has no {name}; use min or max")
        # Rounded, so that 0.72 to 0.70 is a drop of 0.02 and not of 0.020000000000000018.
        drop = round(number.control - value if metric.higher else value - number.control, 12)
        limit: dict[str, Any] = {"kind": "max_drop", "value": kpi.max_drop, "control": number.control, "drop": drop}
        results.append(_result(name, value, limit, kpi.max_drop - drop, metric))
    return results


def _result(name: str, value: float, limit: dict[str, Any], margin: float, metric: Metric) -> KpiResult:
    return KpiResult(name, value, limit, margin, metric.unit, "pass" if margin >= 0 else "fail")
