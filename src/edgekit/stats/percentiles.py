"""What a number of timed queries says about a percentile, whatever the distribution of the times.

Every statement here rests on one fact: how many of n independent queries lie above the true percentile is binomial.
Queries that follow each other are not quite independent: a machine that changes its speed for seconds at a time makes
these intervals too narrow, so times of two engines are compared in pairs (:mod:`edgekit.stats.openings`).
"""

from __future__ import annotations

import numpy as np

from edgekit.core.errors import CheckFailed, InputError
from edgekit.core.reports import Interval, Latency
from edgekit.core.tensors import Array

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
BOUNDED = ("p90", "p99", "p999")
CONFIDENCE = 0.95
BOUND_CONFIDENCE = 0.99


def interval(times: Array, q: float, confidence: float = CONFIDENCE) -> Interval:
    """Distribution-free confidence interval of quantile ``q`` by order statistics.

    The ends are the innermost times that leave at most ``(1 - confidence) / 2`` on each side (David and Nagaraja,
    Order Statistics, 3rd edition, section 7.1); an end is None where ``times`` are too few for one.

    Args:
        times: shape ``(N,)``, any unit, N >= 1.
        q: between 0 and 1.
        confidence: between 0 and 1.

    Raises:
        InputError: an argument is out of range, or a time is not a number.
        CheckFailed: a time is negative.
    """
    ordered = np.sort(checked(times))
    _check_shares(q, confidence)
    size = len(ordered)
    below = _binomial_cdf(size, q)
    tail = (1 - confidence) / 2
    low = int(np.searchsorted(below, tail, side="right")) - 1
    high = int(np.searchsorted(below, 1 - tail, side="left"))
    return Interval(float(ordered[low]) if low >= 0 else None, float(ordered[high]) if high < size else None)


def early_stopping(times: Array, q: float, confidence: float = BOUND_CONFIDENCE) -> float | None:
    """MLPerf's early-stopping estimate: quantile ``q`` is below it with ``confidence``; None below the minimum.

    As MLPerf's LoadGen with tolerance 0: of :func:`over_latency` queries that may lie above the quantile, all but one
    are discarded and the largest time that is left is the estimate (MLPerf Inference Rules, appendix Early Stopping).

    Args:
        times: shape ``(N,)``, any unit, N >= 1.
        q: between 0 and 1.
        confidence: between 0 and 1.

    Raises:
        InputError: an argument is out of range, or a time is not a number.
        CheckFailed: a time is negative.
    """
    ordered = np.sort(checked(times))
    over = over_latency(len(ordered), q, confidence)
    return float(ordered[-over]) if over else None


def over_latency(queries: int, q: float, confidence: float = BOUND_CONFIDENCE) -> int:
    """The most queries t that may lie above quantile ``q`` so that t or fewer have odds below ``1 - confidence``."""
    if queries < 1:
        raise InputError(f"{queries} queries say nothing; at least 1 is needed")
    _check_shares(q, confidence)
    return max(0, int(np.searchsorted(_binomial_cdf(queries, 1 - q), 1 - confidence, side="left")) - 1)


def minimum_queries(q: float, confidence: float = BOUND_CONFIDENCE) -> int:
    """The fewest queries that have an :func:`early_stopping` estimate: 64, 662 and 6636 for p90, p99 and p99.9."""
    _check_shares(q, confidence)
    enough = 2
    while not over_latency(enough, q, confidence):
        enough *= 2
    few = enough // 2
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (few, middle) if over_latency(middle, q, confidence) else (middle, enough)
    return enough


def too_few(queries: int) -> str | None:
    """What a run of ``queries`` cannot bound, in words for the user; None when nothing is missing."""
    needed = {name: minimum_queries(QUANTILES[name]) for name in BOUNDED}
    missing = [f"{name} needs {least}" for name, least in needed.items() if queries < least]
    if not missing:
        return None
    return f"{queries} queries are too few for every 99 % bound: {', '.join(missing)}"


def summarise(times_ms: Array) -> Latency:
    """Percentiles (linear interpolation, as numpy.percentile) with intervals at 95 % and bounds at 99 %.

    Args:
        times_ms: milliseconds, shape ``(N,)``, N >= 1.

    Returns:
        ``p999`` is None below the queries that its bound needs.

    Raises:
        InputError: no time, or one that is not a number.
        CheckFailed: a time is negative.
    """
    times = checked(times_ms)
    p50, p90, p99, p999 = (float(v) for v in np.quantile(times, tuple(QUANTILES.values())))
    bounds = {name: early_stopping(times, QUANTILES[name]) for name in BOUNDED}
    return Latency(
        p50=p50,
        p90=p90,
        p99=p99,
        mean=float(times.mean()),
        samples=len(times),
        p999=None if bounds["p999"] is None else p999,
        intervals={name: interval(times, q) for name, q in QUANTILES.items()},
        bounds=bounds,
    )


def checked(times: Array) -> Array:
    """``times`` as float64, shape ``(N,)``, after refusing what no clock can have measured."""
    times = np.asarray(times, np.float64)
    if times.ndim != 1 or not len(times):
        raise InputError(f"times have shape {list(times.shape)}; expected one row of at least 1 time")
    if not np.isfinite(times).all():
        query = int(np.argmin(np.isfinite(times)))
        raise InputError(f"the time of query {query} is {times[query]}; expected a number")
    if times.min() < 0:
        query = int(np.argmax(times < 0))
        raise CheckFailed(
            f"the time of query {query} is {times[query]:g}: the clock went backwards; "
            "measure again with a monotonic clock"
        )
    return times


def _binomial_cdf(trials: int, p: float) -> Array:
    """P(K <= k) for k in 0..trials, K ~ Binomial(trials, p)."""
    from scipy.special import bdtr

    cdf: Array = bdtr(np.arange(trials + 1), trials, p)
    return cdf


def _check_shares(q: float, confidence: float) -> None:
    for name, share in (("quantile", q), ("confidence", confidence)):
        if not 0 < share < 1:
            raise InputError(f"{name} is {share}; expected a share between 0 and 1, e.g. 0.99")
