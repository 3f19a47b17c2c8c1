"""``edgekit build``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli.compress_command import ladder_report, show_rungs
from edgekit.cli.console import Bars, JsonOption, OutOption, SpecArgument, VerboseOption, print_json, single
from edgekit.cli.proofs import show_summary
from edgekit.cli.reuse import FreshOption, reuse_line

if TYPE_CHECKING:
    from edgekit.bundle import Bundle

HostOption = Annotated[
    str | None, typer.Option(help="user@board: build and prove the engines there over SSH; default: the target's host.")
]
AllowSlowerOption = Annotated[
    bool,
    typer.Option("--allow-slower", help="TensorRT: INT8 that is not faster than its FP16 control is no failure."),
]
TargetOption = Annotated[str, typer.Option("--target", "-t", help="A name under targets in the spec.")]


def build(
    spec: SpecArgument,
    target: TargetOption,
    out: OutOption = None,
    host: HostOption = None,
    allow_slower: AllowSlowerOption = False,
    fresh: FreshOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Build the target's engine and its control, prove both against golden, write the bundle.

    INT8 that is not faster than its control is reported, with what to try. The exit code is then 1 where the backend's
    INT8 has no other use (TensorRT); the bundle is written all the same.
    """
    from edgekit import pipeline

    bundle = pipeline.build(spec, target, out, Bars(verbose), host, fresh)
    if as_json:
        print_json(document(bundle))
    else:
        report = ladder_report(bundle.given.parent / f"{bundle.contents.name}-compressed")
        if report is not None and report["target"] == target:
            show_rungs(report)
        show(bundle)
        if told := missing(bundle):
            print(told)
    if advice := bundle.proofs[0].advice():
        print(advice, file=sys.stderr)
    refuse_slower(bundle, allow_slower)


def missing(bundle: Bundle) -> str:
    """What could make the bundle's engine faster and is not installed here, in one line; empty: nothing is known."""
    from edgekit.engine import lacking

    runtimes = lacking(bundle.contents.engine) if bundle.contest is None else ()
    told = [f"not raced: {absent.line()}; with engine: auto the faster of the two is kept" for absent in runtimes]
    if hint := bundle.backend().hint(bundle.path / bundle.contents.candidate.model):
        told.append(f"not used: {hint}")
    return "; ".join(told)


def refuse_slower(bundle: Bundle, allowed: bool) -> None:
    """Tell when INT8 is not faster than its control; exit code 1 where that is a failure and not ``allowed``."""
    if bundle.race is None:
        return
    if bundle.race.verdict == "rejected" and bundle.backend().slower_fails and not allowed:
        print(f"rejected: {bundle.race.line()}; build with precision: fp16, or with --allow-slower", file=sys.stderr)
        raise SystemExit(1)
    if advice := bundle.race.advice():
        print(advice, file=sys.stderr)


def document(bundle: Bundle) -> dict[str, Any]:
    """What ``--json`` says of a new bundle."""
    achieved = bundle.proofs[0].achieved
    return {
        "bundle": str(bundle.path),
        "name": bundle.name,
        "digest": bundle.digest,
        "precision": bundle.contents.candidate.precision,
        "verified": not bundle.unverified,
        "achieved": achieved and {"verdict": achieved.verdict, "missed": list(achieved.missed)} | achieved.numbers,
        "race": bundle.race and bundle.race.to_dict(),
        "engine": bundle.contents.engine.engine,
        "contest": bundle.contest and bundle.contest.to_dict(),
        "stages": [stage.to_dict() for stage in bundle.stages],
    }


def show(bundle: Bundle) -> None:
    """What was made and proven, and the next command."""
    for report in bundle.proofs:
        show_summary(report)
    for line in bundle.contest.lines() if bundle.contest is not None else ():
        print(line)
    if bundle.race is not None and not bundle.race.advice():  # which says it all
        print(bundle.race.line())
    if (near := bundle.proofs[0].fidelity()) and not bundle.proofs[0].advice():  # which says it all
        print(near)
    if bundle.stages:  # one that was just built here
        print(reuse_line(bundle.stages))
    proven = "built, not verified here" if bundle.unverified else "parity holds"
    print(f"wrote {bundle.given} ({bundle.contents.candidate.precision}, {bundle.size_mib():.2f} MiB engine, {proven})")
    if bundle.unverified:
        print(f"{bundle.unverified}; on the target: edgekit verify {bundle.given.name}")
    else:
        print(f"next: edgekit gate {bundle.given}")


command = single(build)
