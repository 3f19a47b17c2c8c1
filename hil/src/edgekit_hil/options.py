"""What a run is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekit.core.errors import InputError

KEEP = 32
"""Bundles that stay where they are kept, if nothing else needs them."""


@dataclass(frozen=True)
class RunOptions:
    """How one bundle is measured on one board.

    Args:
        out: folder of runs; each run gets a folder of its own there.
        place: labgrid place to reserve; empty: the environment's own board, without a coordinator.
        against: a bundle as baseline, measured in turn with the first on the board.
        data: where the evaluation data are here; None: where the bundle says.
        queries: timed queries of each engine; None: the gate's own default.
        rate_hz: also profile a constant stream of so many frames a second, beside a load on the other cores.
        bag: a recorded bag that the ROS 2 node is replayed; None: no node is run.
        soak_minutes: how long the engine is watched for leaks and drift; 0: not.
        history: a history file or MLflow server that the run is recorded to; None: nowhere.
        owner: who holds the board; empty: user and host.
        keep: bundles, data sets and bags that stay on the board, those that were used last.
    """

    out: Path
    place: str = ""
    against: Path | None = None
    data: Path | None = None
    queries: int | None = None
    rate_hz: float | None = None
    bag: Path | None = None
    soak_minutes: float = 0.0
    history: str | Path | None = None
    owner: str = ""
    keep: int = KEEP

    def __post_init__(self) -> None:
        if self.queries is not None and self.queries < 1:
            raise InputError(f"--queries {self.queries}: at least 1")
        if self.rate_hz is not None and not self.rate_hz > 0:
            raise InputError(f"--rate {self.rate_hz:g}: frames a second, more than 0")
        if self.keep < 1:
            raise InputError(f"--keep {self.keep}: at least 1")
        if self.soak_minutes < 0:
            raise InputError(f"--soak {self.soak_minutes:g}: minutes, 0 or more")
        for flag, path in (("--against", self.against), ("--data", self.data), ("--bag", self.bag)):
            if path is not None and not path.exists():
                raise InputError(f"{flag} {path}: no such file or folder")
