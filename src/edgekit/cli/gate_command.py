"""``edgekit gate``."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekit.cli.console import (
    Bars,
    BundleArgument,
    JsonOption,
    RootOption,
    VerboseOption,
    print_json,
    print_table,
    single,
)
from edgekit.cli.documents import read_document
from edgekit.cli.history_command import DEFAULT, OFF, HistoryOption

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from edgekit.core.reports import GateReport

EvaluationOption = Annotated[
    Path | None, typer.Option(help="Judge this `evaluate --json` document instead of measuring.")
]
ProfileOption = Annotated[
    list[Path] | None,
    typer.Option(
        help="Judge this `profile --json` document instead of measuring; further ones, such as one under traffic, add "
        "the numbers that the first does not hold."
    ),
]
JunitOption = Annotated[Path | None, typer.Option(help="Write the verdicts as a JUnit XML file.")]
MarkdownOption = Annotated[Path | None, typer.Option(help="Write the verdicts as a Markdown file.")]
AllowUndecidedOption = Annotated[
    bool, typer.Option("--allow-undecided", help="KPIs that the measurements cannot decide do not fail the gate.")
]
AgainstOption = Annotated[
    str | None, typer.Option(help="Baseline: a bundle, or last-good, a git revision or a run of the history.")
]
SignedOption = Annotated[
    Path | None,
    typer.Option(help="Write verdict, measurements, raw samples and facts of this machine here, signed with --key."),
]
KeyOption = Annotated[
    str | None, typer.Option(help="Ed25519 private key, PEM: a file, or env://NAME for a variable that holds it.")
]
QueriesOption = Annotated[
    int | None,
    typer.Option(
        help="Timed queries of each engine, 20 an opening; default 1200, and up to 4800 until p99 has an interval."
    ),
]

DocumentsOption = Annotated[
    Path | None, typer.Option(help="Folder to write the measurements to, as evaluation.json and profile.json.")
]

BudgetOption = Annotated[
    str | None,
    typer.Option(help="Time for measuring, e.g. 10m: what does not fit into it is undecided, and named."),
]


def gate(
    bundle: BundleArgument,
    against: AgainstOption = None,
    evaluation: EvaluationOption = None,
    profile: ProfileOption = None,
    root: RootOption = None,
    queries: QueriesOption = None,
    budget: BudgetOption = None,
    junit: JunitOption = None,
    markdown: MarkdownOption = None,
    documents: DocumentsOption = None,
    signed_result: SignedOption = None,
    key: KeyOption = None,
    allow_undecided: AllowUndecidedOption = False,
    history: HistoryOption = DEFAULT,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Judge the bundle's KPIs on fresh measurements; exit code 1 when one fails or cannot be decided."""
    from edgekit import pipeline
    from edgekit.bundle import open_bundle
    from edgekit.core.artifacts import require_writable, write_bytes
    from edgekit.core.budget import seconds_of
    from edgekit.core.reports import EvaluateReport, ProfileReport
    from edgekit.kpis import require_junit
    from edgekit.stages.gate import GateOptions, load_of
    from edgekit.stages.result import device_facts, result, signed

    if junit is not None:
        require_junit()
    for path in (junit, markdown, signed_result, documents):
        if path is not None:
            require_writable(path.parent)
    signer = _signer(signed_result, key)
    opened = open_bundle(bundle)
    device = {} if signer is None else device_facts(opened)  # before the work: without the runtime nothing is signed
    evaluated = read_document(evaluation, EvaluateReport, opened.identity)
    profiled, *beside = [read_document(path, ProfileReport, opened.identity) for path in profile or ()] or [None]
    book = _book(history)
    seconds = math.inf if budget is None else seconds_of(budget)
    load, streams = load_of(queries), tuple(beside)
    how = GateOptions(root, allow_undecided, against, book, streams, load, budget_s=seconds, documents=documents)
    gated = pipeline.gated(opened, evaluated, profiled, how, Bars(verbose))
    report = gated.gate
    _write(report, junit, markdown)
    if signed_result is not None and signer is not None:
        given = (("evaluation", evaluated), ("profile", profiled), ("traffic", beside or None))
        kept = result(opened, gated, how, device, tuple(name for name, document in given if document is not None))
        write_bytes(signed_result, signed(opened, kept, signer))
    _show(report, as_json)
    if report.race is not None and (advice := report.race.advice()):
        print(advice, file=sys.stderr)
    if report.run is not None:
        print(f"recorded as run {report.run[:8]} in {book}", file=sys.stderr)
    if report.verdict != "pass":
        raise SystemExit(1)


def _show(report: GateReport, as_json: bool) -> None:
    from edgekit.kpis import words

    for warning in report.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if as_json:
        print_json(report.to_dict())
    else:
        rows = [words.row(k) for k in report.kpis]
        print_table(f"{report.bundle}: {report.verdict.upper()}", words.HEADER, rows, words.HEADER[-1])
        if report.baseline is not None:
            print(f"baseline: {report.baseline}")
        for name, reason in report.unmeasured.items():
            print(f"{name}: undecided: {reason}")
        for name in report.not_applicable:
            print(f"{name}: for another target, not judged")


def _signer(file: Path | None, key: str | None) -> Ed25519PrivateKey | None:
    """The key, read before anything is measured; None: nothing is to be signed."""
    from edgekit.bundle.keys import private_key
    from edgekit.core.errors import InputError

    if (file is None) != (key is None):
        raise InputError("--signed-result and --key belong together; expected both: --signed-result FILE --key KEY.pem")
    return None if key is None else private_key(key)


def _book(history: str) -> str | None:
    """The history to record to; None, with a warning, where MLflow is not installed and no history was asked for."""
    import importlib.util

    if history == OFF:
        return None
    if importlib.util.find_spec("mlflow") is None and history == DEFAULT:
        print('this run is not recorded; for a history: pip install "edgekit[history]"', file=sys.stderr)
        return None
    return history


def _write(report: GateReport, junit: Path | None, summary: Path | None) -> None:
    from edgekit.core.artifacts import write_bytes
    from edgekit.kpis import markdown, write_junit

    if junit is not None:
        write_junit(junit, report)
    if summary is not None:
        write_bytes(summary, markdown(report).encode())
    step = os.environ.get("GITHUB_STEP_SUMMARY")
    if step:
        with Path(step).open("a", encoding="utf-8") as file:
            file.write(markdown(report))


command = single(gate)
