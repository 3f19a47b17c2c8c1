"""The interval of a speedup: seeds, shared drift, coverage with and without correlated times, bad pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.core.errors import CheckFailed, InputError
from edgekit.core.reports import Interval
from edgekit.profiling import speedup_interval
from edgekit.stats.pairs import block_length


def ends(found: Interval) -> tuple[float, float]:
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


def correlated(rng: np.random.Generator, size: int, share: float) -> np.ndarray:
    """An autoregressive series of mean 0 and variance 1."""
    steps, series = rng.normal(size=size), np.zeros(size)
    series[0] = steps[0]
    for i in range(1, size):
        series[i] = share * series[i - 1] + np.sqrt(1 - share**2) * steps[i]
    return series


def test_same_seed_same_interval() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.gamma(50, size=(2, 300))
    assert speedup_interval(a, b) == speedup_interval(a, b)
    assert speedup_interval(a, b) != speedup_interval(a, b, seed=1)


@given(st.integers(20, 200), st.floats(0.1, 10))
def test_a_constant_ratio_is_exact(size: int, ratio: float) -> None:
    a = np.random.default_rng(size).gamma(9, size=size)
    low, high = ends(speedup_interval(a, a / ratio, resamples=50))
    assert low == pytest.approx(ratio)
    assert high == pytest.approx(ratio)


@given(st.integers(1, 400), st.floats(0, 0.95))
def test_blocks_fit_into_the_times(size: int, share: float) -> None:
    rng = np.random.default_rng(size)
    a, b = np.exp(0.1 * correlated(rng, size, share)), np.exp(0.1 * correlated(rng, size, share))
    assert 1 <= block_length(a, b) <= max(1, size // 3)


def test_blocks_grow_with_the_correlation() -> None:
    rng = np.random.default_rng(0)
    lengths = [
        block_length(*np.exp(0.1 * np.stack([correlated(rng, 700, share), correlated(rng, 700, share)])))
        for share in (0, 0.9)
    ]
    assert lengths[0] < 15
    assert lengths[1] > 20


def test_a_drift_that_both_meet_does_not_hide_a_difference() -> None:
    rng = np.random.default_rng(2)
    drift = np.repeat([1.0, 1.6, 1.0, 1.3], 100)
    a, b = 1.05 * drift * rng.gamma(10000, 1e-4, 400), drift * rng.gamma(10000, 1e-4, 400)
    low, high = ends(speedup_interval(a, b))
    assert 1.0 < low < 1.05 < high


@pytest.mark.parametrize(("share", "least"), [(0.0, 0.90), (0.6, 0.86)])
def test_the_interval_covers_an_engine_beside_itself(share: float, least: float) -> None:
    rng, runs, inside = np.random.default_rng(3), 200, 0
    for _ in range(runs):
        both = [np.exp(0.05 * correlated(rng, 250, share)) for _ in range(2)]
        low, high = ends(speedup_interval(*both, resamples=300))
        inside += low <= 1 <= high
    assert least <= inside / runs <= 0.995


def test_too_few_pairs_say_nothing() -> None:
    assert speedup_interval(np.ones(19), np.ones(19)) == Interval(None, None)
    assert speedup_interval(np.ones(20), np.ones(20)) == Interval(1.0, 1.0)


@pytest.mark.parametrize(
    ("a", "b", "confidence", "error", "words"),
    [
        (np.ones(30), np.ones(29), 0.95, InputError, "30 and 29 times are no pairs"),
        (np.ones(30), np.zeros(30), 0.95, InputError, "a median time is 0"),
        (np.ones(30), np.ones(30), 95, InputError, "confidence is 95"),
        (np.ones(30), -np.ones(30), 0.95, CheckFailed, "the clock went backwards"),
        (np.full(30, np.nan), np.ones(30), 0.95, InputError, "query 0 is nan"),
    ],
)
def test_no_pairs(a: np.ndarray, b: np.ndarray, confidence: float, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        speedup_interval(a, b, confidence)
