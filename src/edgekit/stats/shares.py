"""The share of queries that something happened to, and how sure it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgekit.core.errors import InputError
from edgekit.core.reports import Interval

_MOST = 10**9


@dataclass(frozen=True)
class Share:
    """``events`` of ``of`` independent tries; neither need be whole.

    Raises:
        InputError: there are no tries, or more events than tries.
    """

    events: float
    of: float

    def __post_init__(self) -> None:
        if not 0 <= self.events <= self.of or self.of <= 0:
            raise InputError(
                f"a share of {self.events:g} in {self.of:g}; expected 0 or more events in at least as many"
            )

    @classmethod
    def correlated(cls, events: int, of: int, correlation: float) -> Share:
        """The share with as many tries as it is worth when neighbours resemble each other.

        Tries in a row that are correlated by ``correlation`` (of neighbours, 0 to 1; below 0 counts as 0), as those of
        a Markov chain of two states, say as much as ``of (1 - r) / (1 + r)`` independent ones.
        """
        r = min(max(correlation, 0.0), 1.0)
        worth = max(1.0, of * (1 - r) / (1 + r))
        return cls(events / of * worth, worth)

    def interval(self, confidence: float) -> Interval:
        """Two-sided, of Clopper and Pearson (Biometrika 26, 1934), at least as wide as asked.

        The number of tries may be an effective one: Korn and Graubard, Survey Methodology 24, 1998.
        """
        from scipy.special import betaincinv  # scipy.stats would take three times as long to import

        tail, missed = (1 - confidence) / 2, self.of - self.events
        low = float(betaincinv(self.events, missed + 1, tail)) if self.events > 0 else 0.0
        high = float(betaincinv(self.events + 1, missed, 1 - tail)) if missed > 0 else 1.0
        return Interval(low, high)

    def required(self, limit: float, confidence: float, size: int) -> int | None:
        """About how many tries like these ``size`` decide whether the share keeps ``limit``; None: no number does."""
        share = self.events / self.of

        def decided(times: float) -> bool:
            found = Share(self.events * times, self.of * times).interval(confidence)
            assert found.low is not None
            assert found.high is not None
            return found.high <= limit if share < limit else found.low > limit

        if share == limit:
            return None
        few, many = 1.0, 2.0
        while not decided(many):
            few, many = many, 2 * many
            if many * size > _MOST:
                return None
        while (many - few) * size > 1:
            middle = (few + many) / 2
            few, many = (few, middle) if decided(middle) else (middle, many)
        return max(size + 1, math.ceil(many * size))
