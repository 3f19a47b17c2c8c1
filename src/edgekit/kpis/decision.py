"""A number and its interval against a limit."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgekit.core.reports import Interval, KpiVerdict
from edgekit.kpis.quantity import Sampling
from edgekit.stats.faster import clears
from edgekit.stats.openings import MIN_OPENINGS, queries_for_ends
from edgekit.stats.percentiles import minimum_queries
from edgekit.stats.shares import Share

_MOST = 10**9


@dataclass(frozen=True)
class Decision:
    """``needed`` is about how many units would decide it; None: more of them would not help, or none are missing."""

    verdict: KpiVerdict
    needed: int | None = None
    reason: str = ""


def decide(
    value: float, interval: Interval | None, limit: float, upper: bool, sampling: Sampling | None = None
) -> Decision:
    """Pass when the whole interval keeps the limit, fail when all of it is beyond, undecided when it holds both.

    This is the confidence-interval form of a non-inferiority test: ICH E9, Statistical Principles for Clinical
    Trials (1998), section 3.3.2; FDA, Non-Inferiority Clinical Trials to Establish Effectiveness (2016).

    Args:
        value: the estimate.
        interval: its confidence interval, an end None where nothing is known; None: ``value`` is exact.
        limit: keeping it is allowed.
        upper: whether the limit is the highest value allowed; otherwise the lowest.
        sampling: what the interval was made of.
    """
    if interval is None:
        missing = "" if sampling is None else "no interval measured"
        return Decision("pass" if _keeps(value, limit, upper) else "fail", reason=missing)
    verdict = clears(interval, limit, upper)
    if verdict != "undecided":
        return Decision(verdict)
    if sampling is not None and sampling.share is not None:
        return _of_share(sampling.share, limit, sampling)
    end = interval.high if limit > value else interval.low if limit < value else None
    beyond = math.inf if end is None else end
    return _undecided(abs(beyond - value), abs(limit - value), sampling)


def _keeps(value: float, limit: float, upper: bool) -> bool:
    return value <= limit if upper else value >= limit


def _undecided(half_width: float, distance: float, sampling: Sampling | None) -> Decision:
    if sampling is None:
        return Decision("undecided", reason="the interval contains the limit")
    few = f"cannot be decided with {sampling.size} {sampling.units}"
    if math.isinf(half_width) and sampling.quantile is not None:
        fewest = minimum_queries(sampling.quantile)
        if fewest > sampling.size:
            missing = f"at least {fewest} are needed for this percentile"
            return Decision("undecided", fewest, f"{few}; {missing}")
        steady = _queries_for_ends(sampling)
        if steady is not None:
            missing = f"times differed much between openings; about {steady} are needed for this percentile"
            return Decision("undecided", steady, f"{few}: {missing}, e.g. gate --queries {steady}")
    needed = required(sampling.size, half_width, distance)
    if needed is None:
        return Decision("undecided", None, f"{few}: the value is too close to the limit")
    return Decision("undecided", needed, f"{few}; about {needed} are needed")


def _of_share(share: Share, limit: float, sampling: Sampling) -> Decision:
    few = f"cannot be decided with {sampling.size} {sampling.units}"
    needed = share.required(limit, sampling.confidence, sampling.size)
    if needed is None:
        return Decision("undecided", None, f"{few}: the value is too close to the limit, or the limit is 0 or 1")
    return Decision("undecided", needed, f"{few}; about {needed} are needed")


def _queries_for_ends(sampling: Sampling) -> int | None:
    if sampling.quantile is None or not sampling.times_ms or sampling.openings < MIN_OPENINGS:
        return None
    return queries_for_ends(sampling.times_ms, sampling.quantile, sampling.confidence, sampling.openings)


def required(size: int, half_width: float, distance: float) -> int | None:
    """About how many units shrink an interval of ``size`` units to ``distance``; None: beyond a thousand million.

    The half-width of an interval falls with the square root of the number of independent units.
    """
    ratio = half_width / distance if distance > 0 else math.inf
    if math.isnan(ratio) or ratio > math.sqrt(_MOST / size):
        return None
    # The last digits of a quotient must not add a unit.
    return max(size + 1, math.ceil(size * ratio**2 * (1 - 1e-9)))
