"""The verdict: one word, one sentence, what to do next, and a row for every KPI."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.core.reports import KpiResult, KpiVerdict
from edgekit.reporting import words
from edgekit.reporting.content import Content

ORDER: tuple[KpiVerdict, ...] = ("fail", "undecided", "pass")
SYMBOLS = {"pass": "✓", "fail": "✗", "undecided": "?", "none": "–"}


@dataclass(frozen=True)
class Step:
    """What to do next, and the section (``#id``) that shows why."""

    text: str
    section: str = ""


@dataclass(frozen=True)
class Strip:
    """A KPI on a line whose middle is its limit; right of it holds. Positions are 0..100."""

    value: float
    low: float | None
    high: float | None
    words: str


@dataclass(frozen=True)
class KpiRow:
    """One limit as the page shows it."""

    name: str
    where: str
    value: str
    interval: str
    limit: str
    verdict: str
    symbol: str
    reason: str
    strip: Strip


@dataclass(frozen=True)
class Banner:
    """The top of the page."""

    verdict: str
    symbol: str
    sentence: str
    facts: tuple[str, ...]
    steps: tuple[Step, ...]


def banner(content: Content, worse: Sequence[str] = ()) -> Banner:
    """Verdict, key facts, next steps: failed KPIs first, then undecided ones, then what got ``worse`` over time."""
    gate = content.gate
    drifts = tuple(Step(text, "#history") for text in worse)
    if gate is None:
        sentence = "No KPI was judged; add limits under kpis in edgekit.yaml."
        return Banner("none", SYMBOLS["none"], sentence, key_facts(content), drifts)
    counts = {verdict: sum(kpi.verdict == verdict for kpi in gate.kpis) for verdict in ORDER}
    total = len(gate.kpis)
    if gate.verdict == "pass" and counts["undecided"]:
        sentence = f"No KPI failed; {counts['undecided']} of {total} cannot be decided yet, which is allowed."
    elif counts["pass"] == total:
        sentence = "Every KPI holds." if total > 1 else "The KPI holds."
    else:
        parts = [f"{counts['fail']} of {total} KPIs failed"] if counts["fail"] else []
        parts += [f"{counts['undecided']} of {total} cannot be decided yet"] if counts["undecided"] else []
        sentence = ", ".join(parts) + "."
    steps = tuple(_step(content, kpi) for kpi in ordered(gate.kpis) if kpi.verdict != "pass")
    return Banner(gate.verdict, SYMBOLS[gate.verdict], sentence, key_facts(content), (*steps, *drifts))


def key_facts(content: Content) -> tuple[str, ...]:
    """Accuracy and speed beside FP32, each in a few words."""
    found = []
    evaluation, profile, name = content.evaluation, content.profile, content.headline
    if evaluation is not None and name is not None:
        text = f"{name} {words.number(evaluation.metrics[name])}"
        before = (evaluation.control or {}).get(name)
        if before is not None:
            text += f" ({words.signed(evaluation.metrics[name] - before)} against FP32)"
        found.append(text)
    if profile is not None:
        found.append(f"median latency {words.number(profile.latency_ms.p50, 'ms')}")
        if profile.speedup_p50 is not None:
            found.append(f"{profile.speedup_p50:.2f}× as fast as FP32")
        found.append(f"engine {words.number(profile.size_mib, 'MiB')}")
    return tuple(found)


def ordered(kpis: tuple[KpiResult, ...]) -> list[KpiResult]:
    """Failed first, then undecided, then passed; the closest to its limit first within each."""
    return sorted(kpis, key=lambda kpi: (ORDER.index(kpi.verdict), kpi.margin / (abs(kpi.limit.value) or 1)))


def kpi_rows(content: Content) -> list[KpiRow]:
    """Rows of the KPI table."""
    if content.gate is None:
        return []
    return [
        KpiRow(
            kpi.name,
            kpi.where,
            _measured(kpi),
            _interval(kpi),
            words.limit(kpi),
            kpi.verdict,
            SYMBOLS[kpi.verdict],
            kpi.reason + " (allowed)" * kpi.allowed,
            strip(kpi),
        )
        for kpi in ordered(content.gate.kpis)
    ]


def strip(kpi: KpiResult) -> Strip:
    """Where the judged number and its interval lie around the limit: 50 is the limit, right of it holds."""
    margins = [] if kpi.interval is None else [_margin(kpi, end) for end in (kpi.interval.low, kpi.interval.high)]
    reach = max(abs(end) for end in (kpi.margin, *margins) if end is not None) or 1.0
    places = [None if end is None else 50 + 44 * end / reach for end in margins]
    low, high = sorted(found) if len(found := [place for place in places if place is not None]) == 2 else (None, None)
    distance = words.number(abs(kpi.margin), unit_of(kpi))
    text = "exactly at the limit" if kpi.margin == 0 else f"{distance} {'to spare' if kpi.margin > 0 else 'beyond'}"
    return Strip(50 + 44 * kpi.margin / reach, low, high, text)


def _margin(kpi: KpiResult, end: float | None) -> float | None:
    """The margin if the judged number (the value, a drop or a ratio) were ``end``."""
    if end is None:
        return None
    limit = float(kpi.limit.value)
    return end - limit if kpi.limit.kind == "min" else limit - end


def metric_of(kpi: KpiResult) -> str:
    """What is judged: a KPI may have a name of its own."""
    return kpi.limit.metric or kpi.name


def unit_of(kpi: KpiResult) -> str:
    """The unit of the judged number; a ratio has none."""
    return "" if kpi.limit.ratio is not None else kpi.unit


def _measured(kpi: KpiResult) -> str:
    value, drop, ratio = words.number(kpi.value, kpi.unit), kpi.limit.drop, kpi.limit.ratio
    if drop is not None:
        return f"{value} ({words.number(abs(drop), kpi.unit)} {'worse' if drop > 0 else 'better'})"
    return value if ratio is None else f"{value} ({words.times_baseline(kpi, ratio)})"


def _interval(kpi: KpiResult) -> str:
    """The interval of what is judged: of the drop, of the ratio or of the value itself."""
    if kpi.limit.drop is not None:
        return words.worsening(kpi.interval)
    found = words.interval(kpi.interval)
    return words.times_baseline(kpi, kpi.limit.ratio, found) if found and kpi.limit.ratio is not None else found


def _step(content: Content, kpi: KpiResult) -> Step:
    name = f"{kpi.name} where {kpi.where}" if kpi.where else kpi.name
    if kpi.verdict == "undecided":
        return Step(f"{name}: {kpi.reason or _undecided(content, kpi)}".rstrip(".") + ".")
    text = f"{name}: {_measured(kpi)}; allowed is {words.limit(kpi)}."
    hint, section = _hint(content, kpi)
    return Step(f"{text} {hint}".strip(), section)


def _undecided(content: Content, kpi: KpiResult) -> str:
    profile, evaluation = content.profile, content.evaluation
    accuracy = evaluation is not None and metric_of(kpi) in evaluation.metrics
    units = kpi.units or ("frames" if accuracy else "queries")
    have = evaluation.frames if accuracy and evaluation else profile.latency_ms.samples if profile else None
    if kpi.needed is None:
        return f"its interval ({_interval(kpi)}) contains the limit; measure more {units}."
    return f"cannot be decided with {have:,} {units}; {kpi.needed:,} are needed."


def _hint(content: Content, kpi: KpiResult) -> tuple[str, str]:
    """What most likely helps, and the section that shows it."""
    profile, evaluation, metric = content.profile, content.evaluation, metric_of(kpi)
    if evaluation is not None and metric in evaluation.metrics:
        hint = "Run edgekit sensitivity to see which layers cost accuracy."
        return hint, "#slices" if evaluation.slices else "#worst" if evaluation.worst else "#compare"
    if profile is not None and metric.startswith(("latency", "total", "speedup")):
        if not profile.layers:
            return "A profile with layer times would show where the time goes.", "#latency"
        slowest = max(profile.layers, key=lambda layer: layer.ms)
        return f"The slowest layer, {slowest.node}, takes {words.share(slowest.share)} of the time.", "#layers"
    return "", "#resources" if "memory" in metric else "#compare"
