"""``edgekit report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.console import Bars, BundleArgument, JsonOption, RootOption, VerboseOption, print_json, single
from edgekit.cli.documents import read_document

EvaluationOption = Annotated[
    Path | None, typer.Option(help="Show this `evaluate --json` document instead of measuring.")
]
ProfileOption = Annotated[Path | None, typer.Option(help="Show this `profile --json` document instead of measuring.")]
GateOption = Annotated[Path | None, typer.Option(help="Show this `gate --json` document instead of judging.")]
CompressOption = Annotated[Path | None, typer.Option(help="Show what was tried: the report.json of `compress`.")]
HistoryOption = Annotated[str | None, typer.Option(help="Chart the runs of this history file or MLflow server.")]
OutOption = Annotated[Path | None, typer.Option(help="The HTML file; default: the bundle's name beside the bundle.")]
PdfOption = Annotated[bool, typer.Option("--pdf", help="Print it as PDF too, with an installed Chromium.")]
PicturesOption = Annotated[
    bool, typer.Option("--pictures/--no-pictures", help="Draw the worst frames; needs the evaluation data.")
]


def report(
    bundle: BundleArgument,
    evaluation: EvaluationOption = None,
    profile: ProfileOption = None,
    gate: GateOption = None,
    compress: CompressOption = None,
    history: HistoryOption = None,
    out: OutOption = None,
    pdf: PdfOption = False,
    pictures: PicturesOption = True,
    root: RootOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Write everything known about a bundle as one HTML file; what is not given is measured."""
    from edgekit import pipeline
    from edgekit.bundle import open_bundle
    from edgekit.core.reports import CompressReport, EvaluateReport, GateReport, ProfileReport
    from edgekit.reporting import find_browser, require, write_pdf
    from edgekit.stages.gate import charts

    require()
    if pdf:
        find_browser()
    page = _page(bundle, out)
    opened = open_bundle(bundle)
    content = pipeline.report(
        opened,
        page,
        read_document(evaluation, EvaluateReport, opened.identity),
        read_document(profile, ProfileReport, opened.identity),
        read_document(gate, GateReport, opened.identity),
        read_document(compress, CompressReport),
        () if history is None else charts(opened, history),
        pictures=pictures,
        root=root,
        progress=Bars(verbose),
    )
    printed = page.with_suffix(".pdf") if pdf else None
    if printed is not None:
        write_pdf(page, printed)
    if as_json:
        verdict = content.gate.verdict if content.gate is not None else None
        print_json({"report": str(page), "pdf": None if printed is None else str(printed), "verdict": verdict})
        return
    for path in filter(None, (page, printed)):
        print(f"wrote {path}")


def _page(bundle: Path, out: Path | None) -> Path:
    """Where the page goes; refused before any work is done."""
    from edgekit.core.artifacts import require_writable
    from edgekit.core.errors import InputError

    whole = bundle.resolve()
    page = out or whole.with_name(f"{whole.name.removesuffix('.edgekit')}.html")
    if page.suffix != ".html":
        raise InputError(f"--out: {page} does not end in .html; give the HTML file's name")
    if whole.is_dir() and page.resolve().is_relative_to(whole):
        raise InputError(f"--out: {page} is inside the bundle, which would no longer open; choose another folder")
    require_writable(page.parent)
    return page


command = single(report)
