"""Plotly figures of the compress steps that trained: loss and metric by step."""

from __future__ import annotations

from typing import Any

from edgekit.core.reports import TrainingCurve
from edgekit.reporting import words
from edgekit.reporting.charts import Chart, chart, plain
from edgekit.reporting.content import Content


def charts(content: Content) -> list[Chart]:
    """One chart a training, in the order of the chain."""
    if content.training is None:
        return []
    return [_chart(place, curve) for place, curve in enumerate(content.training.curves)]


def _chart(place: int, curve: TrainingCurve) -> Chart:
    import plotly.graph_objects as go

    losses = [(point.step, point.loss) for point in curve.points if point.loss is not None]
    found = [(point.step, point.metric) for point in curve.points if point.metric is not None]
    traces = []
    if losses:
        traces.append(_line(go, losses, "loss", "var(--muted)", "y", "dot"))
    if found:
        traces.append(_line(go, found, plain(curve.metric), "var(--candidate)", "y2", "solid"))
    best = curve.best
    if best is not None:
        traces.append(
            go.Scatter(
                x=[best.step], y=[best.metric], name="kept", yaxis="y2", mode="markers",
                marker={"color": "var(--candidate)", "symbol": "diamond", "size": 12},
                hovertemplate="step %{x}: %{y:.5g}",
            )
        )  # fmt: skip
    step = f"{curve.step}: {curve.method}" if curve.step else ""
    title = step if curve.title == curve.method else ", ".join(filter(None, (step, curve.title)))
    note = _note(curve)
    return chart(
        f"training-{place}", title, note, f"Loss and metric by step of {title}. {note}", traces, 320,
        xaxis={"title": {"text": "step"}, "rangemode": "tozero"},
        yaxis={"title": {"text": "loss"}},
        yaxis2={"title": {"text": plain(curve.metric)}, "overlaying": "y", "side": "right", "showgrid": False},
    )  # fmt: skip


def _line(go: Any, points: list[tuple[int, float]], name: str, colour: str, axis: str, dash: str) -> Any:
    steps, values = zip(*points, strict=True)
    return go.Scatter(
        x=steps, y=[float(f"{value:.5g}") for value in values], name=name, yaxis=axis, mode="lines+markers",
        line={"color": colour, "width": 2, "dash": dash}, marker={"size": 5},
        hovertemplate="step %{x}: %{y:.5g}",
    )  # fmt: skip


def _note(curve: TrainingCurve) -> str:
    last, best = curve.points[-1], curve.best
    losses = [point.loss for point in curve.points if point.loss is not None]
    fell = f"Loss {words.number(losses[0])} to {words.number(losses[-1])} in {last.step} steps" if losses else ""
    if best is None or best.metric is None:
        return f"{fell}; nothing was validated, and the last weights were kept."
    before = curve.points[0].metric
    began = "" if before is None else f", from {words.number(before)}"
    kept = f"{curve.metric} {words.number(best.metric)} at step {best.step}{began}"
    return f"{fell}. Kept: {kept}, on the validation frames."
