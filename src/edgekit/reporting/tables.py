"""Rows of the page's tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from edgekit.core.reports import Difference, EvaluateReport, Interval, Latency, LayerTime, ProfileReport, Slice
from edgekit.reporting import words
from edgekit.reporting.content import Content
from edgekit.reporting.verdict import metric_of

PERCENTILES = {"p50": "p50", "p90": "p90", "p99": "p99", "p999": "p99.9"}
LAYERS = 20
SLICES = 12
ALPHA = 0.05


@dataclass(frozen=True)
class Compared:
    """One number of the control and of the candidate; ``effect`` is better, worse, unclear, same or empty."""

    name: str
    before: str
    after: str
    interval: str
    change: str
    change_interval: str
    p: str
    effect: str
    detail: bool = False


def compared(content: Content) -> list[Compared]:
    """Accuracy, latency, size and memory; metrics of single classes (``iou/car``) are details."""
    rows: list[Compared] = []
    if content.evaluation is not None:
        rows += _accuracy(content, content.evaluation)
    if content.profile is not None:
        rows += _cost(content.profile)
    return rows


def _accuracy(content: Content, evaluation: EvaluateReport) -> Iterator[Compared]:
    names = sorted(evaluation.metrics, key=lambda name: ("/" in name, name != content.headline))
    for name in names:
        after, before = evaluation.metrics[name], (evaluation.control or {}).get(name)
        found = evaluation.differences.get(name)
        yield Compared(
            name,
            words.number(before),
            words.number(after),
            words.interval(evaluation.intervals.get(name)),
            "" if before is None else words.signed(after - before),
            words.interval(found, sign=True),
            p_of(found),
            "" if before is None else effect(after - before, found, content.higher(name)),
            detail="/" in name and name != content.headline,
        )


def effect(change: float, found: Difference | None, higher: bool | None) -> str:
    """``better`` or ``worse``; ``unclear`` where chance may have made the difference.

    Empty without a direction or an interval: nothing says then that the difference is one. A difference is clear
    when its interval leaves out zero, and its p-value, adjusted for all that were tested with it, is below 0.05.
    """
    if higher is None or found is None or (found.low is None and found.high is None):
        return ""
    if not _clear(found):
        return "unclear"
    if change == 0:
        return "same"
    return "better" if (change > 0) == higher else "worse"


def _clear(found: Difference) -> bool:
    if found.low is not None and found.high is not None and found.low <= 0 <= found.high:
        return False
    return found.p_adjusted is None or found.p_adjusted < ALPHA


def p_of(found: Difference | None) -> str:
    """The adjusted p-value, or the plain one where nothing was adjusted."""
    if found is None:
        return ""
    return words.p_value(found.p_value if found.p_adjusted is None else found.p_adjusted)


def _cost(profile: ProfileReport) -> Iterator[Compared]:
    control, after = profile.control, profile.latency_ms
    for key, name in PERCENTILES.items():
        value = getattr(after, key)
        if value is not None:
            speedup = profile.speedup_interval if key == "p50" else None
            before = None if control is None else getattr(control.latency_ms, key)
            yield _ratio(f"latency {name} (ms)", before, value, after.intervals.get(key), speedup)
    yield _ratio("engine size (MiB)", None if control is None else control.size_mib, profile.size_mib)
    memory = {} if control is None else control.memory_mib
    for key, name in (("peak_rss", "peak memory (MiB)"), ("engine", "memory of the engine (MiB)")):
        if key in profile.memory_mib:
            yield _ratio(name, memory.get(key), profile.memory_mib[key])


def _ratio(
    name: str, before: float | None, after: float, found: Any = None, speedup: Interval | None = None
) -> Compared:
    """A number of which less is better; ``speedup`` is the interval of ``before / after``."""
    change, change_interval, result = "", "", ""
    if before and after:
        less = after <= before
        ratio = before / after if less else after / before
        change = "same" if ratio < 1.005 else f"{ratio:.2f}× {'less' if less else 'more'}"
        if speedup is not None and speedup.low and speedup.high:
            ends = (speedup.low, speedup.high) if less else (1 / speedup.high, 1 / speedup.low)
            change_interval = " to ".join(f"{words.number(end)}×" for end in ends)
            result = "better" if speedup.low > 1 else "worse" if speedup.high < 1 else "unclear"
    return Compared(
        name, words.number(before), words.number(after), words.interval(found), change, change_interval, "", result
    )


def latencies(profile: ProfileReport) -> list[tuple[str, ...]]:
    """(percentile, ms, interval, MLPerf bound) of the engine's inference."""
    found = profile.latency_ms
    rows: list[tuple[str, ...]] = []
    for key, name in PERCENTILES.items():
        value = getattr(found, key)
        bound = found.bounds.get(key)
        if value is None and key not in found.bounds:
            continue
        early = "too few queries" if key in found.bounds and bound is None else words.number(bound) if bound else ""
        rows.append((name, words.number(value), words.interval(found.intervals.get(key)), early))
    return rows


