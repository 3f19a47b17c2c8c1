"""One bundle on one board: the run, the bundle against itself where that is asked, and what both come to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from edgekit.core.errors import InputError
from edgekit_hil.night.findings import findings
from edgekit_hil.night.plan import AaPolicy, Task
from edgekit_hil.night.report import Known, Standing
from edgekit_hil.night.runner import Request, Runner, measure
from edgekit_hil.night.shelf import Ware
from edgekit_hil.report import RunReport

_AGAINST_BASELINE = ("baseline_drop", "baseline_ratio")


@dataclass(frozen=True)
class Good:
    """A board's last-good: its bundle on the shelf."""

    path: Path
    digest: str
    known: Known


@dataclass(frozen=True)
class Asked:
    """What to judge: ``request`` runs ``bundle`` in turn with ``good``.

    ``good`` is None where the board has no last-good yet; then the request is for the bundle against itself.
    """

    task: Task
    bundle: Ware
    good: Good | None
    request: Request


@dataclass(frozen=True)
class Judged:
    """Where a bundle stands on a board, and the runs that say so; ``runs`` of them were made for it."""

    asked: Asked
    report: RunReport
    aa: RunReport | None
    standing: Standing
    why: str

    @property
    def runs(self) -> int:
        """How many runs it took."""
        return 1 if self.aa is None or self.aa is self.report else 2


def judge(asked: Asked, runner: Runner, policy: AaPolicy) -> Judged:
    """Run a bundle, and where ``policy`` asks for it run what is known to be good against itself.

    The A/A run is of last-good, which held when it became that: when it does not hold against itself today, the board
    is not what it was, and what it says of another bundle is worth nothing.  A bundle that is last-good already is its
    own A/A run.  So is the first one of a board, which has no last-good yet: it runs against itself, and only its
    limits against the baseline, which is itself, tell of the board.

    Raises:
        InputError: the request is wrong, or the bundle's file was replaced during the night.
        EnvironmentFault: this machine lacks what a run needs.
    """
    good, bundle = asked.good, asked.bundle
    report = measure(asked.request, bundle.digest, (good or bundle).digest, runner)
    _require_same(asked, report)
    if report.verdict == "infrastructure":
        return Judged(asked, report, None, "infrastructure", report.why)
    if good is None or good.digest == bundle.digest:
        return _against_itself(asked, report)
    if policy == "never" or (policy == "when-red" and report.verdict == "pass"):
        return Judged(asked, report, None, report.verdict, report.why)
    again = replace(asked.request, bundle=good.path, against=good.path, out=asked.request.out / "aa", soak_minutes=0)
    aa = measure(again, good.digest, good.digest, runner)
    if aa.verdict == "infrastructure":
        why = f"the bundle was {report.verdict}, and the A/A run after it failed as a board: {aa.why}"
        return Judged(asked, report, aa, "infrastructure", why)
    shaky = _shaky(aa, known_good=True)
    if shaky:
        why = f"{good.known} did not hold against itself on this board: {shaky}"
        return Judged(asked, report, aa, "flaky", why)
    return Judged(asked, report, aa, report.verdict, report.why)


def _against_itself(asked: Asked, report: RunReport) -> Judged:
    known_good = asked.good is not None
    shaky = _shaky(report, known_good)
    if shaky:
        what = "it is last-good" if known_good else "it is the first bundle"
        why = f"{what}, and did not hold against itself on this board: {shaky}"
        return Judged(asked, report, report, "flaky", why)
    return Judged(asked, report, report, report.verdict, report.why)


def _shaky(aa: RunReport, known_good: bool) -> str:
    """What of an A/A run speaks against the board; empty: nothing was shown.

    An undecided limit shows nothing: the failure that it is held against was decided beyond the noise of its own run.
    """
    failed = [f for f in findings(aa.gate) if known_good or f.kind in _AGAINST_BASELINE]
    if failed:
        return "; ".join(f"{f.title} {f.amount}" for f in failed)
    return aa.why if known_good and aa.verdict == "fail" else ""


def _require_same(asked: Asked, report: RunReport) -> None:
    """Raise when the board ran another bundle than the one that was opened at the beginning of the night."""
    if report.bundle != asked.bundle.known.identity and report.verdict != "infrastructure":
        raise InputError(
            f"{asked.request.bundle}: was {asked.bundle.known.identity} when the night began, but "
            f"{report.bundle} was run; build into another place, and start the night again"
        )
