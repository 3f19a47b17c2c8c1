"""The page: one HTML file that holds everything it shows and asks the network for nothing."""

from __future__ import annotations

from pathlib import Path

from edgekit.core.artifacts import write_bytes
from edgekit.reporting import (
    charts,
    history,
    proof,
    provenance,
    selfcontained,
    tables,
    timing,
    training,
    verdict,
    worst,
)
from edgekit.reporting.charts import Chart
from edgekit.reporting.content import Content


def write_html(path: Path, content: Content) -> None:
    """Write the report as one HTML file, atomically.

    Everything from the content is escaped, and a Content-Security-Policy allows no script but the two in the
    file (by hash) and no request at all.  Plotly's script is embedded once, compressed; charts in view are drawn
    first, the others when the page is idle.

    Raises:
        MissingRequirement: plotly or jinja2 is not installed.
        OutputError: the file cannot be written.
    """
    write_bytes(path, _render(content).encode())


def require() -> None:
    """Raise :class:`MissingRequirement` now rather than after long work when a report cannot be written here."""
    selfcontained.environment()
    selfcontained.library()


def _render(content: Content) -> str:
    environment = selfcontained.environment()
    library = selfcontained.library()
    script = selfcontained.resource("report.js")
    shown = _charts(content)
    page: str = environment.get_template("report.html.j2").render(
        bundle=content.bundle,
        target=content.gate.target if content.gate else "",
        baseline=content.gate.baseline if content.gate else None,
        not_applicable=content.gate.not_applicable if content.gate else (),
        banner=verdict.banner(content, history.worse(content)),
        warnings=provenance.warnings(content),
        notes=[f"{note[:1].upper()}{note[1:]}." for note in content.evaluation.notes] if content.evaluation else [],
        missing=provenance.missing(content),
        kpis=verdict.kpi_rows(content),
        compared=tables.compared(content),
        charts=shown,
        figures=selfcontained.script_json({chart.id: chart.figure for group in shown.values() for chart in group}),
        waterfall=tables.waterfall(content),
        metric=content.compress.metric if content.compress else "",
        latencies=tables.latencies(content.profile) if content.profile else [],
        stages=tables.stages(content.profile) if content.profile else [],
        samples=content.profile.latency_ms.samples if content.profile else 0,
        layers=tables.layers(content.profile.layers) if content.profile else [],
        layer_count=len(content.profile.layers) if content.profile else 0,
        proof=proof.shown(content.proof),
        slices=tables.slices(content),
        worst=worst.groups(content),
        legend=worst.legend(content),
        resources=provenance.resources(content.profile),
        groups=provenance.groups(content),
        style=selfcontained.resource("report.css"),
        script=script,
        library=selfcontained.packed(library),
        hashes=[selfcontained.csp_hash(script.encode()), selfcontained.csp_hash(library)],
    )
    return page


def _charts(content: Content) -> dict[str, list[Chart]]:
    """The charts of every section."""
    profile = content.profile
    tree = charts.treemap(profile.layers) if profile is not None else None
    front = charts.pareto(content, history.points(content))
    return {
        "pareto": [front] if front is not None else [],
        "training": training.charts(content),
        "latency": timing.latency(profile, content.gate) if profile is not None else [],
        "layers": [tree] if tree is not None else [],
        "history": history.charts(content),
    }