def stages(profile: ProfileReport) -> list[tuple[str, ...]]:
    """(stage, p50, p90, p99) in milliseconds."""
    table: Mapping[str, Latency] = profile.stages_ms
    return [(name, *(words.number(v) for v in (t.p50, t.p90, t.p99))) for name, t in table.items()]


@dataclass(frozen=True)
class FallRow:
    """A step of the chain that was chosen: the engine behind it, and what it gained and cost beside the step before."""

    name: str
    ms: str
    gained: str
    metric: str
    cost: str


def waterfall(content: Content) -> list[FallRow]:
    """The steps to the engine that the ladder chose, from the FP32 control on; empty without a ladder."""
    report = content.compress
    if report is None:
        return []
    by_name = {rung.name: rung for rung in report.rungs}
    rungs = [by_name[name] for name in report.waterfall]
    rows = []
    for before, rung in zip([None, *rungs], rungs, strict=False):
        assert rung.latency_ms is not None  # a rung that was not measured leads to none
        assert rung.accuracy is not None
        gained = cost = ""
        if before is not None and before.latency_ms is not None and before.accuracy is not None:
            gained = words.signed(rung.latency_ms.p50 - before.latency_ms.p50)
            cost = words.signed(rung.accuracy - before.accuracy)
        rows.append(FallRow(rung.name, words.number(rung.latency_ms.p50), gained, words.number(rung.accuracy), cost))
    return rows


@dataclass(frozen=True)
class LayerRow:
    """One layer; ``width`` is its bar, 0..100, full for the slowest."""

    name: str
    module: str
    op: str
    dtype: str
    ms: str
    share: str
    width: float
    bound: str
    work: str


def layers(found: tuple[LayerTime, ...]) -> list[LayerRow]:
    """The slowest layers, the slowest first."""
    top = sorted(found, key=lambda layer: -layer.ms)[:LAYERS]
    most = top[0].ms if top and top[0].ms > 0 else 1.0
    return [
        LayerRow(
            layer.node,
            "" if _names(layer.node).startswith(_names(layer.module)) else layer.module,
            layer.op,
            layer.dtype,
            words.duration(layer.ms),
            words.share(layer.share),
            100 * layer.ms / most,
            layer.bound or "",
            f"{words.amount(layer.flops, 'FLOP')}, {words.amount(layer.bytes, 'B')}"
            if layer.flops is not None or layer.bytes is not None
            else "",
        )
        for layer in top
    ]


def _names(path: str) -> str:
    return path.strip("/.").replace("/", ".")


@dataclass(frozen=True)
class SliceRow:
    """One metric on one slice; ``low``, ``middle``, ``high`` of the difference are 0..100, 50 is no difference."""

    column: str
    value: str
    frames: int
    metric: str
    measured: str
    interval: str
    difference: str
    difference_interval: str
    p: str
    effect: str
    low: float | None
    middle: float | None
    high: float | None
    detail: bool = False


def slices(content: Content) -> list[SliceRow]:
    """The headline metric and every metric with a KPI, by column, the worst difference first.

    Of more than 12 rows those are details that show no clear difference and have no KPI.
    """
    evaluation = content.evaluation
    if evaluation is None or content.headline is None:
        return []
    limited = [metric_of(kpi) for kpi in content.gate.kpis] if content.gate is not None else []
    names = list(dict.fromkeys([content.headline, *limited]))
    shown = [(name, part) for name in names for part in evaluation.slices if name in part.metrics]
    reach = max((_reach(part.differences.get(name)) for name, part in shown), default=0.0) or 1.0
    rows = [(name, part, _slice(name, part, content.higher(name), reach)) for name, part in shown]
    columns = list(dict.fromkeys(part.column for _, part in shown))
    rows.sort(key=lambda r: (columns.index(r[1].column), names.index(r[0]), _badness(r[1], r[0], content.higher(r[0]))))
    wanted = {kpi.where for kpi in content.gate.kpis} if content.gate is not None else set()
    return [replace(row, detail=len(rows) > SLICES and not _matters(row, wanted)) for _, _, row in rows]


def _matters(row: SliceRow, wanted: set[str]) -> bool:
    return row.effect in ("worse", "better") or f"{row.column}={row.value}" in wanted


def _reach(found: Difference | None) -> float:
    ends = () if found is None else (found.value, found.low, found.high)
    return max((abs(end) for end in ends if end is not None), default=0.0)


def _badness(part: Slice, name: str, higher: bool | None) -> float:
    found = part.differences.get(name)
    value = part.metrics[name] if found is None else found.value
    return -value if higher is False else value


def _slice(name: str, part: Slice, higher: bool | None, reach: float) -> SliceRow:
    found = part.differences.get(name)
    ends = (None, None, None) if found is None else (found.low, found.value, found.high)
    low, middle, high = (None if end is None else 50 + 46 * end / reach for end in ends)
    return SliceRow(
        part.column,
        part.value,
        part.frames,
        name,
        words.number(part.metrics[name]),
        words.interval(part.intervals.get(name)),
        "" if found is None else words.signed(found.value),
        words.interval(found, sign=True),
        p_of(found),
        "" if found is None else effect(found.value, found, higher),
        low,
        middle,
        high,
    )
