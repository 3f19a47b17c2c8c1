"""What the steps of a run share: the board, the bundle, what was asked, and what was found."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit.bundle import Bundle
from edgekit.core.artifacts import write_bytes, write_json
from edgekit.core.progress import Progress
from edgekit.core.reports import EvaluateReport, GateReport, ProfileReport
from edgekit_hil.drivers.agent import AgentDriver
from edgekit_hil.lease import Lease
from edgekit_hil.options import RunOptions
from edgekit_hil.report import NodeReport


@dataclass
class Found:
    """What the steps found so far."""

    facts: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    """Paths on the board: ``bundle``, ``against``, ``data``, ``bag``."""
    bundle_bytes: int = 0
    moved_bytes: int = 0
    gate: GateReport | None = None
    evaluation: EvaluateReport | None = None
    profile: ProfileReport | None = None
    traffic: tuple[ProfileReport, ...] = ()
    node: NodeReport | None = None
    files: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Context:
    """One run: ``bundle`` is the opened one here, ``folder`` where the run's files go."""

    agent: AgentDriver
    lease: Lease
    bundle: Bundle
    options: RunOptions
    folder: Path
    progress: Progress
    found: Found = field(default_factory=Found)

    def command(self, name: str, arguments: list[str], minutes: float = 60) -> Any:
        """The document of a command of the board's edgekit; kept as ``NAME.json``."""
        ran = self.agent.edgekit(self.lease, name, arguments, minutes * 60, self.progress)
        self.keep(f"{name}.json", ran.document)
        return ran.document

    def keep(self, name: str, content: Any) -> None:
        """Keep a file in the run's folder: bytes as they are, everything else as JSON."""
        if isinstance(content, bytes):
            write_bytes(self.folder / name, content)
        else:
            write_json(self.folder / name, content)
        if name not in self.found.files:
            self.found.files.append(name)
