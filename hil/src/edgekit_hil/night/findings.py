"""KPIs that do not hold, in words, and how they read in another run."""

from __future__ import annotations

from edgekit.core.reports import GateReport, KpiResult
from edgekit.kpis import words
from edgekit_hil.night.report import Finding, Reading
from edgekit_hil.report import RunReport


def findings(gate: GateReport | None) -> tuple[Finding, ...]:
    """Every failed limit of a gate, in its order; none without a gate."""
    return tuple(_finding(kpi) for kpi in gate.kpis if kpi.verdict == "fail") if gate is not None else ()


def reading(report: RunReport, wanted: Finding) -> tuple[Reading, str]:
    """How one limit reads in a run, and a sentence on it."""
    if report.verdict == "infrastructure":
        return "infrastructure", report.why
    kpi = next((k for k in report.gate.kpis if _same(k, wanted)), None) if report.gate is not None else None
    if kpi is None:
        return "undecided", f"{wanted.title} was not judged: {report.why}"
    said: Reading = {"pass": "good", "fail": "bad"}.get(kpi.verdict, "undecided")  # type: ignore[assignment]
    return said, amount(kpi)


def amount(kpi: KpiResult) -> str:
    """By how much: against the baseline or the control where the limit is, else the value; with its interval."""
    limit, unit = kpi.limit, f" {kpi.unit}" if kpi.unit else ""
    sure = f", interval {words.between(kpi.interval)}" if kpi.interval is not None else ""
    if limit.kind == "baseline_ratio" and limit.ratio is not None:
        change = limit.ratio - 1
        levels = f"{_number(limit.baseline)} -> {_number(kpi.value)}{unit}"
        return f"{abs(change):.1%} {_way(change)} than last-good: {levels} (ratio {limit.ratio:.4g}{sure})"
    if limit.kind in ("baseline_drop", "max_drop") and limit.drop is not None:
        name, before = (
            ("last-good", limit.baseline) if limit.kind == "baseline_drop" else ("the control", limit.control)
        )
        levels = f"{_number(before)} -> {_number(kpi.value)}{unit}"
        return f"{abs(limit.drop):.4g}{unit} {_way(limit.drop)} than {name}: {levels} (drop {limit.drop:.4g}{sure})"
    return f"{_number(kpi.value)}{unit}{sure.replace(', ', ' (', 1) + ')' if sure else ''}"


def _finding(kpi: KpiResult) -> Finding:
    title = words.title(kpi)
    return Finding(title, kpi.limit.kind, kpi.limit.metric or kpi.name, kpi.where, amount(kpi), asked(kpi))


def asked(kpi: KpiResult) -> str:
    """The limit in words."""
    kind, most = kpi.limit.kind, f"{kpi.limit.value:g}"
    unit = f" {kpi.unit}" if kpi.unit else ""
    if kind == "baseline_ratio":
        return f"at most {kpi.limit.value - 1:.1%} worse than last-good"
    if kind in ("baseline_drop", "max_drop"):
        return f"at most {most}{unit} worse than {'last-good' if kind == 'baseline_drop' else 'the control'}"
    return f"{'at least' if kind == 'min' else 'at most'} {most}{unit}"


def _same(kpi: KpiResult, wanted: Finding) -> bool:
    return (words.title(kpi), kpi.limit.kind) == (wanted.title, wanted.kind)


def _way(change: float) -> str:
    return "worse" if change >= 0 else "better"


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.4g}"
