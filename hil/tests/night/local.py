"""A runner that measures and gates on this machine, in place of a board."""

from __future__ import annotations

from edgekit.bundle import open_bundle
from edgekit.core.progress import Silent
from edgekit.stages.gate import GateOptions, gate, load_of
from edgekit_hil.night.runner import Request
from edgekit_hil.report import BoardFacts, RunReport


def here(request: Request) -> RunReport:
    """What ``edgekit gate`` finds; see :class:`edgekit_hil.night.runner.Runner`."""
    against = str(request.against) if request.against is not None else None
    with open_bundle(request.bundle) as bundle:
        options = GateOptions(request.data, against=against, load=load_of(request.queries), needs_baseline=False)
        found = gate(bundle, options, None, None, Silent())
        bad = [f"{k.name} {k.where}".strip() for k in found.gate.kpis if k.verdict != "pass"]
        return RunReport(
            run=request.out.name, verdict=found.gate.verdict, why=", ".join(bad) or "every KPI holds",
            bundle=bundle.identity, environment=request.environment.name, board=BoardFacts(request.environment.stem),
            began="2026-11-29T00:00:00+00:00", seconds=0.0, steps=(), gate=found.gate, evaluation=found.evaluation,
            profile=found.profile,
        )  # fmt: skip
