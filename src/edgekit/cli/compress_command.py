"""``edgekit compress``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from edgekit.cli.console import (
    Bars,
    JsonOption,
    OutOption,
    SpecArgument,
    VerboseOption,
    print_json,
    print_table,
    single,
)
from edgekit.cli.reuse import FreshOption, reuse_line

TargetOption = Annotated[
    str | None, typer.Option("--target", "-t", help="A name under targets in the spec; default: the first.")
]


def compress(
    spec: SpecArgument,
    target: TargetOption = None,
    out: OutOption = None,
    fresh: FreshOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Load the model, quantize and export it: typed ONNX, golden inputs and outputs, calibration record."""
    from edgekit import pipeline

    made = pipeline.compress(spec, out, target, Bars(verbose), fresh)
    report = ladder_report(made.path)
    if as_json:
        models = {precision: str(path) for precision, path in made.models.items()}
        calibration = str(made.calibration) if made.calibration else None
        print_json(
            {
                "path": str(made.path),
                "target": made.target,
                "precision": made.precision,
                "models": models,
                "golden": str(made.golden),
                "calibration": calibration,
                "report": report,
                "reused": made.reused,
                "stages": [stage.to_dict() for stage in made.stages],
            }
        )
        return
    show_rungs(report)
    print(reuse_line(made.stages))
    print(
        f"{'unchanged' if made.reused else 'wrote'} {made.path}: "
        + ", ".join(sorted(p.name for p in made.path.iterdir()))
    )


def ladder_report(compressed: Path) -> dict[str, Any] | None:
    """What the ladder tried, from a folder that compress wrote; None: there was no ladder."""
    file = compressed / "report.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def show_rungs(report: dict[str, Any] | None) -> None:
    """The rungs of a ladder as a table."""
    if report is None:
        return
    title = f"{report['metric']} and latency of {report['target']}, validation frames; chosen: {report['chosen']}"
    head = ("rung", report["metric"], "p50 (ms)", "speed-up", "MiB", "verdict")
    print_table(title, head, ladder_rows(report), "verdict")


def ladder_rows(report: dict[str, Any]) -> list[tuple[str, ...]]:
    """One row per rung of a compress report."""

    def row(rung: dict[str, Any]) -> tuple[str, ...]:
        latency = rung["latency_ms"]
        numbers = (
            _number(rung["accuracy"], ".4f"),
            _number(latency and latency["p50"], ".2f"),
            _number(rung["speedup_p50"], ".2f"),
            _number(rung["size_mib"], ".2f"),
        )
        return (rung["name"], *numbers, ": ".join(part for part in (rung["verdict"], rung["reason"]) if part))

    return [row(rung) for rung in report["rungs"]]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


command = single(compress)
