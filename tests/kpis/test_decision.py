"""An interval against a limit, and how many samples would decide it."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edgekit.core.reports import Interval
from edgekit.kpis.decision import decide, required
from edgekit.kpis.numbers import Sampling

FRAMES = Sampling(40, "frames", 0.95)
VALUES = st.floats(-1e3, 1e3)


@pytest.mark.parametrize(
    ("interval", "limit", "upper", "expected"),
    [
        (Interval(1.0, 2.0), 2.0, True, "pass"),
        (Interval(1.0, 2.0), 1.99, True, "undecided"),
        (Interval(1.0, 2.0), 1.0, True, "undecided"),
        (Interval(1.0, 2.0), 0.99, True, "fail"),
        (Interval(1.0, 2.0), 1.0, False, "pass"),
        (Interval(1.0, 2.0), 1.01, False, "undecided"),
        (Interval(1.0, 2.0), 2.01, False, "fail"),
        (Interval(1.0, None), 5.0, True, "undecided"),
        (Interval(1.0, None), 0.5, True, "fail"),
        (Interval(1.0, None), 0.5, False, "pass"),
        (Interval(None, 2.0), 2.5, True, "pass"),
        (Interval(None, 2.0), 2.5, False, "fail"),
        (Interval(None, None), 2.5, False, "undecided"),
    ],
)
def test_the_whole_interval_decides(interval: Interval, limit: float, upper: bool, expected: str) -> None:
    assert decide(1.5, interval, limit, upper, FRAMES).verdict == expected


@given(ends=st.tuples(VALUES, VALUES).map(sorted), limit=VALUES)
def test_either_side_is_the_mirror_of_the_other(ends: list[float], limit: float) -> None:
    low, high = ends
    middle = (low + high) / 2
    here = decide(middle, Interval(low, high), limit, True, FRAMES)
    there = decide(-middle, Interval(-high, -low), -limit, False, FRAMES)
    assert here == there


@given(ends=st.tuples(VALUES, VALUES).map(sorted), limit=VALUES, upper=st.booleans())
def test_an_exact_value_is_never_undecided(ends: list[float], limit: float, upper: bool) -> None:
    assert decide(ends[0], None, limit, upper, FRAMES).verdict != "undecided"
    assert decide(ends[0], Interval(ends[0], ends[0]), limit, upper, FRAMES).verdict != "undecided"


def test_needed_frames_are_said() -> None:
    # h = 0.028, d = 0.01: 40 * 2.8 ** 2 = 313.6.
    found = decide(0.01, Interval(-0.018, 0.038), 0.02, True, FRAMES)
    assert found.needed == 314
    assert found.reason == "cannot be decided with 40 frames; about 314 are needed"


@pytest.mark.parametrize(("limit", "needed"), [(0.02, 314), (0.0, 79), (0.01, None)])
def test_the_end_on_the_side_of_the_limit_says_how_many(limit: float, needed: int | None) -> None:
    # Above h = 0.028 as before; below h = 0.014: 40 * 1.4 ** 2 = 78.4; at the limit itself no number decides.
    assert decide(0.01, Interval(-0.004, 0.038), limit, True, FRAMES).needed == needed


@given(size=st.integers(1, 10_000), half=st.floats(1e-2, 1), distance=st.floats(1e-2, 1))
def test_so_many_samples_bring_the_interval_to_the_limit(size: int, half: float, distance: float) -> None:
    assume(distance < half)
    needed = required(size, half, distance)
    assert needed is not None
    assert needed > size
    assert half * (size / needed) ** 0.5 <= distance * (1 + 1e-9)
    assert needed == size + 1 or half * (size / (needed - 1)) ** 0.5 >= distance * (1 - 1e-9)


def test_a_value_at_the_limit_needs_no_number() -> None:
    found = decide(0.02, Interval(0.01, 0.03), 0.02, True, FRAMES)
    assert (found.verdict, found.needed) == ("undecided", None)
    assert "too close to the limit" in found.reason


@pytest.mark.parametrize(("quantile", "fewest"), [(0.9, 64), (0.99, 662), (0.999, 6636)])
def test_a_percentile_without_an_end_needs_the_minimum_of_mlperf(quantile: float, fewest: int) -> None:
    found = decide(10.0, Interval(9.0, None), 50.0, True, Sampling(40, "queries", 0.95, quantile))
    assert found.needed == fewest
    assert f"at least {fewest} are needed" in found.reason


def test_a_missing_interval_is_said_only_of_what_is_sampled() -> None:
    assert decide(1.0, None, 2.0, True, FRAMES).reason == "no interval measured"
    assert decide(1.0, None, 2.0, True).reason == ""
