"""A made-up morning: three boards, two bundles, one regression, a flaky board and one that is unplugged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hil.tests.night.recorded import dusk, latency, run, ware

from edgekit.core.reports import WorstFrame
from edgekit.history import control_chart, worsenings
from edgekit_hil.night.findings import findings
from edgekit_hil.night.nightly import Night
from edgekit_hil.night.report import BoardResult, FleetVerdict, NightReport, Probe, Regression, Trend
from edgekit_hil.report import BoardFacts, RunReport, StepReport
from tests.support.nights import evaluation, profile, series

NASTY = "<script>alert('board')</script>"


def board_run(bundle: int, p50: float, miou: float, score: float, emulated: bool = False) -> RunReport:
    name = ware(bundle).known.identity
    worst = (WorstFrame("dusk_007", score, None, None),)
    facts = {"architecture": "aarch64", "onnxruntime": "1.23.0", "power mode": "MAXN"}
    return replace(
        run(name, latency(1.0, "pass"), dusk(0.0, "pass")),
        board=BoardFacts("board", emulated=emulated, facts=facts),
        steps=(StepReport("engine", "done", 3.0, "largest distance 2e-6 of 1e-3"),),
        evaluation=replace(evaluation(miou), bundle=name, worst=worst),
        profile=replace(profile(p50), bundle=name),
    )


def trend(board: str, values: list[float], metric: str = "latency_p50_ms") -> Trend:
    found = replace(series(values, higher=False, metric=metric), name="drive", unit="ms")
    chart = control_chart(found)
    return Trend(board, "drive", chart, worsenings(chart))


def morning(folder: Path) -> Night:
    red = replace(run("drive-cpu@161616161616", latency(1.12, "fail"), dusk(0.07, "fail")), why="fail: latency_p50_ms")
    gone = run("drive-cpu@161616161616", verdict="infrastructure", why="the board did not answer on port 22")
    runs = {
        ("orin-1", "drive"): replace(board_run(16, 11.2, 0.81, 0.31), gate=red.gate, why=red.why),
        ("orin-2", "drive"): board_run(16, 10.1, 0.88, 0.35),
        ("qemu", "drive"): board_run(16, 800.0, 0.8801, 0.36, emulated=True),
        ("orin-1", "parking"): board_run(3, 4.2, 0.7, 0.2),
        ("orin-2", "parking"): gone,
    }
    now, good = ware(16).known, ware(0).known

    def result(board: str, bundle: str, standing: str, why: str, **more: object) -> BoardResult:
        folder = f"runs/{board}/{bundle}"
        gate = runs[board, bundle].gate
        return BoardResult(board, bundle, now, standing, why, board == "orin-1", folder, gate, good, **more)  # type: ignore[arg-type]

    found = findings(red.gate)
    shaky = f"{good} did not hold against itself on this board: latency_p50_ms 9.0% worse than last-good {NASTY}"
    regression = Regression(
        "drive-latency-p50-ms", "drive", ("orin-1",), found, good, (ware(9).known,), 16,
        tuple(Probe(ware(i).known, "bad" if i > 8 else "good", f"runs/bisect-{i}", "said") for i in (8, 12, 10, 9)),
        "the bundle before it is good", "edgekit hil run --env orin.yaml --bundle b09.edgekit --against b00.edgekit",
        f"drive on orin-1: {found[0].title} {found[0].amount} and 1 more, since {ware(9).known}", "text",
    )  # fmt: skip
    report = NightReport(
        night="2026-11-29T000000Z", verdict="fail", why="drive: orin-1 must pass and is fail.",
        began="2026-11-29T00:00:00+00:00", seconds=5400.0, runs=13,
        results=(
            result("orin-1", "drive", "fail", red.why, aa="pass", findings=found),
            result("orin-2", "drive", "flaky", shaky, aa="fail"),
            result("qemu", "drive", "pass", "every KPI holds", moved=True),
            result("orin-1", "parking", "pass", "every KPI holds", moved=True),
            result("orin-2", "parking", "infrastructure", gone.why),
        ),
        fleet=(
            FleetVerdict("drive", "fail", "orin-1 must pass and is fail: fail: latency_p50_ms"),
            FleetVerdict("parking", "pass", "all 1 boards that must pass did"),
        ),
        regressions=(regression,),
        trends=(
            trend("orin-1", [10 + 0.05 * (i % 3) for i in range(12)] + [11.2 + 0.05 * (i % 3) for i in range(8)]),
            trend("orin-2", [10 + 0.05 * (i % 4) for i in range(20)]),
        ),
        labels={"orin-1": {"runner": "lab-a"}, NASTY: {}},
    )  # fmt: skip
    return Night(report, folder, runs)
