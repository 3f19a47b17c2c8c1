"""``edgekit hil run``."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekit.cli.console import Bars, JsonOption, VerboseOption, print_json, print_table
from edgekit_hil.options import KEEP, RunOptions

if TYPE_CHECKING:
    from edgekit_hil.report import RunReport

EnvOption = Annotated[
    Path,
    typer.Option("--env", help="labgrid environment file of the board, or the name of one that comes along."),
]
BundleOption = Annotated[Path, typer.Option(help="A bundle folder or .edgekit file.")]
PlaceOption = Annotated[str, typer.Option(help="labgrid place to reserve; default: the environment's own board.")]
OutOption = Annotated[Path, typer.Option(help="Folder of runs; each gets a folder of its own.")]
AgainstOption = Annotated[Path | None, typer.Option(help="Baseline: a bundle, measured in turn on the board.")]
DataOption = Annotated[
    Path | None, typer.Option(help="Where the evaluation data are here; default: where the bundle says.")
]
QueriesOption = Annotated[int | None, typer.Option(help="Timed queries of each engine; default: the gate's.")]
RateOption = Annotated[
    float | None,
    typer.Option(help="Also a constant stream of so many frames a second, the other cores busy."),
]
BagOption = Annotated[Path | None, typer.Option(help="A bag to replay to the bundle's ROS 2 node on the board.")]
SoakOption = Annotated[float, typer.Option(help="Minutes to watch the engine for leaks.")]
HistoryOption = Annotated[str | None, typer.Option(help="A history file or MLflow server to record to.")]
KeepOption = Annotated[
    int, typer.Option(help="Bundles, data sets and bags that stay on the board: those that were used last.")
]


def run(
    env: EnvOption,
    bundle: BundleOption,
    place: PlaceOption = "",
    out: OutOption = Path("hil-runs"),
    against: AgainstOption = None,
    data: DataOption = None,
    queries: QueriesOption = None,
    rate: RateOption = None,
    bag: BagOption = None,
    soak: SoakOption = 0.0,
    history: HistoryOption = None,
    keep: KeepOption = KEEP,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Deploy a bundle to a board, measure and gate it there, and give the board back.

    Exit code 0: every KPI holds; 1: one fails or is undecided; 2: the input is wrong; 3: the board, its link or its
    power failed, which says nothing of the bundle.
    """
    from edgekit_hil.run import run as run_once

    signal.signal(signal.SIGTERM, _leave)  # the board is given back on the way out
    options = RunOptions(out, place, against, data, queries, rate, bag, soak, history, keep=keep)
    report = run_once(env, bundle, options, Bars(verbose))
    if as_json:
        print_json(report.to_dict())
    else:
        _show(report, out)
    raise SystemExit(report.exit_code)


def _leave(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def _show(report: RunReport, out: Path) -> None:
    rows = [(step.name, step.outcome, f"{step.seconds:.1f}", step.said) for step in report.steps]
    title = f"{report.bundle} on {report.board.name}: {report.verdict.upper()}"
    print_table(title, ("step", "outcome", "seconds", ""), rows, "outcome")
    print(report.why)
    if report.board.emulated:
        print("the board is emulated: its times mean nothing")
    print(f"{out / report.run}: {', '.join(('run.json', 'junit.xml', 'summary.md', *report.files))}")
