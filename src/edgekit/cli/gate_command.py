"""``edgekit gate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

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

EvaluationOption = Annotated[
    Path | None, typer.Option(help="Judge this `evaluate --json` document instead of measuring.")
]
ProfileOption = Annotated[Path | None, typer.Option(help="Judge this `profile --json` document instead of measuring.")]


def gate(
    bundle: BundleArgument,
    evaluation: EvaluationOption = None,
    profile: ProfileOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Judge the bundle's KPIs on fresh measurements; exit code 1 when one fails."""
    from edgekit import pipeline
    from edgekit.bundle import open_bundle
    from edgekit.core.reports import EvaluateReport, ProfileReport

    opened = open_bundle(bundle)
    evaluated = _read(evaluation, EvaluateReport, opened.identity)
    profiled = _read(profile, ProfileReport, opened.identity)
    report = pipeline.gate(opened, evaluated, profiled, root, Bars(verbose))
    if as_json:
        print_json(report.to_dict())
    else:
        rows = [
            (k.name, f"{k.value:.4g} {k.unit}", _limit(k.limit), f"{k.margin:+.4g}", k.verdict) for k in report.kpis
        ]
        print_table(f"{report.bundle}: {report.verdict.upper()}", ("KPI", "value", "limit", "margin", "verdict"), rows)
        for name in report.not_applicable:
            print(f"{name}: for another target, not judged")
    if report.verdict != "pass":
        raise SystemExit(1)


def _limit(limit: dict[str, Any]) -> str:
    if limit["kind"] == "max_drop":
        return f"drop {limit['drop']:.4f} <= {limit['value']:g} (control {limit['control']:.4f})"
    return f"{'>=' if limit['kind'] == 'min' else '<='} {limit['value']:g}"


def _read(path: Path | None, kind: type, bundle: str) -> Any:
    """A report from a file, checked; None when no file is named."""
    if path is None:
        return None
    from pydantic import TypeAdapter, ValidationError

    from edgekit.core.errors import InputError

    try:
        report: Any = TypeAdapter(kind).validate_json(path.read_bytes())
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file; write it with: edgekit evaluate|profile BUNDLE --json > {path}"
        ) from None
    except ValidationError as error:
        raise InputError(
            f"{path}: not a {kind.__name__} document ({error.error_count()} problems); write it again with --json"
        ) from error
    if report.bundle != bundle:
        raise InputError(f"{path}: measured on bundle {report.bundle!r}, not on {bundle!r}; measure this bundle")
    return report


command = single(gate)
