"""Plotly figures: accuracy against latency, and time by module.

Colours are CSS variables of the page (``var(--candidate)``), so that charts follow its theme.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core.reports import LayerTime, control_name
from edgekit.reporting import words
from edgekit.reporting.content import Content

Numbers = NDArray[np.float64]
OUTSIDE = "outside any module"


@dataclass(frozen=True)
class Chart:
    """One picture: ``figure`` is Plotly's JSON document, ``note`` says what is to be seen, ``alt`` what it shows."""

    id: str
    title: str
    note: str
    alt: str
    figure: dict[str, Any]
    height: int = 340


def plain(text: object) -> str:
    """Text for a label: Plotly would read ``<b>`` and ``<a>`` in it as markup."""
    return html.escape(str(text), quote=False)


def chart(name: str, title: str, note: str, alt: str, traces: Iterable[Any], height: int = 340, **layout: Any) -> Chart:
    """A chart of Plotly traces; property names are checked by Plotly."""
    import plotly.graph_objects as go

    figure = go.Figure(list(traces), layout={"template": "none"} | layout)
    document = json.loads(figure.to_json())
    document["layout"].pop("template", None)
    return Chart(name, title, note, alt, document, height)


def short(values: Numbers) -> list[float]:
    """Five significant digits: what a picture can show, in a third of the bytes."""
    return [float(f"{value:.5g}") for value in values]


@dataclass(frozen=True)
class Point:
    """One engine by accuracy and median latency."""

    kind: str
    name: str
    ms: float
    accuracy: float
    low: float | None = None
    high: float | None = None


STYLES = {
    "control": ("var(--control)", "square", 12),
    "tried, meets the limits": ("var(--pass)", "circle-open", 10),
    "tried, rejected": ("var(--fail)", "x-thin-open", 10),
    "earlier run": ("var(--muted)", "circle", 6),
    "candidate": ("var(--candidate)", "diamond", 15),
}


def pareto(content: Content, earlier: Iterable[Point] = ()) -> Chart | None:
    """Accuracy against median latency; None when only one engine is known."""
    import plotly.graph_objects as go

    points = [*earlier, *_points(content)]
    if len(points) < 2:
        return None
    traces = []
    for kind, (colour, symbol, size) in STYLES.items():
        some = [point for point in points if point.kind == kind]
        if not some:
            continue
        whiskers = None
        if all(p.low is not None and p.high is not None for p in some):
            whiskers = {
                "array": [(p.high or 0) - p.accuracy for p in some], "color": colour, "thickness": 1.2,
                "arrayminus": [p.accuracy - (p.low or 0) for p in some], "symmetric": False,
            }  # fmt: skip
        traces.append(
            go.Scatter(
                x=[p.ms for p in some], y=[p.accuracy for p in some], text=[plain(p.name) for p in some],
                name=some[0].name if kind == "control" else kind,
                mode="markers", error_y=whiskers,
                marker={"color": colour, "symbol": symbol, "size": size, "line": {"width": 2, "color": colour}},
                hovertemplate="%{text}<br>%{x:.3g} ms, %{y:.4f}",
            )
        )  # fmt: skip
    name = content.compress.metric if content.headline is None and content.compress else content.headline
    higher = content.higher(name or "")
    note = "Left is faster" + ("." if higher is None else f", {'up' if higher else 'down'} is better.")
    alt = "; ".join(f"{p.kind} {p.name}: {words.number(p.ms)} ms, {words.number(p.accuracy)}" for p in points[-8:])
    return chart(
        "pareto", f"{name} against latency", note, f"{name} against median latency. {alt}", traces, 400,
        xaxis={"title": {"text": "median latency (ms)"}, "rangemode": "tozero"}, yaxis={"title": {"text": plain(name)}},
    )  # fmt: skip


def _points(content: Content) -> Iterator[Point]:
    evaluation, profile, name = content.evaluation, content.profile, content.headline
    if content.compress is not None:
        for rung in content.compress.rungs:
            if rung.accuracy is None or rung.latency_ms is None or rung.verdict == "control":
                continue
            kind = "tried, meets the limits" if rung.verdict == "meets" else "tried, rejected"
            yield Point(kind, rung.name, rung.latency_ms.p50, rung.accuracy)
    if evaluation is None or profile is None or name is None:
        return
    beside = profile.control
    if beside is not None and evaluation.control is not None and name in evaluation.control:
        yield Point("control", control_name(beside.engine), beside.latency_ms.p50, evaluation.control[name])
    found = evaluation.intervals.get(name)
    ends = (None, None) if found is None else (found.low, found.high)
    yield Point("candidate", profile.engine, profile.latency_ms.p50, evaluation.metrics[name], *ends)


def treemap(layers: tuple[LayerTime, ...]) -> Chart | None:
    """Time by module, boxes within boxes; None when no layer has a module."""
    import plotly.graph_objects as go

    if not any(layer.module for layer in layers):
        return None
    modules: dict[str, float] = {}
    for layer in layers:
        path = (layer.module or OUTSIDE).split(".")
        for depth in range(1, len(path) + 1):
            modules.setdefault(".".join(path[:depth]), 0.0)
        modules[".".join(path)] += layer.ms
    keys, total = list(modules), sum(modules.values()) or 1.0
    times = {key: sum(ms for name, ms in modules.items() if f"{name}.".startswith(f"{key}.")) for key in keys}
    trace = go.Treemap(
        ids=[plain(key) for key in keys],
        labels=[plain(_label(key)) for key in keys],
        parents=[plain(key.rpartition(".")[0]) for key in keys],
        values=short(np.array(list(modules.values()))),
        text=[f"{words.duration(times[key])}, {words.share(times[key] / total)}" for key in keys],
        branchvalues="remainder", textinfo="label+text", hovertemplate="%{id}<br>%{text}<extra></extra>",
        maxdepth=3, tiling={"pad": 2}, root={"color": "rgba(0,0,0,0)"}, textfont={"color": "#1b2126"},
        marker={"depthfade": False, "line": {"color": "var(--card)", "width": 2}}, pathbar={"thickness": 22},
    )  # fmt: skip
    most = max((key for key in keys if "." not in key), key=lambda key: times[key])
    where = most if most == OUTSIDE else f"in {most}"
    note = f"Of {words.duration(total)} a query, {words.share(times[most] / total)} is {where}."
    if not all(layer.module for layer in layers):
        note += f" The box “{OUTSIDE}” holds layers that the exporter or the runtime made (reorders, functional calls)."
    note += " Select a box to look inside."
    colours = [f"var(--tree-{index})" for index in range(6)]
    return chart(
        "treemap", "Time by module", note, f"Treemap of time by module. {note}", [trace], 420,
        treemapcolorway=colours, margin={"l": 0, "r": 0, "t": 4, "b": 4}, uniformtext={"minsize": 11, "mode": "hide"},
    )  # fmt: skip


def _label(module: str) -> str:
    """The module's own name; a number says nothing without the name before it."""
    before, _, name = module.rpartition(".")
    return f"{before.rpartition('.')[2]}.{name}" if name.isdigit() and before else name
