"""The gate's verdict as Markdown, for the step summary of GitHub Actions or a comment."""

from __future__ import annotations

from edgekit.core.reports import GateReport
from edgekit.kpis import words

_SIGNS = {"pass": "✅", "fail": "❌", "undecided": "❔"}


def markdown(report: GateReport) -> str:
    """Verdict on top, one table row per limit, the reasons of what did not pass below it."""
    lines = [f"## {_SIGNS[report.verdict]} {report.verdict.upper()}: {_cell(report.bundle or report.target)}", ""]
    facts = [words.counts(report.kpis), f"target {_cell(report.target)}"]
    if report.baseline is not None:
        facts.append(f"baseline {_cell(report.baseline)}")
    for warning in report.warnings:
        lines += [f"⚠️ {_cell(warning)}", ""]
    lines += [" · ".join(facts), "", _row(words.HEADER), "|---|---:|---:|---:|---|"]
    for result in report.kpis:
        *cells, _ = words.row(result)
        verdict = "undecided, allowed" if result.allowed else result.verdict
        lines.append(_row([*cells, f"{_SIGNS[result.verdict]} {verdict}"]))
    reasons = [f"- **{_cell(words.title(r))}**: {_cell(r.reason)}" for r in report.kpis if r.reason]
    reasons += [f"- **{_cell(name)}** is undecided: {_cell(why)}" for name, why in report.unmeasured.items()]
    advice = report.race.advice() if report.race is not None else ""
    reasons += [f"- {_cell(advice)}"] if advice else []
    if reasons:
        lines += ["", *reasons]
    if report.not_applicable:
        lines += ["", f"For another target, not judged: {', '.join(map(_cell, report.not_applicable))}"]
    return "\n".join(lines) + "\n"


def _row(cells: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    """Text that cannot end a cell, a row or become markup."""
    escaped = "".join(f"\\{c}" if c in "\\`*_[]<>|" else c for c in text)
    return " ".join(escaped.split())
