"""What a night came to: a document for people, CI and the next night."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from edgekit.core.reports import ControlChart, GateReport, Worsening
from edgekit.core.reports.values import SCHEMA_VERSION, Document
from edgekit_hil.report import EXIT_CODES, RunVerdict

Standing = Literal["pass", "fail", "undecided", "flaky", "infrastructure"]
"""``flaky``: a bundle that held before did not hold against itself on this board, so its verdict says nothing."""
Reading = Literal["good", "bad", "undecided", "infrastructure"]


@dataclass(frozen=True)
class Known:
    """A bundle: ``name-target@digest``, and the git commit it was built from, empty where nothing says.

    ``dirty``: of a project with changes since that commit.
    """

    identity: str
    revision: str = ""
    dirty: bool = False

    def __str__(self) -> str:
        changes = " with changes" if self.dirty else ""
        return f"{self.identity} (commit {self.revision[:12]}{changes})" if self.revision else self.identity


@dataclass(frozen=True)
class Finding:
    """A KPI that does not hold: its title with the slice, by how much it moved, and what the limit was.

    ``kind`` and ``where`` are those of the gate's result: with ``title`` they find the KPI again in another run.
    """

    title: str
    kind: str
    metric: str
    where: str
    amount: str
    limit: str


@dataclass(frozen=True)
class BoardResult:
    """One bundle on one board: where it stands, and why; ``folder`` of its run is relative to the night's.

    ``moved``: it became the board's last-good.  ``aa`` is the verdict of the bundle against itself, empty where that
    was not asked.  ``baseline`` is the last-good it was measured against; None: the board had none.
    """

    board: str
    bundle: str
    ran: Known
    standing: Standing
    why: str
    must_pass: bool
    folder: str
    gate: GateReport | None = None
    baseline: Known | None = None
    aa: str = ""
    moved: bool = False
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Probe:
    """One run of a bisection: how the bundle reads for the KPI in question, and what was said."""

    bundle: Known
    reading: Reading
    folder: str
    said: str = ""


@dataclass(frozen=True)
class Regression:
    """KPIs that held with last-good and do not now, by the bundles that may have brought it.

    One suspect: the first bad bundle.  Several: the search could not narrow it further, ``why`` says why not.
    ``candidates`` is how many bundles were searched, ``probes`` are the runs it took; ``key`` stays the same from night
    to night while the regression does, so that one issue can follow it; ``issue`` is its text, Markdown.
    """

    key: str
    bundle: str
    boards: tuple[str, ...]
    findings: tuple[Finding, ...]
    baseline: Known
    suspects: tuple[Known, ...]
    candidates: int
    probes: tuple[Probe, ...]
    why: str
    reproduce: str
    title: str = ""
    issue: str = ""


@dataclass(frozen=True)
class FleetVerdict:
    """What the fleet's rule says of one bundle."""

    bundle: str
    verdict: RunVerdict
    why: str


@dataclass(frozen=True)
class Trend:
    """One metric of one bundle on one board over the nights, and changes for the worse that still stand."""

    board: str
    bundle: str
    chart: ControlChart
    worse: tuple[Worsening, ...] = ()


@dataclass(frozen=True)
class NightReport(Document):
    """The whole night; ``began`` is ISO 8601 in UTC, ``runs`` counts all runs, those before a restart too.

    ``kept`` says in a line what became of the bundles that nights keep.
    """

    night: str
    verdict: RunVerdict
    why: str
    began: str
    seconds: float
    runs: int
    results: tuple[BoardResult, ...]
    fleet: tuple[FleetVerdict, ...]
    regressions: tuple[Regression, ...] = ()
    trends: tuple[Trend, ...] = ()
    labels: dict[str, dict[str, str]] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    kept: str = ""
    schema_version: int = SCHEMA_VERSION

    @property
    def exit_code(self) -> int:
        """That of ``edgekit hil night``."""
        return EXIT_CODES[self.verdict]
