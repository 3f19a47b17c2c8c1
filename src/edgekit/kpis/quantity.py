"""One measured number: its direction, interval, and what the interval was made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgekit.core.reports import Difference, Interval, Metric
from edgekit.stats.shares import Share


@dataclass(frozen=True)
class Sampling:
    """What an interval was made of: ``size`` of ``units`` (``frames``, ``queries``), and its ``confidence``.

    ``quantile`` is set for a percentile of latency; ``times_ms`` are the queries in the order they ran, from
    ``openings`` of the engine of equally many queries each; ``control_ms`` are the control's in the same rounds.
    ``student``: the interval is made of Student's t of ``size - 1``, so that others follow from it.
    ``share``: the number is this share, so that every interval of it follows.
    """

    size: int
    units: str
    confidence: float
    quantile: float | None = None
    times_ms: tuple[float, ...] = ()
    openings: int = 1
    control_ms: tuple[float, ...] = ()
    student: bool = False
    share: Share | None = None


@dataclass(frozen=True)
class Measured:
    """A number, its direction, and the control's number on the same frames.

    ``interval`` is the number's own, ``difference`` is candidate minus control, tested paired; both None: the
    number is taken as exact. ``slices`` is by column and value. ``under`` says what else must be equal for two such
    numbers to be compared, e.g. ``constant-stream at 30 Hz, gpu``; empty where nothing must.
    """

    metric: Metric
    value: float
    control: float | None = None
    interval: Interval | None = None
    difference: Difference | None = None
    sampling: Sampling | None = None
    slices: Mapping[str, Mapping[str, Measured]] = field(default_factory=dict)
    under: str = ""

    @property
    def ends(self) -> tuple[float | None, ...]:
        """Every number in it but those of its slices."""
        intervals = [i for i in (self.interval, self.difference) if i is not None]
        found = (self.value, self.control, None if self.difference is None else self.difference.value)
        return (*found, *(end for i in intervals for end in (i.low, i.high)))

    @property
    def timed(self) -> bool:
        """Whether it is a percentile of latency or made of one, so that another run of the same engine differs."""
        return self.sampling is not None and self.sampling.units == "queries"
