"""``edgekit build``."""

from __future__ import annotations

from typing import Annotated

import typer

from edgekit.cli.console import Bars, JsonOption, OutOption, SpecArgument, VerboseOption, print_json, single

TargetOption = Annotated[str, typer.Option("--target", "-t", help="A name under targets in the spec.")]


def build(
    spec: SpecArgument,
    target: TargetOption,
    out: OutOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Build the target's engine and its FP32 control, prove both against golden, write the bundle."""
    from edgekit import pipeline

    bundle = pipeline.build(spec, target, out, Bars(verbose))
    if as_json:
        print_json(
            {
                "bundle": str(bundle.path),
                "name": bundle.name,
                "digest": bundle.digest,
                "precision": bundle.contents.candidate.precision,
            }
        )
        return
    print(
        f"wrote {bundle.path} ({bundle.contents.candidate.precision}, {bundle.size_mib():.2f} MiB engine, parity holds)"
    )
    print(f"next: edgekit gate {bundle.path}")


command = single(build)
