"""Steps and drifts are found, noise is not; control limits are Montgomery's."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.core.errors import DataError, InputError, MissingRequirement
from edgekit.core.reports import Series
from edgekit.history import control_chart, drifts, worsenings
from tests.support.nights import series


def noise(seed: int, nights: int = 60) -> Any:
    return np.random.default_rng(seed).normal(size=nights)


def ramp(seed: int, start: int, nights: int = 60) -> list[float]:
    """Noise of one sigma, and a drift of three over 30 nights from ``start``."""
    return list(noise(seed, nights) + 3 * np.clip((np.arange(nights) - start) / 30, 0, 1))


def test_noise_alarms_in_at_most_two_of_a_hundred_series() -> None:
    alarms = sum(bool(drifts(series(list(noise(seed))))) for seed in range(200))
    assert alarms <= 4


def test_skewed_noise_alarms_rarely() -> None:
    alarms = sum(bool(drifts(series(list(np.exp(0.8 * noise(seed)))))) for seed in range(100))
    assert alarms <= 4


def test_a_step_of_three_sigma_is_found_where_it_is() -> None:
    distances = []
    for seed in range(30):
        found = drifts(series(list(noise(seed) + 3 * (np.arange(60) >= 45)), higher=False))
        assert len(found) == 1, seed
        distances.append(abs(found[0].index - 45))
        assert (found[0].run, found[0].time_ms) == (f"r{found[0].index}", 86_400_000 * found[0].index)
        assert found[0].direction == "worse"
        assert found[0].change == pytest.approx(found[0].after - found[0].before)
        assert 2 < found[0].change < 4
        assert 0.995 <= found[0].confidence < 1
    assert sorted(distances)[27] <= 2


@pytest.mark.parametrize(("start", "nights"), [(30, 60), (10, 60), (0, 30)])
def test_a_slow_drift_of_three_sigma_over_thirty_nights_is_found(start: int, nights: int) -> None:
    found = [drifts(series(ramp(seed, start, nights))) for seed in range(20)]
    # Alone in 30 nights, without a level before or after it, it is the hardest.
    assert sum(map(bool, found)) >= (20 if nights == 60 else 15)
    assert all(change.direction == "better" for changes in found for change in changes)


def test_a_metric_that_repeats_exactly_has_its_one_step_found() -> None:
    (change,) = drifts(series([0.7] * 20 + [0.69] * 10))
    assert (change.index, change.direction) == (20, "worse")
    assert (change.before, change.after) == (pytest.approx(0.7), pytest.approx(0.69))
    assert drifts(series([0.7] * 30)) == ()
    assert drifts(series([0.1 + 0.2, 0.3] * 15)) == ()  # rounding


def test_one_odd_night_is_no_change_but_outside_the_limits() -> None:
    values = list(noise(3))
    values[40] = 25.0
    assert drifts(series(values)) == ()
    assert control_chart(series(values)).outside == (40,)


def test_a_change_and_back_gives_two_points() -> None:
    values = noise(5) + 4 * ((np.arange(60) >= 20) & (np.arange(60) < 40))
    found = drifts(series(list(values), higher=None))
    assert [abs(c.index - i) <= 2 for c, i in zip(found, (20, 40), strict=True)] == [True, True]
    assert [c.direction for c in found] == ["changed", "changed"]
    assert found[0].after == found[1].before


@pytest.mark.parametrize("nights", range(7))
def test_few_nights_confirm_nothing(nights: int) -> None:
    assert drifts(series([0.0, 0.0, 0.0, 9.0, 9.0, 9.0][:nights])) == ()


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    step=st.sampled_from([0.0, 3.0]),
    scale=st.sampled_from([1e-3, 1.0, 1e4]),
    shift=st.floats(-100, 100),
)
def test_unit_and_sign_do_not_matter(seed: int, step: float, scale: float, shift: float) -> None:
    values = noise(seed, 40) + step * (np.arange(40) >= 25)
    found = drifts(series(list(values)))
    scaled = drifts(series([scale * (v + shift) for v in values]))
    mirrored = drifts(series([-v for v in values], higher=False))
    assert [c.index for c in found] == [c.index for c in scaled] == [c.index for c in mirrored]
    assert [c.direction for c in found] == [c.direction for c in scaled] == [c.direction for c in mirrored]


def test_the_same_series_gives_the_same_answer() -> None:
    values = series(ramp(1, 30))
    assert drifts(values) == drifts(values)


@pytest.mark.parametrize("alpha", [0.0, 0.0001, 1.0, math.nan])
def test_alpha_that_cannot_be_reached(alpha: float) -> None:
    with pytest.raises(InputError, match=r"alpha is .*, expected 0\.001 or more"):
        drifts(series([1.0] * 10), alpha)


def test_without_ruptures(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "ruptures":
            raise ModuleNotFoundError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingRequirement, match=r'pip install "edgekit\[history\]"'):
        drifts(series(list(noise(0))))


def test_control_limits_by_hand() -> None:
    chart = control_chart(series([10.0, 12.0, 11.0, 13.0]))
    # moving ranges 2, 1, 2: mean 5/3
    assert chart.centre == 11.5
    assert chart.sigma == pytest.approx(5 / 3 / 1.128)
    assert (chart.lower, chart.upper) == (
        pytest.approx(11.5 - 3 * chart.sigma),
        pytest.approx(11.5 + 3 * chart.sigma),
    )
    assert (chart.start, chart.outside, chart.changes) == (0, (), ())


def test_limits_come_from_the_newest_level() -> None:
    values = series(list(noise(2) + 10 * (np.arange(60) >= 30)))
    chart = control_chart(values)
    assert chart.start == chart.changes[-1].index == 30
    assert 9 < chart.centre < 11
    assert control_chart(values, start=0).centre == pytest.approx(np.mean(values.values))
    assert control_chart(values, start=0).outside != ()


def test_a_constant_series_is_inside_its_own_limits() -> None:
    chart = control_chart(series([0.1 + 0.2] * 7))
    assert (chart.sigma, chart.outside) == (0.0, ())


@pytest.mark.parametrize(("values", "start"), [([], None), ([1.0], None), ([1.0, 2.0], 1), ([1.0, 2.0], -1)])
def test_a_chart_needs_two_runs(values: list[float], start: int | None) -> None:
    with pytest.raises(DataError, match="a control chart needs 2 or more"):
        control_chart(series(values), start)


@pytest.mark.parametrize(
    ("field", "column", "words"),
    [
        ("times_ms", (0, 2, 1), "time goes back from 2 to 1 ms"),
        ("times_ms", (0, 1), "3 values, but {'times_ms': 2}"),
        ("values", (0.1, math.nan, 0.2), "the value of run b is nan"),
        ("values", (0.1, 0.2, math.inf), "the value of run c is inf"),
        ("verdicts", (), "3 values, but {'verdicts': 0}"),
    ],
)
def test_a_series_checks_itself(field: str, column: tuple[Any, ...], words: str) -> None:
    none = (None,) * 3
    good = {"times_ms": (0, 1, 2), "values": (0.1, 0.2, 0.3), "runs": ("a", "b", "c"), "verdicts": ("", "", "")}
    with pytest.raises(DataError, match=words):
        Series(metric="m", target="cpu", low=none, high=none, **{**good, field: column})  # type: ignore[arg-type]


LEVELS = {
    "down": ([0.7, 0.68], [15]),
    "down and up again": ([0.7, 0.68, 0.7], []),
    "down, and half-way up": ([0.7, 0.66, 0.68], [15]),
    "up": ([0.68, 0.7], []),
    "up, and down to where it was": ([0.68, 0.7, 0.68], [30]),
    "down twice": ([0.7, 0.68, 0.66], [15, 30]),
    "level": ([0.7], []),
}


@pytest.mark.parametrize("case", LEVELS)
def test_what_got_worse_and_stayed_so(case: str) -> None:
    levels, standing = LEVELS[case]
    values = [level + 0.001 * wobble for i, level in enumerate(levels) for wobble in noise(i, 15)]
    found = worsenings(control_chart(series(values)))
    assert [one.change.index for one in found] == standing
    assert all(one.metric == "miou" and one.now == pytest.approx(levels[-1], abs=0.001) for one in found)
    mirrored = worsenings(control_chart(series([-value for value in values], higher=False)))
    assert [one.change.index for one in mirrored] == standing
    assert worsenings(control_chart(series(values, higher=None))) == ()
