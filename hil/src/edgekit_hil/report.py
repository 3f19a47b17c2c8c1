"""What one run on one board came to: a document for people, CI and the night."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from edgekit.core.reports import EvaluateReport, GateReport, ProfileReport
from edgekit.core.reports.values import SCHEMA_VERSION, Document

RunVerdict = Literal["pass", "fail", "undecided", "infrastructure"]
"""``infrastructure``: the board, its link or its power failed, and nothing is said of the bundle."""
StepOutcome = Literal["done", "failed", "skipped", "infrastructure"]
EXIT_CODES: dict[RunVerdict, int] = {"pass": 0, "fail": 1, "undecided": 1, "infrastructure": 3}


@dataclass(frozen=True)
class BoardFacts:
    """What the board said of itself; ``emulated``: its times are those of an emulator and mean nothing.

    ``facts`` are flat: architecture, kernel, L4T and JetPack, TensorRT, power mode, clocks, versions of packages.
    """

    name: str
    place: str = ""
    emulated: bool = False
    facts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StepReport:
    """One step of a run: how it went, how long it took, and one line on why, when it was not done."""

    name: str
    outcome: StepOutcome
    seconds: float
    said: str = ""


@dataclass(frozen=True)
class NodeReport:
    """What the ROS 2 node did with the replayed bag, and what its diagnostics said."""

    frames: int
    results: int
    levels: dict[str, str] = field(default_factory=dict)
    failures: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunReport(Document):
    """One run: the verdict over everything, the board, every step, and the documents that the board measured.

    ``bundle`` is name, target and digest as ``edgekit bundle inspect`` writes them (``name-target@digest``);
    ``began`` is ISO 8601 in UTC; ``files`` are paths within the run's folder (logs, reports).  ``moved_bytes`` of
    ``bundle_bytes`` went over the link for the bundle.
    """

    run: str
    verdict: RunVerdict
    why: str
    bundle: str
    environment: str
    board: BoardFacts
    began: str
    seconds: float
    steps: tuple[StepReport, ...]
    gate: GateReport | None = None
    evaluation: EvaluateReport | None = None
    profile: ProfileReport | None = None
    traffic: tuple[ProfileReport, ...] = ()
    node: NodeReport | None = None
    bundle_bytes: int = 0
    moved_bytes: int = 0
    files: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION

    @property
    def exit_code(self) -> int:
        """That of ``edgekit hil run``."""
        return EXIT_CODES[self.verdict]
