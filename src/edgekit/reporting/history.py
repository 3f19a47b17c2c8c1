"""Runs of many nights: control charts, what changed in words, and earlier runs as points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timezone

from edgekit.core.reports import ChangePoint, ControlChart, Series
from edgekit.reporting import words
from edgekit.reporting.charts import Chart, Point, chart, plain
from edgekit.reporting.content import Content

SHADE = "var(--grid)"


def charts(content: Content) -> list[Chart]:
    """A control chart for every series of the history."""
    return control_charts(content.history)


def control_charts(found: Sequence[ControlChart]) -> list[Chart]:
    """A picture of every series that has a run: values, limits, changes, and what they say in words."""
    return [_chart(index, one) for index, one in enumerate(found) if len(one.series)]


def _chart(index: int, found: ControlChart) -> Chart:
    import plotly.graph_objects as go

    series = found.series
    dates = [_date(ms) for ms in series.times_ms]
    within = dates[found.start :]
    band = go.Scatter(
        x=[*within, *reversed(within)], y=[found.upper] * len(within) + [found.lower] * len(within), fill="toself",
        fillcolor=SHADE, line={"width": 0}, hoverinfo="skip", name="limits of its noise", mode="lines",
    )  # fmt: skip
    centre = go.Scatter(
        x=within, y=[found.centre] * len(within), mode="lines", hoverinfo="skip", showlegend=False,
        line={"color": "var(--muted)", "width": 1, "dash": "dash"},
    )  # fmt: skip
    values = go.Scatter(
        x=dates, y=list(series.values), mode="lines+markers", name=series.metric,
        line={"color": "var(--candidate)", "width": 1.5}, marker={"color": "var(--candidate)", "size": 6},
        error_y=_whiskers(series),
        text=[plain(" ".join(filter(None, pair))) for pair in zip(series.runs, series.verdicts, strict=True)],
        hovertemplate="%{x}<br>%{y:.5g}<br>%{text}",
    )  # fmt: skip
    outside = go.Scatter(
        x=[dates[i] for i in found.outside], y=[series.values[i] for i in found.outside], mode="markers",
        name="outside", marker={"color": "var(--fail)", "size": 11, "symbol": "x"}, hoverinfo="skip",
    )  # fmt: skip
    note = " ".join(_notes(found))
    shapes = [
        {"type": "line", "x0": _date(change.time_ms), "x1": _date(change.time_ms), "y0": 0, "y1": 1, "yref": "paper",
         "line": {"color": "var(--fail)", "width": 1.5, "dash": "dot"}}
        for change in found.changes
    ]  # fmt: skip
    return chart(
        f"history-{index}", series.metric, note, f"Control chart of {series.metric} over {len(series)} runs. {note}",
        [band, centre, values, *([outside] if found.outside else [])], 300, shapes=shapes,
        xaxis={"type": "date"}, yaxis={"title": {"text": plain(series.unit or series.metric)}, "range": _range(found)},
    )  # fmt: skip


def _range(found: ControlChart) -> list[float]:
    """The axis around all that is drawn; around a series that never changed a twentieth of its value."""
    series = found.series
    drawn = [end for end in (*series.values, *series.low, *series.high, found.lower, found.upper) if end is not None]
    low, high = min(drawn), max(drawn)
    level = max(abs(low), abs(high))
    margin = 0.08 * (high - low) if high - low > 1e-6 * level else 0.05 * level or 1.0
    return [low - margin, high + margin]


def _whiskers(series: Series) -> dict[str, object] | None:
    if not any(end is not None for end in (*series.low, *series.high)):
        return None
    above = [0.0 if end is None else end - value for end, value in zip(series.high, series.values, strict=True)]
    below = [0.0 if end is None else value - end for end, value in zip(series.low, series.values, strict=True)]
    return {
        "array": above,
        "arrayminus": below,
        "symmetric": False,
        "color": "var(--muted)",
        "thickness": 1,
        "width": 0,
    }


def _notes(found: ControlChart) -> Iterator[str]:
    for change in found.changes:
        yield _change(found.series, change)
    last, runs = len(found.series) - 1, len(found.outside)
    limits = f"{words.number(found.lower)} to {words.number(found.upper, found.series.unit)}"
    if last in found.outside:
        newest = f"he newest run, {words.number(found.series.values[last])}, lies outside the limits, {limits}."
        yield f"T{newest}" if found.changes else f"No lasting change; t{newest}"
    elif not found.changes:
        earlier = f"{runs} earlier {'run lies' if runs == 1 else 'runs lie'} outside the limits, {limits}"
        yield f"No lasting change; {earlier}." if runs else "No change beyond the noise of the runs."
    if found.series.excluded:
        yield f"{found.series.excluded} runs on other data or another machine are left out."


def _change(series: Series, change: ChangePoint) -> str:
    verb = "rose" if change.change > 0 else "fell"
    levels = f"from {words.number(change.before)} to {words.number(change.after, series.unit)}"
    day = _date(change.time_ms)[:10]
    return f"It {verb} {levels} on {day} with run {change.run} ({change.direction}, {change.confidence:.1%} sure)."


def worse(content: Content) -> list[str]:
    """What got worse, a sentence per change, for the top of the page."""
    return [
        f"{found.series.metric}: {_change(found.series, change)}"
        for found in content.history
        for change in found.changes
        if change.direction == "worse"
    ]


def points(content: Content) -> list[Point]:
    """Earlier runs that have both the headline metric and a median latency; the newest is the candidate itself."""
    series = {found.series.metric: found.series for found in content.history}
    accuracy, latency = series.get(content.headline or ""), series.get("latency_p50_ms")
    if accuracy is None or latency is None:
        return []
    times = dict(zip(latency.runs, latency.values, strict=True))
    pairs = [
        (run, times[run], value) for run, value in zip(accuracy.runs, accuracy.values, strict=True) if run in times
    ]
    return [Point("earlier run", run, ms, value) for run, ms, value in pairs[:-1]]


def _date(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, timezone.utc).strftime("%Y-%m-%d %H:%M")
