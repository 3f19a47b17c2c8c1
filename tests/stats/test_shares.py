"""Intervals of shares: against the binomial, and against simulated rows whose neighbours resemble each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from edgekit.core.errors import InputError
from edgekit.stats.shares import Share


@given(of=st.integers(1, 400), part=st.floats(0, 1), confidence=st.floats(0.6, 0.999))
def test_the_ends_are_where_the_binomial_tails_are(of: int, part: float, confidence: float) -> None:
    events, tail = round(part * of), (1 - confidence) / 2
    found = Share(events, of).interval(confidence)
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low <= events / of <= found.high <= 1
    if events > 0:
        assert binom.sf(events - 1, of, found.low) == pytest.approx(tail, rel=1e-6)
    if events < of:
        assert binom.cdf(events, of, found.high) == pytest.approx(tail, rel=1e-6)


@given(of=st.integers(2, 5000), part=st.floats(0, 1), r=st.floats(-1, 1))
def test_neighbours_that_resemble_each_other_say_less(of: int, part: float, r: float) -> None:
    events = round(part * of)
    plain, found = Share(events, of), Share.correlated(events, of, r)
    assert found.events / found.of == pytest.approx(events / of)
    assert 1 <= found.of <= of
    assert found.of == of if r <= 0 else found.of <= of
    assert r < 0.5 or found.of <= max(1, of / 2)
    low, high = found.interval(0.95).low, found.interval(0.95).high
    around = plain.interval(0.95)
    assert low is not None and high is not None and around.low is not None and around.high is not None  # noqa: PT018
    assert high - low >= around.high - around.low - 1e-9


def test_the_interval_covers_the_share_of_a_markov_chain() -> None:
    rng, covered, naive, runs, n = np.random.default_rng(1), 0, 0, 300, 2000
    starts, ends = 0.01, 0.09  # a tenth late, in bursts of eleven: neighbours correlated by 0.9
    for _ in range(runs):
        draws, late, state = rng.random(n), np.zeros(n, bool), False
        for i, draw in enumerate(draws):
            state = draw < starts if not state else draw >= ends
            late[i] = state
        own = late - late.mean()
        r = float(own[:-1] @ own[1:] / (own @ own)) if own.any() else 0.0
        for share, plain in ((Share.correlated(int(late.sum()), n, r), False), (Share(int(late.sum()), n), True)):
            found = share.interval(0.95)
            assert found.low is not None
            assert found.high is not None
            hit = found.low <= 0.1 <= found.high
            naive, covered = naive + (hit and plain), covered + (hit and not plain)
    assert covered / runs >= 0.9
    assert naive / runs < 0.7


@given(of=st.integers(20, 2000), part=st.floats(0, 0.2), limit=st.floats(0.001, 0.5))
def test_what_is_needed_decides_and_half_of_it_does_not(of: int, part: float, limit: float) -> None:
    share = Share(round(part * of), of)
    inside = share.interval(0.95)
    assert inside.low is not None
    assert inside.high is not None
    if not inside.low < limit < inside.high or abs(share.events / of - limit) < 1e-3:
        return
    needed = share.required(limit, 0.95, of)
    assert needed is not None
    assert needed > of

    def decided(size: float) -> bool:
        found = Share(share.events * size / of, size).interval(0.95)
        assert found.low is not None
        assert found.high is not None
        return found.high <= limit or found.low > limit

    assert decided(needed)
    assert needed < 2 * of or not decided(needed / 2)


def test_none_late_in_3688_shows_less_than_one_in_a_thousand() -> None:
    """The rule of three, for both tails: 3.689 / n."""
    assert Share(0, 700).required(0.001, 0.95, 700) == pytest.approx(3688, abs=2)
    assert Share(0, 700).required(0.0, 0.95, 700) is None


def test_a_number_beyond_a_thousand_million_is_no_number() -> None:
    """The tries go up with the square of the distance: a hundredth of it takes 10,000 times as many."""
    near, nearer = (Share(70, 700).required(0.1 * (1 + distance), 0.95, 700) for distance in (1e-3, 1e-5))
    assert near == pytest.approx(1.96**2 * 0.1 * 0.9 / 1e-4**2, rel=0.01)
    assert nearer is None


@pytest.mark.parametrize(("events", "of"), [(-1, 5), (6, 5), (0, 0)])
def test_a_share_that_cannot_be(events: float, of: float) -> None:
    with pytest.raises(InputError, match="expected 0 or more events"):
        Share(events, of)
