"""The page: one HTML file that holds everything it shows and asks the network for nothing."""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Any

from edgekit.core.artifacts import write_bytes
from edgekit.core.errors import MissingRequirement
from edgekit.reporting import charts, history, proof, provenance, tables, timing, training, verdict, words, worst
from edgekit.reporting.charts import Chart
from edgekit.reporting.content import Content

INSTALL = 'pip install "edgekit[report]"'


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
    _environment()
    _library()


def _render(content: Content) -> str:
    environment = _environment()
    library = _library()
    script = _resource("report.js")
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
        figures=_script_json({chart.id: chart.figure for group in shown.values() for chart in group}),
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
        style=_resource("report.css"),
        script=script,
        library=base64.b64encode(gzip.compress(library, 9, mtime=0)).decode(),
        hashes=[_csp_hash(script.encode()), _csp_hash(library)],
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


def _environment() -> Any:
    try:
        import jinja2
    except ImportError as error:
        raise MissingRequirement("jinja2, which fills the report's template,", INSTALL) from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("edgekit.reporting", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["breakable"] = words.breakable
    return environment


@functools.cache
def _library() -> bytes:
    """Plotly's script as a browser reads it out of the file."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise MissingRequirement("plotly, which draws the report's charts,", INSTALL) from error
    # A browser turns CR LF inside a script into LF before it compares the hash.
    return get_plotlyjs().replace("\r\n", "\n").encode()  # type: ignore[no-any-return]


def _resource(name: str) -> str:
    return (resources.files("edgekit.reporting") / "templates" / name).read_text(encoding="utf-8")


def _csp_hash(script: bytes) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'"


def _script_json(value: Any) -> str:
    """JSON that cannot end the ``<script>`` it is in."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
