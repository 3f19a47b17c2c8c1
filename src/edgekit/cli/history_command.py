"""``edgekit history``: recorded runs, and how metrics moved over them."""

from __future__ import annotations

import sys
from dataclasses import fields
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli.console import JsonOption, print_json, print_table, single

if TYPE_CHECKING:
    from edgekit.core.reports import ControlChart, Worsening
    from edgekit.history import Entry, History

DEFAULT = "edgekit-history.db"
OFF = "off"

HistoryOption = Annotated[
    str, typer.Option(envvar="EDGEKIT_HISTORY", help="A history file, the address of an MLflow server, or off.")
]
MetricOption = Annotated[
    list[str] | None, typer.Option(help="Follow this metric; may be given again. Default: those that the gate judged.")
]
TargetOption = Annotated[str | None, typer.Option("--target", "-t", help="Only runs of this target.")]
NameOption = Annotated[str | None, typer.Option(help="Only runs of this project.")]
LimitOption = Annotated[int, typer.Option(min=1, help="How many of the newest runs of a target to look at.")]


CheckOption = Annotated[
    bool, typer.Option("--check", help="Exit with 1 when a metric got worse and has not come back.")
]


def history(
    history: HistoryOption = DEFAULT,
    metric: MetricOption = None,
    target: TargetOption = None,
    name: NameOption = None,
    limit: LimitOption = 60,
    check: CheckOption = False,
    as_json: JsonOption = False,
) -> None:
    """List recorded runs, and steps and drifts of their metrics; exit code 0, with --check 1 when one got worse."""
    from edgekit.core.errors import InputError
    from edgekit.core.reports import HistoryReport, ListedRun
    from edgekit.history import History, worsenings

    opened = History.open(history)
    entries = opened.entries(target, name)
    if not entries:
        of = " ".join(filter(None, (name, target)))
        raise InputError(f"{opened}: no run{f' of {of}' if of else ''} is recorded; name another with --history")
    pairs = dict.fromkeys((e.name, e.target) for e in entries)
    charts = [chart for pair in pairs for chart in _charts(opened, *pair, metric, limit)]
    shown = [e for pair in pairs for e in [e for e in entries if (e.name, e.target) == pair][:limit]]
    worse = tuple(one for chart in charts for one in worsenings(chart))
    if as_json:
        runs = tuple(ListedRun(**{f.name: getattr(e, f.name) for f in fields(ListedRun)}) for e in shown)
        print_json(HistoryReport(history, runs, tuple(charts), worse).to_dict())
    else:
        _print_runs(shown)
        _print_charts(charts)
    if check:
        for one in worse:
            print(f"worse and not made up for: {_standing(one)}", file=sys.stderr)
        if worse:
            raise SystemExit(1)


def _charts(opened: History, name: str, target: str, metrics: list[str] | None, limit: int) -> list[ControlChart]:
    """Charts of the metrics; of one run there is nothing to draw yet."""
    from edgekit.history import control_chart

    names = metrics or _kpi_metrics(opened, name, target)
    series = [opened.series(metric, target, limit, name) for metric in names]
    return [control_chart(one) for one in series if len(one) > 1]


def _kpi_metrics(opened: History, name: str, target: str) -> list[str]:
    """What the gate judged in the newest run, or what stands for accuracy and latency when it was not asked."""
    from edgekit.history import key

    (newest,) = opened.entries(target, name, 1)
    run = opened.find(newest.id)
    names = [*list(run.evaluation.metrics)[:1], "latency_p50_ms"]
    if run.gate is not None and run.gate.kpis:
        names = ["/".join(filter(None, (kpi.where, kpi.name))) for kpi in run.gate.kpis]
    return [one for one in dict.fromkeys(names) if key(one) in newest.metrics]


def _print_runs(entries: list[Entry]) -> None:
    rows = [(e.id[:8], _day(e.time_ms), e.name, e.target, e.revision[:8], e.verdict or "not judged") for e in entries]
    count = f"{len(entries)} run{'' if len(entries) == 1 else 's'}"
    print_table(count, ("run", "time (UTC)", "name", "target", "revision", "verdict"), rows)


def _print_charts(charts: list[ControlChart]) -> None:
    rows: list[tuple[str, ...]] = []
    for chart in charts:
        s = chart.series
        what = f"{s.name}-{s.target} {s.metric}"
        limits = f"{chart.centre:.4g} ({chart.lower:.4g} .. {chart.upper:.4g})"
        last = f"{'outside' if len(s) - 1 in chart.outside else 'inside'} the limits"
        rows.append((what, str(len(s)), limits, f"{s.values[-1]:.4g} {s.unit}".strip(), last))
    if rows:
        print_table("", ("metric", "runs", "centre (limits)", "newest", "newest is"), rows)
    for chart in charts:
        for change in chart.changes:
            print(f"{chart.series.name}-{chart.series.target}: {_in_words(chart, change)}")
        if chart.series.excluded:
            print(f"{chart.series.metric}: {chart.series.excluded} runs on other data or another machine left out")


def _in_words(chart: ControlChart, change: Any) -> str:
    unit = f" {chart.series.unit}" if chart.series.unit else ""
    return (
        f"{chart.series.metric} {change.direction} since {_day(change.time_ms)} (run {change.run[:8]}): "
        f"{change.before:.4g} to {change.after:.4g}{unit}, confidence {change.confidence:.3f}"
    )


def _standing(one: Worsening) -> str:
    unit = f" {one.unit}" if one.unit else ""
    return (
        f"{one.name}-{one.target} {one.metric} was {one.change.before:.4g}{unit} before run {one.change.run[:8]} of "
        f"{_day(one.change.time_ms)} and is {one.now:.4g}{unit} now"
    )


def _day(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, timezone.utc).strftime("%Y-%m-%d %H:%M")


command = single(history)
