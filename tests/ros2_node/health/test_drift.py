from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from edgekit.core.tensors import Array
from edgekit.evaluation.input_statistics import JUDGED, InputStatistics, measure, statistics_of
from edgekit.ros2_node.health import Level, Limits, Monitor, Processed, Status
from edgekit.ros2_node.health._drift import beyond, ks_distance, population_stability
from tests.evaluation.test_input_statistics import street

REFERENCE = statistics_of([measure(street(seed)) for seed in range(40)], "made")
LEVELS = tuple(np.linspace(0, 1, 201))


def normal() -> InputStatistics:
    """A reference of which one feature is the standard normal distribution, finely told."""
    values = tuple(np.clip(stats.norm.ppf(LEVELS), -4, 4))
    document = REFERENCE.model_dump() | {"levels": LEVELS}
    document["quantiles"] = dict.fromkeys(JUDGED, values)
    return InputStatistics.model_validate(document)


NORMAL = normal()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-3, 3), min_size=1, max_size=60))
def test_ks_distance_is_that_of_scipy(values: list[float]) -> None:
    wanted = stats.kstest(values, "norm").statistic
    assert ks_distance(np.array(values), NORMAL, "sky") == pytest.approx(wanted, abs=0.01)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60))
def test_both_measures_stay_in_their_range(values: list[float]) -> None:
    assert 0 <= ks_distance(np.array(values), NORMAL, "sky") <= 1
    assert population_stability(np.array(values), NORMAL, "sky") >= 0


def test_psi_of_the_same_distribution_is_near_zero_and_of_another_large() -> None:
    rng = np.random.default_rng(0)
    assert population_stability(rng.normal(size=5000), NORMAL, "sky") < 0.01
    assert population_stability(rng.normal(1.5, size=5000), NORMAL, "sky") > 0.5


def test_psi_by_hand() -> None:
    """Twenty frames in one tenth: 20.5 of 25 there, 0.5 of 25 in each of the others."""
    shares = np.array([20.5] + [0.5] * 9) / 25
    wanted = float(((shares - 0.1) * np.log(shares / 0.1)).sum())
    assert population_stability(np.full(20, -5.0), NORMAL, "sky") == pytest.approx(wanted)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.integers(0, 40), st.sampled_from(list(JUDGED)))
def test_the_share_beyond_is_counted_on_the_judged_sides(inside: int, out: int, name: str) -> None:
    rows = np.tile([NORMAL.quantile(feature, 0.5) for feature in JUDGED], (inside + out, 1))
    k = list(JUDGED).index(name)
    rows[inside:, k] = 1e9
    wanted = 0.0 if JUDGED[name].sides == "low" else out / (inside + out)
    assert beyond(rows, NORMAL, 1.0)[name] == pytest.approx(wanted)
    rows[inside:, k] = -1e9
    wanted = 0.0 if JUDGED[name].sides == "high" else out / (inside + out)
    assert beyond(rows, NORMAL, 1.0)[name] == pytest.approx(wanted)


def test_one_large_share_is_not_the_sum_of_both_sides() -> None:
    rows = np.zeros((4, len(JUDGED)))
    rows[:2, 0], rows[2:, 0] = -1e9, 1e9
    assert beyond(rows, NORMAL, 1.0)["brightness"] == 0.5


class Drive:
    """Frames at 3 Hz through a monitor."""

    def __init__(self, reference: InputStatistics | None = REFERENCE) -> None:
        self.monitor = Monitor(Limits(), [""], reference)
        self.now_s = 50.0
        self.monitor.active(True, self.now_s)

    def frame(self, image: Array) -> Status:
        self.now_s += 1 / 3
        self.monitor.processed(Processed("", self.now_s, self.now_s, image))
        return next(each for each in self.monitor.statuses(self.now_s) if each.name == "input drift")


def dark(seed: int) -> Array:
    return (street(seed) * 0.1).astype(np.uint8)


def test_a_drive_of_the_kind_is_no_drift_and_says_how_near_it_is() -> None:
    drive = Drive()
    found = [drive.frame(street(500 + k)) for k in range(30)]
    assert {each.level for each in found} == {Level.OK}
    values = dict(found[-1].values)
    assert values["Frames in window"] in ("15", "16")
    assert set(JUDGED) <= set(values)
    assert float(values["Share beyond the reference"]) < 0.6


def test_a_drive_in_the_dark_is_found_once_the_window_is_full() -> None:
    drive = Drive()
    levels = [drive.frame(dark(500 + k)).level for k in range(30)]
    first = levels.index(Level.WARN)
    assert 4.0 <= first / 3 <= 5.0
    assert set(levels[first:]) == {Level.WARN}
    told = drive.frame(dark(9)).message
    assert told.startswith("The input is not as at calibration: brightness ")
    assert "(reference " in told


def test_a_change_on_the_way_is_found_within_ten_seconds_and_ends() -> None:
    drive = Drive()
    for k in range(30):
        drive.frame(street(500 + k))
    after = [drive.frame(dark(600 + k)).level for k in range(30)]
    assert after.index(Level.WARN) / 3 < 10
    back = [drive.frame(street(700 + k)).level for k in range(30)]
    assert back[-1] == Level.OK
    assert sum(a != b for a, b in itertools.pairwise(back)) == 1


def test_a_short_shadow_is_no_drift() -> None:
    drive = Drive()
    images = [street(500 + k) for k in range(10)] + [dark(k) for k in range(6)] + [street(600 + k) for k in range(10)]
    assert {drive.frame(image).level for image in images} == {Level.OK}


def test_without_a_reference_it_says_so() -> None:
    status = Drive(None).frame(street(0))
    assert (status.level, status.message.split(":")[0]) == (Level.OK, "no reference")


def test_a_camera_at_thirty_hertz_is_sampled() -> None:
    drive = Drive()
    for k in range(300):
        drive.now_s += 1 / 30 - 1 / 3
        status = drive.frame(street(500 + k % 7))
    assert 14 <= int(dict(status.values)["Frames in window"]) <= 16
