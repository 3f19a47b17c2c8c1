"""One run of one bundle on one board: the ordered steps, readable on one screen, and what becomes of their failures."""

from __future__ import annotations

import getpass
import logging
import socket
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from edgekit.bundle import Bundle, open_bundle
from edgekit.core.errors import CheckFailed, EnvironmentFault
from edgekit.core.progress import Progress, Silent
from edgekit_hil import environment as environments
from edgekit_hil.files import write_files
from edgekit_hil.lease import Lease
from edgekit_hil.options import RunOptions as RunOptions
from edgekit_hil.places import Hold, held
from edgekit_hil.report import BoardFacts, RunReport, RunVerdict, StepReport
from edgekit_hil.steps import deploy, engine, facts, gate, logs, node, soak
from edgekit_hil.steps.context import Context, Found
from edgekit_hil.strategies.board import BoardStrategy

_SILENT = Silent()
_log = logging.getLogger("edgekit.hil")


@dataclass(frozen=True)
class Step:
    """A step by its name.

    ``wanted`` says whether a run has it; after one that ``decides`` and failed, those that follow are skipped.
    """

    name: str
    do: Callable[[Context], str]
    wanted: Callable[[RunOptions], bool] = lambda options: True
    decides: bool = False


DEPLOY = (Step("facts", facts.step), Step("deploy", deploy.step))
MEASURE = (
    Step("engine", engine.step, decides=True),
    Step("gate", gate.step),
    Step("node", node.step, lambda options: options.bag is not None),
    Step("soak", soak.step, lambda options: options.soak_minutes > 0),
)
AFTER = (Step("logs", logs.step),)


def run(environment: Path, bundle: Path, options: RunOptions, progress: Progress = _SILENT) -> RunReport:
    """Reserve, power, deploy, measure, gate, collect, restore, release; write the run's folder.

    Whatever fails, the board is restored and released.  A board, link or lease that fails is the verdict
    ``infrastructure``; it says nothing of the bundle.

    Raises:
        InputError: environment, bundle, data or options are wrong, or the bundle is for another board.
    """
    path = environments.find(environment)
    with open_bundle(bundle) as opened:
        began = datetime.now(timezone.utc)
        name = f"{began:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
        log = _Log(options)
        strategy = None if options.place else environments.open_target(path)
        folder = options.out / name
        folder.mkdir(parents=True)
        hold: Hold | None = None
        with ExitStack() as stack:
            stack.callback(_remove_empty, folder)
            try:
                if options.place:
                    with progress.track(f"wait for {options.place}"):
                        hold = stack.enter_context(held(options.place, owner=_owner(options), tell=_log.info))
                    strategy = environments.open_target(path)
                assert strategy is not None
                _on_board(strategy, _Run(name, folder, opened, options, progress), log)
            except EnvironmentFault as error:
                log.faults.append(str(error))
            if log.faults and hold is not None and hold.lost:
                log.faults.append(hold.lost)
            report = _report(log, _Run(name, folder, opened, options, progress), path, began)
            write_files(folder, report, opened, options)
    return report


@dataclass(frozen=True)
class _Run:
    name: str
    folder: Path
    bundle: Bundle
    options: RunOptions
    progress: Progress


@dataclass
class _Log:
    """How the steps went; ``faults`` are what was wrong with board, link or lease, and then with the way back."""

    options: RunOptions
    steps: list[StepReport] = field(default_factory=list)
    failure: str = ""
    faults: list[str] = field(default_factory=list)
    decided: bool = False
    emulated: bool = False
    found: Found = field(default_factory=Found)
    begin: float = field(default_factory=time.monotonic)

    def do(self, steps: Sequence[Step], context: Context) -> None:
        """Take steps in order.

        Raises:
            EnvironmentFault: the board failed; what follows is not begun.
            InputError: what the user gave is wrong.
        """
        for step in steps:
            if not step.wanted(self.options):
                continue
            if self.decided:
                self.steps.append(StepReport(step.name, "skipped", 0.0))
                continue
            self._take(step, context)

    def _take(self, step: Step, context: Context) -> None:
        begin = time.monotonic()
        try:
            context.lease.confirm()
            said = step.do(context)
        except CheckFailed as error:
            self.failure, self.decided = self.failure or str(error), step.decides
            self.steps.append(StepReport(step.name, "failed", time.monotonic() - begin, str(error)))
        except EnvironmentFault as error:
            self.steps.append(StepReport(step.name, "infrastructure", time.monotonic() - begin, str(error)))
            raise
        else:
            self.steps.append(StepReport(step.name, "done", time.monotonic() - begin, said))


def _on_board(strategy: BoardStrategy, run: _Run, log: _Log) -> None:
    """Take the board through its states, and back to where it was whatever happens."""
    try:
        begin = time.monotonic()
        strategy.transition("booted")
        log.steps.append(StepReport("boot", "done", time.monotonic() - begin))
        agent, log.emulated = strategy.agent, strategy.agent.emulated
        lease = Lease(agent.link, _owner(run.options), run.name)
        # Before it is taken: a board that turns out to be somebody else's is not switched off on the way back.
        strategy.way_back("lease", lease.release, changes=False)
        strategy.under(lambda: "" if agent.link.lost else lease.regain())
        lease.take()
        threading.Thread(target=lease.keep, name="lease", daemon=True).start()
        context = Context(agent, lease, run.bundle, run.options, run.folder, run.progress, log.found)
        strategy.plan(lambda: log.do(DEPLOY, context), lambda: log.do(MEASURE, context))
        try:
            strategy.transition("measured")
        finally:
            if not (agent.link.lost or lease.lost):
                log.decided = False
                log.do(AFTER, context)
    except EnvironmentFault as error:
        log.faults.append(str(error))
    finally:
        strategy.transition("released")


def _report(log: _Log, run: _Run, environment: Path, began: datetime) -> RunReport:
    found, options = log.found, run.options
    verdict, why = _verdict(log)
    return RunReport(
        run=run.name,
        verdict=verdict,
        why=why,
        bundle=run.bundle.identity,
        environment=environment.name,
        board=BoardFacts(options.place or environment.stem, options.place, log.emulated, found.facts),
        began=began.isoformat(timespec="seconds"),
        seconds=time.monotonic() - log.begin,
        steps=tuple(log.steps),
        gate=found.gate,
        evaluation=found.evaluation,
        profile=found.profile,
        traffic=found.traffic,
        node=found.node,
        bundle_bytes=found.bundle_bytes,
        moved_bytes=found.moved_bytes,
        files=tuple(sorted(found.files)),
    )


def _verdict(log: _Log) -> tuple[RunVerdict, str]:
    """A board that failed says nothing of the bundle; a failed check comes before the gate's own word."""
    if log.faults:
        return "infrastructure", "; ".join(log.faults)
    if log.failure:
        return "fail", log.failure
    assert log.found.gate is not None, "without a fault or a failure the gate was reached"
    gate = log.found.gate
    bad = [f"{k.name} {k.where}".strip() for k in gate.kpis if k.verdict == gate.verdict != "pass"]
    return gate.verdict, f"{gate.verdict}: {', '.join(bad)}" if bad else "every KPI holds"


def _owner(options: RunOptions) -> str:
    return options.owner or f"{getpass.getuser()}@{socket.gethostname()}"


def _remove_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()
