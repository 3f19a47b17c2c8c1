"""One rule for "faster": for the ladder, mixed precision, the race of a build and the gate.

An engine that is opened again is a few percent faster or slower for as long as it is open, so openings are the sample
(:mod:`edgekit.stats.openings`), and the whole interval of the ratio has to clear the limit.  What reaches to both sides
of it is undecided, and so is what was not opened often enough, medians alone included.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgekit.core.reports import Interval, KpiVerdict
from edgekit.stats.openings import p50_ratio
from edgekit.stats.percentiles import CONFIDENCE

MARGIN = 1.02
"""Of the speed-up: below it another engine is not worth its trouble."""
OPENINGS, EACH, SETTLING = 10, 8, 2
"""How often engines are opened to be compared, queries of each that count an opening, and rounds before them."""

Faster = Literal["faster", "rejected", "undecided"]
_WORDS: dict[KpiVerdict, Faster] = {"pass": "faster", "fail": "rejected", "undecided": "undecided"}


@dataclass(frozen=True)
class Speedup:
    """Median time of the control over that of the candidate, its interval, and the openings behind it."""

    ratio: float
    interval: Interval
    openings: int

    def __str__(self) -> str:
        low, high = ("?" if end is None else f"{end:.2f}" for end in (self.interval.low, self.interval.high))
        return f"{self.ratio:.2f}x [{low}, {high}]"


def speedup(
    control_ms: Sequence[float], candidate_ms: Sequence[float], openings: int, confidence: float = CONFIDENCE
) -> Speedup:
    """How many times as fast the candidate is.

    Args:
        control_ms: milliseconds of its queries, in the order they ran, ``openings`` equal parts.
        candidate_ms: as many, in turn with them; of engines that were timed apart the medians alone.
        openings: openings of both; below 5 the interval has no ends.
        confidence: between 0 and 1, two-sided.

    Raises:
        InputError: the two have different numbers of times, or a median is 0.
    """
    ratio = float(np.median(control_ms)) / float(np.median(candidate_ms))
    return Speedup(ratio, p50_ratio(control_ms, candidate_ms, confidence, openings), openings)


def faster(found: Speedup, margin: float = MARGIN) -> Faster:
    """``faster`` when the whole interval is beyond the margin, ``rejected`` when none of it is."""
    return _WORDS[clears(found.interval, margin, upper=False)]


def clears(interval: Interval, limit: float, upper: bool) -> KpiVerdict:
    """Whether all of an interval keeps a limit, none of it, or both.

    Args:
        interval: an end that is None is not known: as far away as can be.
        limit: keeping it is allowed.
        upper: whether the limit is the highest value allowed; otherwise the lowest.
    """
    low = -math.inf if interval.low is None else interval.low
    high = math.inf if interval.high is None else interval.high
    if high <= limit if upper else low >= limit:
        return "pass"
    return "fail" if (low > limit if upper else high < limit) else "undecided"
