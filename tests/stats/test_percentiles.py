"""Order statistics and early stopping: against LoadGen's own answers, the binomial tail and drawn samples."""

from __future__ import annotations

import json
from fractions import Fraction
from math import comb
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import binom

from edgekit.core.errors import CheckFailed, InputError
from edgekit.profiling import early_stopping, interval, minimum_queries, summarise, too_few
from edgekit.stats.percentiles import over_latency

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "early_stopping.json").read_text())
SHARES = st.floats(0.02, 0.998)
# Odds that close to the confidence are on either side by rounding alone.
ROUNDING = 1e-9


@pytest.mark.parametrize(("q", "minimum"), GOLDEN["minimum"].items())
def test_minimum_is_loadgens(q: str, minimum: int) -> None:
    assert minimum_queries(float(q)) == minimum
    times = np.arange(1.0, minimum + 1)
    assert early_stopping(times[:-1], float(q)) is None
    assert early_stopping(times, float(q)) == minimum  # the largest: nothing can be discarded yet


@pytest.mark.parametrize(("q", "counts"), GOLDEN["over_latency"].items())
def test_over_latency_is_loadgens(q: str, counts: dict[str, int]) -> None:
    assert {n: over_latency(int(n), float(q)) for n in counts} == counts


@given(st.integers(1, 3000), SHARES, st.floats(0.5, 0.999))
@example(100, 0.9, 0.99)
def test_over_latency_is_the_binomial_tail(queries: int, q: float, confidence: float) -> None:
    over = over_latency(queries, q, confidence)
    odds = binom.cdf(np.arange(queries + 1), queries, 1 - q)
    assert over == 0 or odds[over] < 1 - confidence + ROUNDING
    assert odds[over + 1] >= 1 - confidence - ROUNDING


@given(st.integers(2, 60), st.integers(1, 19))
def test_over_latency_in_whole_numbers(queries: int, twentieths: int) -> None:
    above = 1 - Fraction(twentieths, 20)
    odds = [comb(queries, k) * above**k * (1 - above) ** (queries - k) for k in range(queries + 1)]
    fits = [t for t in range(queries) if sum(odds[: t + 1]) < Fraction(1, 100)]
    assert over_latency(queries, twentieths / 20) == max(fits, default=0)


@given(SHARES, st.floats(0.5, 0.999))
def test_one_query_less_than_the_minimum_bounds_nothing(q: float, confidence: float) -> None:
    least = minimum_queries(q, confidence)
    assert over_latency(least, q, confidence) >= 1
    assert least == 2 or over_latency(least - 1, q, confidence) == 0


@given(st.integers(1, 2000), SHARES, st.floats(0.5, 0.99))
def test_interval_covers_and_no_narrower_one_does(queries: int, q: float, confidence: float) -> None:
    found, tail = interval(np.arange(queries), q, confidence), (1 - confidence) / 2
    at_or_below = binom.cdf(np.arange(-1, queries + 1), queries, q)  # [k + 1]: at most k times are below the quantile
    if found.low is None:
        assert at_or_below[1] > tail - ROUNDING
    else:
        place = int(found.low)
        assert at_or_below[place + 1] <= tail + ROUNDING
        assert at_or_below[place + 2] > tail - ROUNDING
    if found.high is None:
        assert at_or_below[queries] < 1 - tail + ROUNDING
    else:
        place = int(found.high)
        assert at_or_below[place + 1] >= 1 - tail - ROUNDING
        assert at_or_below[place] < 1 - tail + ROUNDING


def test_interval_and_bound_cover_as_often_as_they_say() -> None:
    rng, runs, truth = np.random.default_rng(5), 600, 2.302585092994046  # the 90th percentile of exp(1)
    inside = bounded = 0
    for _ in range(runs):
        times = rng.exponential(size=200)
        found, bound = interval(times, 0.9), early_stopping(times, 0.9)
        assert found.low is not None
        assert found.high is not None
        assert bound is not None
        inside += found.low <= truth <= found.high
        bounded += truth <= bound
    assert 0.93 <= inside / runs <= 0.98
    assert bounded / runs >= 0.985


def test_summary_of_a_long_run() -> None:
    times = np.random.default_rng(0).permutation(np.arange(1.0, 7001.0))
    latency = summarise(times)
    assert (latency.p50, latency.p90, latency.mean, latency.samples) == (3500.5, 6300.1, 3500.5, 7000)
    assert latency.p999 == pytest.approx(6993.001)
    for name, value in (("p50", latency.p50), ("p90", latency.p90), ("p99", latency.p99), ("p999", latency.p999)):
        found = latency.intervals[name]
        assert found.low is not None
        assert found.high is not None
        assert value is not None
        assert found.low < value < found.high
    assert latency.bounds == {q: early_stopping(times, p) for q, p in (("p90", 0.9), ("p99", 0.99), ("p999", 0.999))}


def test_summary_of_a_short_run_says_what_it_cannot() -> None:
    latency = summarise(np.arange(1.0, 101.0))
    assert latency.p999 is None
    assert latency.intervals["p99"].high is None
    assert latency.intervals["p99"].low is not None
    assert latency.bounds == {"p90": 98.0, "p99": None, "p999": None}
    assert too_few(100) == "100 queries are too few for every 99 % bound: p99 needs 662, p999 needs 6636"
    assert too_few(6636) is None


@pytest.mark.parametrize(
    ("times", "error", "words"),
    [
        ([], InputError, r"shape \[0\]; expected one row of at least 1 time"),
        ([[1.0]], InputError, r"shape \[1, 1\]"),
        ([1.0, float("nan")], InputError, "the time of query 1 is nan; expected a number"),
        ([float("inf")], InputError, "the time of query 0 is inf"),
        ([1.0, 2.0, -0.5], CheckFailed, "the time of query 2 is -0.5: the clock went backwards"),
    ],
)
def test_times_that_no_clock_measured(times: list[float], error: type[Exception], words: str) -> None:
    for judge in (summarise, lambda t: interval(t, 0.5), lambda t: early_stopping(t, 0.9)):
        with pytest.raises(error, match=words):
            judge(np.array(times))


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_shares_out_of_range(share: float) -> None:
    with pytest.raises(InputError, match="quantile is"):
        interval(np.ones(9), share)
    with pytest.raises(InputError, match="confidence is"):
        minimum_queries(0.9, share)
    with pytest.raises(InputError, match="0 queries say nothing"):
        over_latency(0, 0.9)
