"""``edgekit hil night``."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from edgekit.cli.console import Bars, JsonOption, VerboseOption, print_json, print_table

PlanArgument = Annotated[Path, typer.Argument(help="The plan: boards, bundles and the fleet's rule.")]
OutOption = Annotated[Path | None, typer.Option(help="Folder of the nights, in place of the plan's.")]


def night(
    plan: PlanArgument, out: OutOption = None, as_json: JsonOption = False, verbose: VerboseOption = False
) -> None:
    """Run every bundle on every board, search for what broke, write the morning page.

    Exit code 0: the fleet's rule holds; 1: a bundle fails or is undecided; 2: the plan is wrong; 3: boards failed, and
    nothing is said of the bundles.  A night that was killed goes on where it was.
    """
    from edgekit.kpis import require_junit
    from edgekit_hil.night.boards import BoardRunner
    from edgekit_hil.night.files import write_files
    from edgekit_hil.night.nightly import run_night
    from edgekit_hil.night.page import require
    from edgekit_hil.night.plan import read_plan

    require()
    require_junit()
    read = read_plan(plan)
    if out is not None:
        read = read.model_copy(update={"out": out.resolve()})
    runner = BoardRunner(read.timeout_minutes * 60)

    def leave(number: int, _: object) -> NoReturn:
        runner.stop()
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGINT):  # the boards are given back on the way out
        signal.signal(number, leave)
    found = run_night(read, runner, Bars(verbose))
    report = write_files(found)
    step = os.environ.get("GITHUB_STEP_SUMMARY")
    if step:
        with Path(step).open("a", encoding="utf-8") as file:
            file.write((found.folder / "summary.md").read_text("utf-8"))
    if as_json:
        print_json(report.to_dict())
    else:
        rows = [[r.board, r.bundle, r.standing, r.why] for r in report.results]
        print_table(
            f"night {report.night}: {report.verdict.upper()}", ("board", "bundle", "verdict", "why"), rows, "why"
        )
        for one in report.regressions:
            print(one.title)
    print(f"{read.out / 'bundles'}: {report.kept}", file=sys.stderr)
    print(f"morning page: {found.folder / 'index.html'}", file=sys.stderr)
    raise SystemExit(report.exit_code)
