"""The load generator on a clock that only moves when it is told to."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.core.errors import CheckFailed, InputError
from edgekit.profiling import ConstantStream, Offline, SingleStream
from edgekit.profiling.scenarios import SPIN_NS, TOLERANCE_NS, WINDOW, Scenario, Timeline, run

MS = 1_000_000


class World:
    """A clock in nanoseconds, a query that takes ``takes(n)`` of them, a sleep that comes back late."""

    def __init__(self, takes: Callable[[int], int], tick: int = 10, oversleep: int = 0) -> None:
        self.now, self.takes, self.tick, self.oversleep = 5_000, takes, tick, oversleep
        self.issued: list[int] = []
        self.slept: list[float] = []

    def clock(self) -> int:
        self.now += self.tick
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += round(seconds * 1e9) + self.oversleep

    def issue(self, query: int) -> None:
        self.now += self.takes(len(self.issued))
        self.issued.append(query)

    def run(self, scenario: Scenario) -> Timeline:
        return run(scenario, self.issue, self.clock, self.sleep)


def test_single_stream_issues_one_after_the_other() -> None:
    world = World(lambda n: 2 * MS)
    timeline = world.run(SingleStream(queries=30, warmup=25))
    assert world.slept == []
    assert (timeline.warmup, timeline.stable) == (30, True)  # 25, rounded up to whole windows
    assert world.issued == [*range(30), *range(30)]
    assert timeline.start_ns.dtype == timeline.end_ns.dtype == np.int64
    np.testing.assert_array_equal(timeline.end_ns - timeline.start_ns, 2 * MS + 10)
    np.testing.assert_array_equal(timeline.start_ns[1:] - timeline.end_ns[:-1], 10)
    np.testing.assert_array_equal(timeline.latency_ms, timeline.service_ms)
    assert not timeline.late.any()
    assert not timeline.queueing_ms.any()


def test_warm_up_goes_on_until_times_settle() -> None:
    world = World(lambda n: 9 * MS if n < 15 else 4 * MS)
    timeline = world.run(SingleStream(queries=50, warmup=5))
    assert timeline.stable
    assert timeline.warmup == 40  # the window that is half slow agrees with none beside it
    np.testing.assert_allclose(timeline.service_ms, 4.00001)


def test_warm_up_of_one_slow_query_in_a_window_is_over() -> None:
    assert World(lambda n: 40 * MS if n == 3 else 4 * MS).run(SingleStream(50, 1)).warmup == 2 * WINDOW


def test_times_that_never_settle_are_said() -> None:
    world = World(lambda n: (1 + n // WINDOW) * MS)
    timeline = world.run(SingleStream(queries=10, warmup=3, max_warmup=57))
    assert (timeline.warmup, timeline.stable) == (57, False)
    assert world.issued[:57] == [n % 10 for n in range(57)]


def test_steps_of_the_clock_do_not_keep_warm_up_going() -> None:
    assert World(lambda n: TOLERANCE_NS // 2 * (n // WINDOW % 2)).run(SingleStream(10, 1)).warmup == 2 * WINDOW


def test_warmup_may_exceed_the_most() -> None:
    assert World(lambda n: MS).run(SingleStream(10, warmup=80, max_warmup=40)).warmup == 80


def test_idle_gaps_come_before_each_query_and_do_not_count() -> None:
    world = World(lambda n: 2 * MS)
    timeline = world.run(SingleStream(queries=12, warmup=20, idle_gap_ms=7.5))
    assert world.slept == [0.0075] * 12
    np.testing.assert_allclose(timeline.latency_ms, 2.00001)


def test_offline_has_everything_due_at_once() -> None:
    timeline = World(lambda n: 2 * MS, tick=0).run(Offline(queries=50, warmup=20))
    assert timeline.throughput_hz == pytest.approx(500)
    np.testing.assert_allclose(timeline.latency_ms, 2.0 * np.arange(1, 51))
    np.testing.assert_allclose(timeline.service_ms, 2.0)


@given(st.floats(1, 2000), st.integers(0, SPIN_NS - 1000))
def test_constant_stream_keeps_its_schedule(rate_hz: float, oversleep: int) -> None:
    world = World(lambda n: 10_000, tick=5_000, oversleep=oversleep)
    timeline = world.run(ConstantStream(rate_hz, queries=40, warmup=1))
    schedule = timeline.scheduled_ns - timeline.scheduled_ns[0]
    np.testing.assert_allclose(schedule, np.arange(40) * 1e9 / rate_hz, atol=0.5)
    assert timeline.queueing_ms.min() >= 0
    assert timeline.queueing_ms.max() <= 2 * world.tick / MS
    assert not timeline.late.any()
    assert timeline.rate_hz == pytest.approx(rate_hz, rel=1e-3)


def test_a_slow_query_delays_those_behind_it_and_none_is_left_out() -> None:
    warm = 2 * WINDOW
    world = World(lambda n: 35 * MS if n == warm + 2 else MS)
    timeline = world.run(ConstantStream(100, queries=10, warmup=1))
    assert world.issued[warm:] == list(range(10))
    assert timeline.late.tolist() == [False] * 3 + [True] * 3 + [False] * 4
    np.testing.assert_allclose(timeline.queueing_ms, [0, 0, 0, 25, 16, 7, 0, 0, 0, 0], atol=1e-3)
    np.testing.assert_allclose(timeline.latency_ms, [1, 1, 35, 26, 17, 8, 1, 1, 1, 1], atol=1e-3)
    np.testing.assert_allclose(timeline.service_ms, [1, 1, 35, 1, 1, 1, 1, 1, 1, 1], atol=1e-3)


def test_a_rate_that_cannot_be_kept_shows() -> None:
    timeline = World(lambda n: 40 * MS).run(ConstantStream(50, queries=20, warmup=1))
    assert timeline.rate_hz == pytest.approx(25, rel=1e-3)
    assert timeline.late.sum() == 19
    assert timeline.queueing_ms[-1] == pytest.approx(19 * 20, rel=1e-3)


def test_one_query_has_no_rate() -> None:
    timeline = World(lambda n: MS, tick=0).run(SingleStream(queries=1, warmup=1))
    assert timeline.rate_hz is None
    assert timeline.throughput_hz == 1000
    assert World(lambda n: 0, tick=0).run(SingleStream(queries=2, warmup=1)).throughput_hz is None


def test_real_clock() -> None:
    timeline = run(ConstantStream(500, queries=20, warmup=1), lambda query: time.sleep(0))
    assert (timeline.start_ns >= timeline.scheduled_ns).all()
    assert (timeline.end_ns >= timeline.start_ns).all()


@pytest.mark.parametrize("scenario", [SingleStream(30, 1), ConstantStream(100, 30, 1), Offline(30, 1)])
@pytest.mark.parametrize("when", [7, 2 * WINDOW + 7])
def test_a_clock_that_goes_backwards_while_a_query_runs(scenario: Scenario, when: int) -> None:
    world = World(lambda n: -300 if n == when else MS)
    with pytest.raises(CheckFailed, match=r"the clock went backwards by 290 ns.*monotonic clock"):
        world.run(scenario)


def test_a_clock_that_goes_backwards_between_queries() -> None:
    world, readings = World(lambda n: MS), 0

    def clock() -> int:
        nonlocal readings
        readings += 1
        world.now -= 50 if readings == 2 * 2 * WINDOW + 11 else 0  # the begin of query 5
        return world.clock()

    with pytest.raises(CheckFailed, match="backwards by 40 ns"):
        run(SingleStream(10, 1), world.issue, clock, world.sleep)


def test_a_clock_that_goes_backwards_while_waiting() -> None:
    world, slept = World(lambda n: MS), 0

    def sleep(seconds: float) -> None:
        nonlocal slept
        slept += 1
        world.now -= 3600 * 10**9

    with pytest.raises(CheckFailed, match="backwards by 35999"):
        run(ConstantStream(100, 10, 1), world.issue, world.clock, sleep)
    assert slept == 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SingleStream(queries=0), "queries is 0; at least 1 must run"),
        (lambda: ConstantStream(30, queries=-1), "queries is -1"),
        (lambda: Offline(warmup=0), "warmup is 0; at least 1 query must run before timing"),
        (lambda: Offline(max_warmup=0), "max_warmup is 0"),
        (lambda: SingleStream(idle_gap_ms=-1), "idle gap is -1 ms; expected 0 or more"),
        (lambda: SingleStream(idle_gap_ms=float("nan")), "idle gap is nan ms"),
        (lambda: ConstantStream(0), "rate is 0 Hz; expected more than 0"),
        (lambda: ConstantStream(float("inf")), "rate is inf Hz"),
    ],
)
def test_scenarios_check_themselves(make: Callable[[], Scenario], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()
