"""The morning page: the whole fleet in one HTML file that asks the network for nothing."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from pathlib import Path

from edgekit.core.artifacts import write_bytes
from edgekit.reporting import selfcontained, words
from edgekit.reporting.charts import Chart
from edgekit.reporting.history import control_charts
from edgekit_hil.night.nightly import Night
from edgekit_hil.night.report import NightReport
from edgekit_hil.night.side import side_by_side

_STANDINGS = {"pass": "✓", "fail": "✗", "undecided": "?", "flaky": "≈", "infrastructure": "⚡"}
_SENTENCES = {
    "pass": "Every bundle held on the boards that have to pass.",
    "fail": "A bundle does not hold.",
    "undecided": "The measurements could not decide every KPI.",
    "infrastructure": "Boards failed, and say nothing of the bundles.",
}


def require() -> None:
    """Raise :class:`MissingRequirement` now rather than after a night when no page can be written here."""
    selfcontained.environment("edgekit_hil.night")
    selfcontained.library()


def write_page(path: Path, night: Night) -> None:
    """Write the page, atomically: everything is escaped, and a policy in it allows no request.

    Raises:
        MissingRequirement: plotly or jinja2 is not installed.
        OutputError: the file cannot be written.
    """
    report = night.report
    library, script = selfcontained.library(), selfcontained.resource("report.js")
    charts = _charts(report)
    boards = list(dict.fromkeys(one.board for one in report.results))
    bundles = list(dict.fromkeys(one.bundle for one in report.results))
    sides = [
        side_by_side(bundle, {b: night.runs[b, bundle] for b in boards if (b, bundle) in night.runs})
        for bundle in bundles
    ]
    page: str = selfcontained.environment("edgekit_hil.night").get_template("night.html.j2").render(
        report=report,
        symbol=_STANDINGS[report.verdict],
        symbols=_STANDINGS,
        sentence=_SENTENCES[report.verdict],
        facts=_facts(report),
        boards=boards,
        bundles=bundles,
        found={(one.board, one.bundle): one for one in report.results},
        apart=[one for one in report.results if one.standing in ("flaky", "infrastructure")],
        sides=[side for side in sides if side is not None],
        machines={b: next(r.board for (name, _), r in night.runs.items() if name == b) for b in boards},
        worse=[
            (trend.bundle, trend.board, worse.metric, words.number(worse.change.before, worse.unit),
             words.number(worse.now, worse.unit))
            for trend in report.trends for worse in trend.worse
        ],
        charts=charts,
        figures=selfcontained.script_json({chart.id: chart.figure for chart in charts}),
        style=selfcontained.resource("report.css") + _resource("night.css"),
        script=script,
        library=selfcontained.packed(library),
        hashes=[selfcontained.csp_hash(script.encode()), selfcontained.csp_hash(library)],
    )  # fmt: skip
    write_bytes(path, page.encode())


def _charts(report: NightReport) -> list[Chart]:
    """A control chart a trend, what changed first."""
    trends = sorted(report.trends, key=lambda trend: (not trend.worse, not trend.chart.changes))
    pictures = control_charts([trend.chart for trend in trends])
    return [
        replace(picture, title=f"{trend.bundle} on {trend.board}: {picture.title}", height=240)
        for trend, picture in zip(trends, pictures, strict=True)
    ]


def _facts(report: NightReport) -> list[str]:
    standings = [one.standing for one in report.results]
    counted = [f"{standings.count(word)} {word}" for word in _STANDINGS if word in standings]
    boards = len({one.board for one in report.results})
    return [
        f"{boards} {'board' if boards == 1 else 'boards'}: {', '.join(counted)}",
        f"{report.runs} runs in {report.seconds / 60:.0f} min",
        f"last-good moved for {sum(one.moved for one in report.results)} of {len(report.results)}",
        *([f"bundles: {report.kept}"] if report.kept else []),
    ]


def _resource(name: str) -> str:
    return (resources.files("edgekit_hil.night") / "templates" / name).read_text(encoding="utf-8")
