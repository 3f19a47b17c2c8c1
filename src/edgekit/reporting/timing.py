"""Plotly figures of inference times: histogram, cumulative share, and their course during the run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.core.reports import GateReport, ProfileReport, control_name
from edgekit.reporting import words
from edgekit.reporting.charts import Chart, Numbers, chart, short
from edgekit.reporting.provenance import halves
from edgekit.reporting.verdict import metric_of

BINS = 80
POINTS = 400
BUCKETS = 150
# A limit further away than this is given as text: on the axis it would leave no room for the histogram.
FAR = 2.5
ALIKE = 1.5


@dataclass(frozen=True)
class Limit:
    """A latency KPI: at most ``ms`` at a percentile."""

    name: str
    ms: float


def latency_limits(gate: GateReport | None) -> list[Limit]:
    """The ``latency_*_ms`` KPIs with an upper limit in milliseconds."""
    kpis = gate.kpis if gate is not None else ()
    return [
        Limit(name.removeprefix("latency_").removesuffix("_ms"), kpi.limit.value)
        for kpi in kpis
        if (name := metric_of(kpi)).startswith("latency_") and kpi.limit.kind == "max"
    ]


@dataclass(frozen=True)
class Timed:
    """Inference times of one engine, milliseconds in the order they ran."""

    name: str
    colour: str
    times: Numbers


def timed(profile: ProfileReport) -> list[Timed]:
    """The candidate first, then its control."""
    names = sorted(profile.times_ms, key=lambda name: name != profile.engine)
    series = []
    for name in names:
        label, colour = (
            ("candidate", "var(--candidate)") if name == profile.engine else (control_name(name), "var(--control)")
        )
        times = np.asarray(profile.times_ms[name], np.float64)
        if times.size:
            series.append(Timed(label, colour, times))
    return series


def latency(profile: ProfileReport, gate: GateReport | None) -> list[Chart]:
    """Histogram, cumulative share and course of the times; empty when no times were kept."""
    series, limits = timed(profile), latency_limits(gate)
    if not series:
        return []
    tail = float(np.quantile(series[0].times, 0.999))
    # Engines that are far apart would leave each other no shape in one histogram.
    alike = [s for s in series if float(np.median(s.times)) <= ALIKE * tail]
    return [
        _histogram(alike, _frame(alike, limits), limits),
        _cumulative(series, _frame(series, limits)),
        _course(series),
    ]


@dataclass(frozen=True)
class Frame:
    """The x axis of a latency chart, and the limits that lie in it."""

    low: float
    top: float
    limits: tuple[Limit, ...]

    def layout(self, height: float) -> dict[str, Any]:
        """Plotly's x axis, and a line for every limit, its name at ``height`` (0..1) and below."""
        middle = (self.low + self.top) / 2
        lines = [
            {"type": "line", "x0": limit.ms, "x1": limit.ms, "y0": 0, "y1": 1, "yref": "paper",
             "line": {"color": "var(--fail)", "width": 2, "dash": "dash"}}
            for limit in self.limits
        ]  # fmt: skip
        names = [
            {"x": limit.ms, "y": height - 0.1 * index, "yref": "paper", "text": f"{limit.name} limit {limit.ms:g}",
             "xanchor": "right" if limit.ms > middle else "left", "xshift": -4 if limit.ms > middle else 4,
             "yanchor": "top", "showarrow": False, "font": {"color": "var(--fail)"}}
            for index, limit in enumerate(self.limits)
        ]  # fmt: skip
        axis = {"title": {"text": "milliseconds"}, "range": [self.low, self.top]}
        return {"xaxis": axis, "shapes": lines, "annotations": names}


def _frame(series: list[Timed], limits: list[Limit]) -> Frame:
    top = max(float(np.quantile(s.times, 0.999)) for s in series) * 1.02
    near = tuple(limit for limit in limits if limit.ms <= FAR * top)
    low = 0.98 * min([*(float(s.times.min()) for s in series), *(limit.ms for limit in near)])
    return Frame(low, max([top, *(limit.ms * 1.05 for limit in near)]), near)


