"""Runs as a board would report them, made up: gates with one limit on latency and one on a slice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgekit.core.reports import GateReport, Interval, KpiLimit, KpiResult
from edgekit_hil.night.judge import Asked, Good
from edgekit_hil.night.plan import Task
from edgekit_hil.night.report import Known
from edgekit_hil.night.runner import Request
from edgekit_hil.night.shelf import Ware
from edgekit_hil.report import BoardFacts, RunReport, RunVerdict
from tests.support.nights import evaluation, profile


def ware(number: int) -> Ware:
    """The ``number``-th bundle of a model."""
    digest = f"{number:02}" * 32
    return Ware(
        Path(f"b{number:02}.edgekit"), "drive", "cpu", digest, Known(f"drive-cpu@{digest[:12]}", f"{number:07}")
    )


def number(path: Path) -> int:
    """Of a bundle by its path."""
    return int(path.stem[1:])


def latency(ratio: float, verdict: str) -> KpiResult:
    limit = KpiLimit("baseline_ratio", 1.05, baseline=10.0, ratio=ratio)
    interval = Interval(ratio - 0.01, ratio + 0.01)
    return KpiResult("latency_p50_ms", 10 * ratio, limit, 1.05 - ratio, "ms", verdict, interval)  # type: ignore[arg-type]


def dusk(drop: float, verdict: str) -> KpiResult:
    limit = KpiLimit("baseline_drop", 0.05, metric="miou", baseline=0.9, drop=drop)
    return KpiResult("miou_by_drive", 0.9 - drop, limit, 0.05 - drop, "", verdict, where="drive=dusk")  # type: ignore[arg-type]


def run(bundle: str, *kpis: KpiResult, verdict: RunVerdict | None = None, why: str = "") -> RunReport:
    """A finished run; the verdict is that of its limits where none is given."""
    found = {kpi.verdict for kpi in kpis}
    said = verdict or next((one for one in ("fail", "undecided") if one in found), "pass")
    gate = GateReport(bundle, "cpu", said if said != "infrastructure" else "fail", kpis)
    gone = said == "infrastructure"
    return RunReport(
        run="r", verdict=said, why=why or said, bundle=bundle, environment="e.yaml", board=BoardFacts("board"),
        began="2026-11-29T00:00:00+00:00", seconds=1.0, steps=(), gate=None if gone else gate,
        evaluation=None if gone else replace(evaluation(), bundle=bundle),
        profile=None if gone else replace(profile(), bundle=bundle),
    )  # fmt: skip


@dataclass
class Recorded:
    """A runner that answers by the numbers of bundle and baseline, and remembers what it was asked."""

    answer: Callable[[int, int | None, int], tuple[KpiResult, ...] | RunVerdict]
    asked: list[tuple[int, int | None]] = field(default_factory=list)

    def __call__(self, request: Request) -> RunReport:
        which = number(request.bundle), number(request.against) if request.against is not None else None
        said = self.answer(*which, self.asked.count(which))
        self.asked.append(which)
        bundle = ware(which[0]).known.identity
        return (
            run(bundle, verdict=said, why="the board did not answer") if isinstance(said, str) else run(bundle, *said)
        )


def task(board: str = "one", must_pass: bool = True, candidates: Path | None = None) -> Task:
    return Task(board, "drive", Path(__file__), "", must_pass, Path("b16.edgekit"), candidates, None, None)


def asked(folder: Path, now: int = 16, good: int | None = 0, board: str = "one", must_pass: bool = True) -> Asked:
    """A bundle to judge against last-good, number 0."""
    kept = ware(good) if good is not None else None
    known = Good(kept.path, kept.digest, kept.known) if kept is not None else None
    out = folder / "runs" / board / "drive"
    request = Request(Path(__file__), ware(now).path, out, against=(kept or ware(now)).path)
    return Asked(task(board, must_pass), ware(now), known, request)
