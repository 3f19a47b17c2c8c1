"""Intervals that take an opening of the engine as the sample; those of ratios are in tests/kpis/test_intervals.py."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.stats.openings import percentile_interval, queries_for_ends
from edgekit.stats.percentiles import interval

OPENINGS, EACH = 60, 20


def recorded(seed: int, clusters: bool) -> np.ndarray:
    """Times of 60 openings, each a little faster or slower, with spikes alone or four in a row; shape (1200,)."""
    rng = np.random.default_rng(seed)
    times = rng.normal(10, 0.2, (OPENINGS, EACH)) + rng.normal(0, 0.3, (OPENINGS, 1))
    spikes = rng.random((OPENINGS, EACH if not clusters else EACH // 4)) < 0.02
    spiked = np.repeat(spikes, 4, axis=1) if clusters else spikes
    return (times + spiked * rng.gamma(2, 2, (OPENINGS, EACH))).reshape(-1)


def truth(clusters: bool) -> float:
    return float(np.quantile(np.concatenate([recorded(1000 + seed, clusters) for seed in range(200)]), 0.99))


def test_the_upper_end_of_p99_is_there_and_above_the_truth_as_often_as_it_says() -> None:
    """Nominally 97.5 %; the default of 1200 queries must be enough for a limit far away to be decided."""
    for clusters in (False, True):
        real = truth(clusters)
        highs = [percentile_interval(recorded(s, clusters).tolist(), 0.99, 0.95, OPENINGS).high for s in range(300)]
        known = [high for high in highs if high is not None]
        assert len(known) >= 0.9 * len(highs)
        assert np.mean([high >= real for high in known]) >= 0.95


def test_an_end_that_the_ranks_do_not_reach_comes_from_the_openings() -> None:
    """Spikes in four openings of 60, three each: 12 times above p99, and ranks that end beyond the last of them."""
    times = np.full((OPENINGS, EACH), 10.0) + np.arange(EACH) * 1e-3
    for opening, height in zip((3, 17, 30, 44), (50.0, 40.0, 30.0, 20.0), strict=True):
        times[opening, 5:8] = height
    found = percentile_interval(times.reshape(-1).tolist(), 0.99, 0.95, OPENINGS)
    # A spike every four openings is as many as 60 openings without one leave open: 5.96 % of them, three of 20 times.
    assert found.high == 50.0
    alone = interval(times.reshape(-1), 0.99)
    assert alone.high is not None
    assert found.high >= alone.high


def test_openings_of_which_a_few_hold_all_slow_times_give_no_end() -> None:
    times = np.full((OPENINGS, EACH), 10.0)
    times[7, :] = np.arange(EACH) + 20.0
    values = times.reshape(-1).tolist()
    assert percentile_interval(values, 0.99, 0.95, OPENINGS).high is None
    assert queries_for_ends(values, 0.99, 0.95, OPENINGS) > len(values)


@pytest.mark.parametrize(("quantile", "expected"), [(0.99, 1536), (0.5, 330)])
def test_how_many_queries_give_both_ends(quantile: float, expected: int) -> None:
    """300 times that rise from opening to opening: the root of their number is what the ranks beyond p99 lack."""
    rising = (np.arange(300) / 100 + 5).tolist()
    assert queries_for_ends(rising, quantile, 0.95, 10) == expected  # at least one more in each of ten openings


@given(seed=st.integers(0, 10_000), quantile=st.sampled_from([0.5, 0.9, 0.99]), clusters=st.booleans())
def test_never_narrower_than_for_independent_times(seed: int, quantile: float, clusters: bool) -> None:
    times = recorded(seed, clusters)
    found, plain = percentile_interval(times.tolist(), quantile, 0.95, OPENINGS), interval(times, quantile)
    assert found.low is None or plain.low is None or found.low <= plain.low
    assert found.high is None or plain.high is None or found.high >= plain.high


@pytest.mark.parametrize("queries", [100, 10_000])
def test_equal_times_have_the_ends_of_the_ranks(queries: int) -> None:
    """None lies above their percentile, so the openings say nothing about those that do."""
    found = percentile_interval([10.0] * queries, 0.999, 0.95, 10)
    assert found == interval(np.full(queries, 10.0), 0.999, 0.95)
    assert (found.high is None) == (queries == 100)