def _histogram(series: list[Timed], frame: Frame, limits: list[Limit]) -> Chart:
    import plotly.graph_objects as go

    edges = np.linspace(frame.low, frame.top, BINS + 1)
    traces = []
    for s in series:
        counts, _ = np.histogram(s.times, edges)
        shares = 100 * counts / s.times.size
        traces.append(
            go.Bar(
                x=short((edges[1:] + edges[:-1]) / 2), y=short(shares), width=float(edges[1] - edges[0]), name=s.name,
                marker={"color": s.colour, "line": {"width": 0}}, opacity=0.75, hovertemplate="%{x:.3g} ms: %{y:.2f}%",
            )
        )  # fmt: skip
    candidate = series[0].times
    note = (
        f"{candidate.size:,} queries of the candidate; the slowest took {words.number(float(candidate.max()), 'ms')}."
    )
    beyond = int((candidate > frame.top).sum())
    note += f" {beyond:,} beyond {words.number(frame.top, 'ms')} not drawn." if beyond else ""
    for limit in limits:
        note += f" {int((candidate > limit.ms).sum()):,} over the {limit.name} limit of {limit.ms:g} ms."
    alt = f"Histogram of inference time: {', '.join(s.name for s in series)}. {note}"
    return chart(
        "latency-histogram", "How long a query takes", note, alt, traces, barmode="overlay", bargap=0, showlegend=True,
        yaxis={"title": {"text": "% of queries"}}, **frame.layout(1.0),
    )  # fmt: skip


def _cumulative(series: list[Timed], frame: Frame) -> Chart:
    import plotly.graph_objects as go

    # Evenly spread points, and as many in the last per cent: the tail is what a limit is about.
    at = np.concatenate([np.linspace(0, 0.99, POINTS // 2), 1 - np.geomspace(0.01, 1e-4, POINTS // 2)[1:]])
    traces = [
        go.Scatter(
            x=short(np.quantile(s.times, at)), y=short(100 * at), name=s.name, mode="lines",
            line={"color": s.colour, "width": 2}, hovertemplate="%{y:.2f}% within %{x:.3g} ms",
        )
        for s in series
    ]  # fmt: skip
    candidate = series[0].times
    median, tail = (words.number(float(np.quantile(candidate, q)), "ms") for q in (0.5, 0.99))
    note = f"Half of the queries take at most {median}; 1 in 100 takes more than {tail}."
    alt = f"Cumulative share of queries by inference time. {note}"
    return chart(
        "latency-cdf", "Share of queries within a time", note, alt, traces,
        yaxis={"title": {"text": "% of queries"}, "range": [0, 102]}, **frame.layout(0.5),
    )  # fmt: skip


def _course(series: list[Timed]) -> Chart:
    import plotly.graph_objects as go

    traces = []
    for s in series:
        parts = np.array_split(s.times, min(BUCKETS, s.times.size))
        ends = np.cumsum([part.size for part in parts])
        kinds = (("median", 2, "solid", [np.median(p) for p in parts]), ("slowest", 1, "dot", [p.max() for p in parts]))
        for kind, width, dash, values in kinds:
            traces.append(
                go.Scatter(
                    x=ends.tolist(), y=short(np.asarray(values)), name=f"{s.name}, {kind}", mode="lines",
                    line={"color": s.colour, "width": width, "dash": dash}, hovertemplate="query %{x}: %{y:.3g} ms",
                )
            )  # fmt: skip
    candidate = series[0].times
    change = halves(candidate.tolist())
    note = f"In the order they ran: the median of the second half is {change:+.1%} against the first."
    return chart(
        "latency-course", "Latency during the run", note, f"Latency by query number. {note}", traces,
        xaxis={"title": {"text": "query"}}, yaxis={"title": {"text": "milliseconds"}, "rangemode": "tozero"},
    )  # fmt: skip
