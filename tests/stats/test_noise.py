"""Noise of latencies: by openings, by runs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.core.errors import InputError
from edgekit.core.reports import Interval
from edgekit.stats import percentiles
from edgekit.stats.noise import noise_floor, run_to_run
from edgekit.stats.openings import percentile_interval, ratio_interval, typical_ratio


def openings(seed: int, openings: int, queries: int, between: float, within: float = 0.05) -> np.ndarray:
    """Lognormal times (ms) around 10, each opening with a speed of its own, shape ``(openings * queries,)``."""
    rng = np.random.default_rng(seed)
    speed = rng.normal(0, between, (openings, 1))
    return np.asarray(10 * np.exp(speed + rng.normal(0, within, (openings, queries)))).ravel()


def test_few_openings_give_the_interval_of_independent_times() -> None:
    times = openings(0, 4, 50, 0.1)
    assert percentile_interval(tuple(times), 0.5, 0.95, 4) == percentiles.interval(times, 0.5, 0.95)


@settings(deadline=None)  # the first call imports scipy
@given(seed=st.integers(0, 10_000), quantile=st.sampled_from([0.5, 0.9, 0.99]))
def test_openings_never_narrow_an_interval(seed: int, quantile: float) -> None:
    times = openings(seed, 10, 30, 0.05)
    found, plain = percentile_interval(tuple(times), quantile, 0.95, 10), percentiles.interval(times, quantile, 0.95)
    assert found.low is None or (plain.low is not None and found.low <= plain.low)
    assert found.high is None or (plain.high is not None and found.high >= plain.high)


def test_the_true_median_is_covered_although_openings_differ() -> None:
    covered = {"openings": 0, "queries": 0}
    for seed in range(300):
        times = openings(seed, 20, 20, 0.05)
        for name, found in {
            "openings": percentile_interval(tuple(times), 0.5, 0.95, 20),
            "queries": percentiles.interval(times, 0.5, 0.95),
        }.items():
            assert found.low is not None
            assert found.high is not None
            covered[name] += found.low <= 10 <= found.high
    # Four standard errors of 300 trials around 95 %; queries taken as independent miss far more often.
    assert 0.90 * 300 <= covered["openings"] <= 300
    assert covered["queries"] < 0.75 * 300


def test_the_true_ratio_is_covered_although_openings_differ() -> None:
    covered = {"typical": 0, "pooled": 0}
    for seed in range(200):
        pair = [openings(2 * seed + i, 20, 10, 0.03) * scale for i, scale in enumerate((1.04, 1.0))]
        first, second = (tuple(times) for times in pair)
        found = {
            "typical": typical_ratio(first, second, 0.95, 20)[1],
            "pooled": ratio_interval(first, second, 0.5, 0.95, 20),
        }
        for name, interval in found.items():
            assert interval.low is not None
            assert interval.high is not None
            covered[name] += interval.low <= 1.04 <= interval.high
    assert min(covered.values()) >= 0.89 * 200


def test_what_slows_both_engines_of_a_round_leaves_their_typical_ratio() -> None:
    a, b = openings(0, 8, 10, 0.03), openings(1, 8, 10, 0.03)
    slow = np.where(np.arange(80) % 20 < 7, 5.0, 1.0)
    plain, disturbed = (typical_ratio(tuple(a * by), tuple(b * by), 0.95, 8) for by in (1.0, slow))
    assert disturbed[0] == pytest.approx(plain[0])
    assert disturbed[1].high == pytest.approx(plain[1].high)


def test_a_clock_too_coarse_is_refused() -> None:
    with pytest.raises(InputError, match="a time is 0"):
        typical_ratio((1.0,) * 10, (0.0,) * 10, 0.95, 5)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(0.5, 2))
def test_a_scale_of_the_candidate_is_a_scale_of_the_ratio(seed: int, scale: float) -> None:
    a, b = openings(seed, 8, 10, 0.03), openings(seed + 1, 8, 10, 0.03)
    one = ratio_interval(tuple(a), tuple(b), 0.5, 0.95, 8)
    other = ratio_interval(tuple(a * scale), tuple(b), 0.5, 0.95, 8)
    assert one.low is not None
    assert one.high is not None
    assert (other.low, other.high) == (pytest.approx(one.low * scale), pytest.approx(one.high * scale))


def test_more_confidence_is_a_wider_ratio() -> None:
    a, b = (tuple(openings(seed, 20, 10, 0.03)) for seed in (0, 1))
    narrow, wide = (ratio_interval(a, b, 0.5, confidence, 20) for confidence in (0.9, 0.99))
    assert wide.low is not None
    assert wide.high is not None
    assert narrow.low is not None
    assert narrow.high is not None
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize(
    ("a", "b", "openings", "words"),
    [
        (20, 19, 5, "20 times against 19"),
        (20, 20, 4, "4 openings of the engines cannot show"),
        (21, 21, 5, "21 times are no equal parts of 5 openings"),
    ],
)
def test_refused(a: int, b: int, openings: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        ratio_interval((1.0,) * a, (1.0,) * b, 0.5, 0.95, openings)


def test_runs_differ_by_their_spread() -> None:
    history = tuple(np.exp([0.0, 0.1, 0.0, 0.1, 0.0, 0.1]))
    # Standard deviation 0.0548 of six logarithms, t(5 degrees, 97.5 %) = 2.571, a difference of two runs.
    assert run_to_run(history, 0.95) == pytest.approx(2.5706 * 0.0547723 * math.sqrt(2), rel=1e-4)
    assert run_to_run(history[:4], 0.95) is None


def test_two_runs_of_one_engine_differ_by_less_than_the_floor() -> None:
    rng, inside = np.random.default_rng(0), 0
    for _ in range(2000):
        runs = np.exp(rng.normal(0, 0.03, 10))
        floor = run_to_run(tuple(runs[2:]), 0.95)
        assert floor is not None
        inside += abs(math.log(runs[0] / runs[1])) <= floor
    assert inside / 2000 == pytest.approx(0.95, abs=0.02)


def test_the_floor_is_the_largest_noise_known() -> None:
    assert noise_floor((), (), 0.95) is None
    assert noise_floor((None, Interval(0.98, 1.01)), (), 0.95) == pytest.approx(-math.log(0.98))
    assert noise_floor((Interval(None, 1.01),), (), 0.95) is None
    history = (10.0, 11.0, 10.0, 11.0, 10.0)
    assert noise_floor((Interval(0.999, 1.001),), history, 0.95) == run_to_run(history, 0.95)
