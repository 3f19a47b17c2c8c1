"""The one rule for "faster", on times whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.core.errors import InputError
from edgekit.core.reports import Interval
from edgekit.stats.faster import MARGIN, Speedup, clears, faster, speedup


def times(
    ratio: float, between: float, seed: int, openings: int = 10, each: int = 8
) -> tuple[list[float], list[float]]:
    """Control and candidate: ``ratio`` as fast, openings that differ by ``between``, queries by 1 %."""
    rng = np.random.default_rng(seed)
    opening = rng.normal(0, between, (2, openings, 1))
    query = rng.normal(0, 0.01, (2, openings, each))
    control, candidate = (np.exp(opening + query) * np.array([ratio, 1.0])[:, None, None]).reshape(2, -1)
    return control.tolist(), candidate.tolist()


@pytest.mark.parametrize(("ratio", "verdict"), [(1.5, "faster"), (1.2, "faster"), (0.9, "rejected"), (0.6, "rejected")])
def test_a_clear_difference_is_found(ratio: float, verdict: str) -> None:
    for seed in range(10):
        found = speedup(*times(ratio, 0.01, seed), openings=10)
        assert found.ratio == pytest.approx(ratio, rel=0.05)
        assert faster(found) == verdict


def test_equal_engines_are_hardly_ever_called_faster() -> None:
    """Openings differ by 4 %: by queries alone a third of these pairs would be called faster."""
    verdicts = [faster(speedup(*times(1.0, 0.04, seed), openings=10)) for seed in range(60)]
    assert verdicts.count("faster") <= 2


@pytest.mark.parametrize("openings", [1, 4])
def test_too_few_openings_decide_nothing(openings: int) -> None:
    found = speedup(*times(3.0, 0.0, 0, openings=openings), openings=openings)
    assert found.interval == Interval(None, None)
    assert faster(found) == "undecided"


def test_the_whole_interval_must_clear_the_margin() -> None:
    assert faster(Speedup(1.05, Interval(MARGIN, 1.08), 10)) == "faster"
    assert faster(Speedup(1.05, Interval(MARGIN - 0.001, 1.08), 10)) == "undecided"
    assert faster(Speedup(1.0, Interval(0.99, MARGIN - 0.001), 10)) == "rejected"
    assert faster(Speedup(1.3, Interval(None, 1.4), 10)) == "undecided"
    assert faster(Speedup(1.3, Interval(1.2, None), 10)) == "faster"
    assert str(Speedup(1.05, Interval(None, 1.08), 10)) == "1.05x [?, 1.08]"


@pytest.mark.parametrize("upper", [True, False])
def test_an_end_on_the_limit_keeps_it(upper: bool) -> None:
    assert clears(Interval(1.0, 1.0), 1.0, upper) == "pass"
    assert clears(Interval(0.9, 1.1), 1.0, upper) == "undecided"
    assert clears(Interval(0.9, 1.0), 1.0, upper) == ("pass" if upper else "undecided")
    assert clears(Interval(1.0, 1.1), 1.0, upper) == ("undecided" if upper else "pass")


def test_other_numbers_of_times_are_no_pairs() -> None:
    with pytest.raises(InputError, match="8 times against 9"):
        speedup([1.0] * 8, [1.0] * 9, openings=8)
