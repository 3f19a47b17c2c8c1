"""``edgekit verify``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.console import Bars, BundleArgument, JsonOption, VerboseOption, print_json, single
from edgekit.cli.proofs import show_parity


def verify(
    bundle: BundleArgument,
    bisect: Annotated[
        bool, typer.Option("--bisect", help="Build engines to find the first layer that departs.")
    ] = False,
    reduce: Annotated[
        Path | None, typer.Option(help="Write the smallest part of the model that departs to this ONNX file.")
    ] = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Check every file of a bundle, and its engine against its golden outputs."""
    from edgekit import pipeline

    report = pipeline.verify(bundle, Bars(verbose), bisect, reduce)
    if as_json:
        print_json(report.to_dict())
    else:
        show_parity(report)
        if bisect:
            found = report.departure
            print(f"first layer that departs: {found}" if found else "no layer departs: all outputs hold the limit")
        if reduce is not None:
            found_part = report.reduction
            print(f"smallest part that departs: {found_part}" if found_part else "no part departs: nothing is written")
    if report.verdict != "pass":
        raise SystemExit(1)


command = single(verify)
