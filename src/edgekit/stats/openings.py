"""Intervals of latencies whose engines were opened several times.

Opening an engine again moves its weights and buffers in memory, which alone can change its speed by more than the
few percent that a gate looks for; see Mytkowicz et al., "Producing Wrong Data Without Doing Anything Obviously Wrong!"
(ASPLOS 2009), and Kalibera and Jones, "Rigorous Benchmarking in Reasonable Time" (ISMM 2013), whose answer is taken
here: repeat on the level that varies, and take that level as the sample.  So an opening is the unit of the intervals
below, and a query is not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgekit.core.errors import InputError
from edgekit.core.reports import Interval, Latency
from edgekit.core.tensors import Array
from edgekit.stats import percentiles

MIN_OPENINGS = 5
_RESAMPLES = 2000
_SEED = 0


def summarise_openings(times_ms: Array, openings: int) -> Latency:
    """:func:`edgekit.stats.percentiles.summarise` with the intervals of :func:`percentile_interval`."""
    found = percentiles.summarise(times_ms)
    ends = {
        name: percentile_interval(times_ms.tolist(), quantile, percentiles.CONFIDENCE, openings)
        for name, quantile in percentiles.QUANTILES.items()
    }
    return replace(found, intervals=ends)


def p50_ratio(top_ms: Sequence[float], bottom_ms: Sequence[float], confidence: float, openings: int) -> Interval:
    """Interval of the ratio of two medians, timed in turn; fewer than 5 openings give no end: queries are no sample."""
    if openings < MIN_OPENINGS:
        return Interval(None, None)
    return ratio_interval(top_ms, bottom_ms, percentiles.QUANTILES["p50"], confidence, openings)


def percentile_interval(times_ms: Sequence[float], quantile: float, confidence: float, openings: int = 1) -> Interval:
    """Interval of a percentile of times that came in ``openings`` equal parts, one after the other.

    The variance of the share of times below the percentile is taken between the parts, and the ends are the times
    that lie so many ranks away: Woodruff, "Confidence Intervals for Medians and Other Position Measures" (JASA 47,
    1952).  It is never narrower than the interval for independent times, which fewer than 5 parts get.  Where there
    are not so many times above the percentile, the upper end is that of :func:`_above`.

    Args:
        times_ms: milliseconds, shape ``(N,)``, in the order they were measured.
        quantile: between 0 and 1.
        confidence: between 0 and 1, two-sided.
        openings: openings of the engine; N is a multiple of it.
    """
    times = percentiles.checked(np.asarray(times_ms))
    plain = percentiles.interval(times, quantile, confidence)
    if openings < MIN_OPENINGS:
        return plain
    reach = _reach(times, quantile, confidence, openings)
    ordered = np.sort(times)
    low, high = math.floor(len(times) * quantile - reach) - 1, math.ceil(len(times) * quantile + reach)
    above = float(ordered[high]) if high < len(times) else _above(times, quantile, confidence, openings)
    return Interval(
        None if plain.low is None or low < 0 else min(plain.low, float(ordered[low])),
        None if plain.high is None or above is None else max(plain.high, above),
    )


def _above(times: Array, quantile: float, confidence: float, openings: int) -> float | None:
    """The lowest of the times that surely lies above the percentile; None: the openings are too few for any.

    Times that lie above ``x`` come in some of the openings, and there not alone.  Their share is that of such openings,
    bounded by Clopper and Pearson (Biometrika 26, 1934), times the mean share of such times in them, taken where it is
    known best: above the estimated percentile.  Simulated on recorded times (``benchmarks/gate_power.py``) the end is
    above the truth as often as it should be.
    """
    from scipy.special import betaincinv  # scipy.stats would take three times as long to import

    parts = _by_opening(times, openings)
    over = (parts > np.quantile(times, quantile)).mean(axis=1)
    together = float(over[over > 0].mean()) if over.any() else 1 / parts.shape[1]
    with_some = np.arange(openings)
    shares = together * betaincinv(with_some + 1, openings - with_some, (1 + confidence) / 2)
    allowed = int(np.searchsorted(shares, 1 - quantile, side="right"))  # openings that may hold such a time, and one
    highest = np.sort(parts.max(axis=1))
    return float(highest[-allowed]) if allowed else None


def queries_for_ends(times_ms: Sequence[float], quantile: float, confidence: float, openings: int) -> int:
    """About how many queries, in as many openings for each, give :func:`percentile_interval` both ends: more than now.

    The reach in ranks grows with the root of the number of times, the ranks beyond the percentile with the number.
    """
    times = percentiles.checked(np.asarray(times_ms))
    beyond = min(quantile, 1 - quantile) * len(times)
    reach = _reach(times, quantile, confidence, openings)
    return max(math.ceil(len(times) * (reach / beyond) ** 2), len(times) + len(times) // openings)


def _reach(times: Array, quantile: float, confidence: float, openings: int) -> float:
    """Half-width of the interval in ranks."""
    below = (_by_opening(times, openings) <= np.quantile(times, quantile)).mean(axis=1)
    return student(confidence, openings) * float(below.std(ddof=1)) / math.sqrt(openings) * len(times)


def typical_ratio(
    candidate_ms: Sequence[float], baseline_ms: Sequence[float], confidence: float, openings: int
) -> tuple[float, Interval]:
    """Candidate over baseline of a typical query, the two timed in turn and opened ``openings`` times together.

    The ratio of a round's two queries is free of how fast the machine was just then; the median of these ratios is
    one number per opening, and its logarithm's mean over the openings has Student's interval.  Where all queries slow
    down by one share this is the ratio of the two p50, to a smaller interval than that of :func:`ratio_interval`.

    Args:
        candidate_ms: milliseconds, shape ``(N,)``, in the order they were measured.
        baseline_ms: as many, in turn with them.
        confidence: between 0 and 1, two-sided.
        openings: at least 5; N is a multiple of it.

    Raises:
        InputError: as :func:`ratio_interval`, or a time is 0.
    """
    candidate, baseline = _pairs(candidate_ms, baseline_ms, openings)
    if min(candidate.min(), baseline.min()) <= 0:
        raise InputError("a time is 0: the clock is too coarse for these engines; put more work into a query")
    found = np.median(np.log(candidate / baseline), axis=1)
    middle = float(found.mean())
    reach = student(confidence, openings) * float(found.std(ddof=1)) / math.sqrt(openings)
    return math.exp(middle), Interval(math.exp(middle - reach), math.exp(middle + reach))


def ratio_interval(
    candidate_ms: Sequence[float], baseline_ms: Sequence[float], quantile: float, confidence: float, openings: int
) -> Interval:
    """Interval of candidate over baseline at one percentile, the two timed in turn in ``openings`` of both.

    A bootstrap over openings: an opening brings its queries of both engines, so that what slows the machine for a
    while meets both.  Its ends are moved outwards as Student's t is from the normal distribution, because the
    percentile bootstrap of few units is too narrow (Hesterberg, "What Teachers Should Know About the Bootstrap",
    The American Statistician 69, 2015).

    Args:
        candidate_ms: milliseconds, shape ``(N,)``, in the order they were measured.
        baseline_ms: as many, in turn with them.
        quantile: between 0 and 1.
        confidence: between 0 and 1, two-sided.
        openings: at least 5; N is a multiple of it.

    Raises:
        InputError: the two have different numbers of times, or these are too few openings.
    """
    both = _pairs(candidate_ms, baseline_ms, openings)
    drawn = np.random.default_rng(_SEED).integers(0, openings, (_RESAMPLES, openings))
    top, bottom = (np.quantile(parts[drawn].reshape(_RESAMPLES, -1), quantile, axis=1) for parts in both)
    low, high = np.quantile(top / bottom, _expanded(confidence, openings))
    return Interval(float(low), float(high))


def _pairs(candidate_ms: Sequence[float], baseline_ms: Sequence[float], openings: int) -> tuple[Array, Array]:
    if len(candidate_ms) != len(baseline_ms):
        raise InputError(
            f"{len(candidate_ms)} times against {len(baseline_ms)}; engines timed in turn have as many each"
        )
    if openings < MIN_OPENINGS:
        raise InputError(
            f"{openings} openings of the engines cannot show how much openings differ; use {MIN_OPENINGS} or more"
        )
    candidate, baseline = (
        _by_opening(percentiles.checked(np.asarray(times)), openings) for times in (candidate_ms, baseline_ms)
    )
    return candidate, baseline


def _by_opening(times: Array, openings: int) -> Array:
    if len(times) % openings:
        raise InputError(f"{len(times)} times are no equal parts of {openings} openings; the profile was edited or cut")
    return times.reshape(openings, -1)


def student(confidence: float, size: int) -> float:
    """Student's t of the two-sided ``confidence`` for a mean of ``size``."""
    from scipy.special import stdtrit

    return float(stdtrit(size - 1, (1 + confidence) / 2))


def _expanded(confidence: float, size: int) -> tuple[float, float]:
    from scipy.special import ndtr

    tail = float(ndtr(-math.sqrt(size / (size - 1)) * student(confidence, size)))
    return tail, 1 - tail
