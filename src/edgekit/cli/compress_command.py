"""``edgekit compress``."""

from __future__ import annotations

import json
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
    report = json.loads((made.path / "report.json").read_text()) if (made.path / "report.json").exists() else None
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
    if report is not None:
        title = f"{report['metric']} and latency of {report['target']}, validation frames; chosen: {report['chosen']}"
        print_table(
            title, ("rung", report["metric"], "p50 (ms)", "speed-up", "MiB", "verdict"), ladder_rows(report), "verdict"
        )
    print(reuse_line(made.stages))
    print(
        f"{'unchanged' if made.reused else 'wrote'} {made.path}: "
        + ", ".join(sorted(p.name for p in made.path.iterdir()))
    )


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
