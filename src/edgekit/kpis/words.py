"""A KPI's result in words, the same on the terminal, in Markdown and in JUnit files."""

from __future__ import annotations

from edgekit.core.reports import Interval, KpiResult

HEADER = ("KPI", "value", "limit", "margin", "verdict")
_DROPS = {"max_drop": "control", "baseline_drop": "baseline", "baseline_ratio": "baseline"}


def row(result: KpiResult) -> tuple[str, str, str, str, str]:
    """The cells under :data:`HEADER`."""
    return (title(result), value(result), limit(result), f"{result.margin:+.4g}", verdict(result))


def title(result: KpiResult) -> str:
    """The KPI's name, with its metric where that is another, and its slice."""
    metric = f" ({result.limit.metric})" if result.limit.metric is not None else ""
    where = f" [{result.where}]" if result.where else ""
    return f"{result.name}{metric}{where}"


def value(result: KpiResult) -> str:
    """What was measured, with its interval where the limit is on the value itself."""
    found = f"{result.value:.4g}"
    if result.interval is not None and result.limit.kind not in _DROPS:
        found += f" {between(result.interval)}"
    under = f" ({result.limit.under})" if result.limit.under is not None else ""
    return f"{found} {result.unit}".rstrip() + under


def limit(result: KpiResult) -> str:
    """What it is held against; a drop comes with its interval and with what it is a drop from."""
    kind, most = result.limit.kind, result.limit.value
    if kind not in _DROPS:
        return f"{'>=' if kind == 'min' else '<='} {most:g}"
    name, found = ("ratio", result.limit.ratio) if kind == "baseline_ratio" else ("drop", result.limit.drop)
    interval = "" if result.interval is None else f" {between(result.interval)}"
    of = result.limit.control if kind == "max_drop" else result.limit.baseline
    return f"{name} {_number(found)}{interval} <= {most:g} ({_DROPS[kind]} {_number(of)})"


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.4f}"


def between(interval: Interval) -> str:
    """``[low, high]``; an end that the data cannot give is a question mark."""
    low, high = ("?" if end is None else f"{end:.4g}" for end in (interval.low, interval.high))
    return f"[{low}, {high}]"


def verdict(result: KpiResult) -> str:
    """The verdict; an undecided one with the number that would decide it."""
    if result.verdict != "undecided":
        return result.verdict
    allowed = ", allowed" if result.allowed else ""
    return f"undecided{allowed} ({reason(result)})"


def reason(result: KpiResult) -> str:
    """Why the verdict is what it is, in one sentence."""
    return result.reason or f"{value(result)}; limit: {limit(result)}"


def counts(results: tuple[KpiResult, ...]) -> str:
    """``3 pass, 1 fail, 2 undecided``; what does not occur is left out."""
    found = {name: sum(r.verdict == name for r in results) for name in ("pass", "fail", "undecided")}
    return ", ".join(f"{count} {name}" for name, count in found.items() if count)
