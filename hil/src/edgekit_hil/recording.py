"""A run in the history: each board has its own last-good, series and control charts."""

from __future__ import annotations

from dataclasses import replace

from edgekit.bundle import Bundle
from edgekit.history import History
from edgekit_hil.report import RunReport


def board_target(target: str, board: str) -> str:
    """The target that a board's runs are recorded under; see docs/decisions/0039-night.md."""
    return f"{target}.{board}"


def record_run(history: History, report: RunReport, bundle: Bundle, board: str, revision: str = "") -> bool:
    """Record a run once, with the verdict of all of it, and move last-good when it passed; whether that is now it.

    What passed its KPIs and failed in the node is not good.  A run that was ended before everything was measured is
    not recorded: there is nothing to follow.
    """
    if report.evaluation is None or report.profile is None or report.gate is None:
        return False
    assert report.verdict != "infrastructure", "a board's failure is not recorded"
    gate = replace(report.gate, verdict=report.verdict)
    if history.recorded(report.evaluation, report.profile, gate.verdict) is None:
        task, contents = bundle.task(), bundle.contents
        history.record(
            report.evaluation, report.profile, gate, contents.name, board_target(contents.target, board),
            bundle.digest, revision or None, metrics=(*task.metrics, *task.sequence_metrics),
            parameters={"board": report.board.facts},
        )  # fmt: skip
    return gate.verdict == "pass"
