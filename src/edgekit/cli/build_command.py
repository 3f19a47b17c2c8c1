"""``edgekit build``."""

from __future__ import annotations

from typing import Annotated

import typer

from edgekit.cli.console import Bars, JsonOption, OutOption, SpecArgument, VerboseOption, print_json, single

HostOption = Annotated[
    str | None, typer.Option(help="user@board: build and prove the engines there over SSH; default: the target's host.")
]
TargetOption = Annotated[str, typer.Option("--target", "-t", help="A name under targets in the spec.")]


def build(
    spec: SpecArgument,
    target: TargetOption,
    out: OutOption = None,
    host: HostOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Build the target's engine and its control, prove both against golden, write the bundle."""
    from edgekit import pipeline

    bundle = pipeline.build(spec, target, out, Bars(verbose), host)
    if as_json:
        print_json(
            {
                "bundle": str(bundle.path),
                "name": bundle.name,
                "digest": bundle.digest,
                "precision": bundle.contents.candidate.precision,
                "verified": not bundle.unverified,
            }
        )
        return
    proven = "built, not verified here" if bundle.unverified else "parity holds"
    print(f"wrote {bundle.path} ({bundle.contents.candidate.precision}, {bundle.size_mib():.2f} MiB engine, {proven})")
    if bundle.unverified:
        print(f"{bundle.unverified}; on the target: edgekit verify {bundle.path.name}")
    else:
        print(f"next: edgekit gate {bundle.path}")


command = single(build)
