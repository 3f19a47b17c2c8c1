"""One metric over many runs, as data: series, change points, control charts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from edgekit.core.errors import DataError
from edgekit.core.reports.values import SCHEMA_VERSION, Document

Direction = Literal["better", "worse", "changed"]


@dataclass(frozen=True)
class Series(Document):
    """One metric of one target, a value a run, oldest first; the runs share dataset and preprocessing, or the machine.

    ``times_ms`` are milliseconds since 1970 UTC. ``low`` and ``high`` are the ends of each value's interval,
    None where there is none. ``runs`` are run ids, ``verdicts`` what the gate said of them, empty where it was not
    asked. ``higher`` says whether more is better, None: not known. ``excluded`` counts runs that
    were left out because they were measured on other data or on another machine than the newest.

    Raises:
        DataError: lengths differ, times go backwards, or a value is not finite.
    """

    metric: str
    target: str
    times_ms: tuple[int, ...]
    values: tuple[float, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    runs: tuple[str, ...]
    verdicts: tuple[str, ...]
    higher: bool | None = None
    unit: str = ""
    name: str = ""
    excluded: int = 0

    def __post_init__(self) -> None:
        columns = ("times_ms", "low", "high", "runs", "verdicts")
        sizes = {column: len(getattr(self, column)) for column in columns if len(getattr(self, column)) != len(self)}
        if sizes:
            raise DataError(f"series {self.metric}: {len(self)} values, but {sizes}; give one of each a run")
        for before, after in zip(self.times_ms, self.times_ms[1:], strict=False):
            if after < before:
                raise DataError(
                    f"series {self.metric}: time goes back from {before} to {after} ms; sort the runs by time"
                )
        for run, value in zip(self.runs, self.values, strict=True):
            if not math.isfinite(value):
                raise DataError(f"series {self.metric}: the value of run {run} is {value}; leave that run out")

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class ChangePoint:
    """The level of a series changed with run ``run``, the ``index``-th.

    ``before`` and ``after`` are means of the runs up to the neighbouring change points, ``change`` is
    ``after - before``; ``confidence`` is one minus the p-value of a permutation test.
    """

    index: int
    run: str
    time_ms: int
    before: float
    after: float
    change: float
    direction: Direction
    confidence: float


@dataclass(frozen=True)
class ControlChart(Document):
    """A series with the limits of what its own night-to-night noise explains.

    ``lower`` and ``upper`` are ``centre`` -/+ three ``sigma``; they were made from the runs from
    ``start`` on. ``outside`` are the indices from there on of values beyond them, ``changes`` the confirmed
    changes of the whole series.
    """

    series: Series
    centre: float
    lower: float
    upper: float
    sigma: float
    start: int = 0
    outside: tuple[int, ...] = ()
    changes: tuple[ChangePoint, ...] = ()
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class ListedRun:
    """A recorded run; ``revision`` is the git commit, ``verdict`` the gate's, both empty where there is none.

    ``time_ms`` is milliseconds since 1970 UTC; ``metrics`` are by MLflow's names.
    """

    id: str
    name: str
    target: str
    revision: str
    digest: str
    verdict: str
    time_ms: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class Worsening:
    """A change for the worse that no later one has made up for, of metric ``metric``; ``now`` is the present level."""

    name: str
    target: str
    metric: str
    unit: str
    change: ChangePoint
    now: float


@dataclass(frozen=True)
class HistoryReport(Document):
    """Recorded runs, how their metrics moved, and what got worse and stayed so.

    ``history`` is the file or the server's address; ``runs`` and ``charts`` are the newest of every project and target.
    """

    history: str
    runs: tuple[ListedRun, ...]
    charts: tuple[ControlChart, ...]
    worse: tuple[Worsening, ...] = ()
    schema_version: int = SCHEMA_VERSION
