"""The load generator: when to issue queries, and what the clock said.  It knows nothing of models.

The scenarios are those of MLPerf Automotive: single-stream, constant-stream and offline.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgekit.core.errors import CheckFailed, InputError
from edgekit.core.tensors import Array

QUERIES = 700
WARMUP = 20
MAX_WARMUP = 300
WINDOW = 10
# Warm-up ends when the medians of the last two windows are this close; the clock's own steps are not a difference.
TOLERANCE = 0.05
TOLERANCE_NS = 1000
# time.sleep returns late by less than this; the rest is waited for by reading the clock.
SPIN_NS = 1_000_000

Issue = Callable[[int], None]
"""Runs one query to its end; its argument is the query's number, 0 to ``queries - 1``, in warm-up too."""
Clock = Callable[[], int]
"""Nanoseconds, never going backwards."""
Sleep = Callable[[float], None]
"""Waits for seconds, at least."""


@dataclass(frozen=True)
class SingleStream:
    """One query after the other; the next is due when the last has ended.

    ``warmup`` queries run before those that count, and more until their times are stable, at most ``max_warmup``.
    ``idle_gap_ms`` is a pause before each query that counts: it shows what a cold cache and a low clock cost.
    """

    queries: int = QUERIES
    warmup: int = WARMUP
    idle_gap_ms: float = 0.0
    max_warmup: int = MAX_WARMUP
    name: ClassVar[str] = "single-stream"

    def __post_init__(self) -> None:
        _check_counts(self.queries, self.warmup, self.max_warmup)
        if not (math.isfinite(self.idle_gap_ms) and self.idle_gap_ms >= 0):
            raise InputError(f"idle gap is {self.idle_gap_ms} ms; expected 0 or more milliseconds")


@dataclass(frozen=True)
class ConstantStream:
    """Queries at a fixed rate, as a camera sends frames; the schedule does not wait for a query that is late."""

    rate_hz: float
    queries: int = QUERIES
    warmup: int = WARMUP
    max_warmup: int = MAX_WARMUP
    name: ClassVar[str] = "constant-stream"

    def __post_init__(self) -> None:
        _check_counts(self.queries, self.warmup, self.max_warmup)
        if not (math.isfinite(self.rate_hz) and 0 < self.rate_hz <= 1e6):
            raise InputError(f"rate is {self.rate_hz} Hz; expected more than 0 and at most 1000000 queries a second")


@dataclass(frozen=True)
class Offline:
    """All queries due at once, one after the other as fast as they go: what counts is the throughput."""

    queries: int = QUERIES
    warmup: int = WARMUP
    max_warmup: int = MAX_WARMUP
    name: ClassVar[str] = "offline"

    def __post_init__(self) -> None:
        _check_counts(self.queries, self.warmup, self.max_warmup)


Scenario = SingleStream | ConstantStream | Offline


@dataclass(frozen=True)
class Timeline:
    """When each query that counts was due, began and ended: nanoseconds of one clock, int64, shape ``(queries,)``.

    ``warmup`` is how many queries ran before; ``stable`` whether their times had settled by then.
    """

    scheduled_ns: Array
    start_ns: Array
    end_ns: Array
    warmup: int
    stable: bool

    @property
    def latency_ms(self) -> Array:
        """Due to end: a query that had to wait is as slow as its user sees it (no coordinated omission)."""
        return (self.end_ns - self.scheduled_ns) / 1e6

    @property
    def service_ms(self) -> Array:
        """Begin to end."""
        return (self.end_ns - self.start_ns) / 1e6

    @property
    def queueing_ms(self) -> Array:
        """Due to begin."""
        return (self.start_ns - self.scheduled_ns) / 1e6

    @property
    def late(self) -> Array:
        """Bool: the query was due while the one before it still ran."""
        return np.concatenate(([False], self.end_ns[:-1] > self.scheduled_ns[1:]))

    @property
    def rate_hz(self) -> float | None:
        """Begins per second, first to last; None for one query."""
        return _per_second(len(self.start_ns) - 1, int(self.start_ns[-1] - self.start_ns[0]))

    @property
    def throughput_hz(self) -> float | None:
        """Ends per second from the first begin to the last end; None when the clock did not move."""
        return _per_second(len(self.start_ns), int(self.end_ns[-1] - self.start_ns[0]))


def run(scenario: Scenario, issue: Issue, clock: Clock = time.perf_counter_ns, sleep: Sleep = time.sleep) -> Timeline:
    """Warm up, then issue the queries of ``scenario``, each from this thread.

    Between two readings of the clock there is nothing but the call of ``issue``; the times go into arrays that are
    allocated before.

    Raises:
        CheckFailed: the clock went backwards.
    """
    warmup, stable = _warm_up(scenario, issue, clock)
    start, end = np.zeros(scenario.queries, np.int64), np.zeros(scenario.queries, np.int64)
    due = start
    if isinstance(scenario, ConstantStream):
        due = clock() + SPIN_NS + np.rint(np.arange(scenario.queries) * (1e9 / scenario.rate_hz)).astype(np.int64)
        _paced(issue, clock, sleep, due, start, end)
    elif isinstance(scenario, SingleStream) and scenario.idle_gap_ms:
        _with_gaps(issue, clock, sleep, scenario.idle_gap_ms / 1e3, start, end)
    else:
        _back_to_back(issue, clock, start, end)
    if isinstance(scenario, Offline):
        due = np.full_like(start, start[0])
    _check_clock(due, start, end)
    return Timeline(due, start, end, warmup, stable)


def _back_to_back(issue: Issue, clock: Clock, start: Array, end: Array) -> None:
    for query in range(len(start)):
        start[query] = clock()
        issue(query)
        end[query] = clock()


def _with_gaps(issue: Issue, clock: Clock, sleep: Sleep, gap_s: float, start: Array, end: Array) -> None:
    for query in range(len(start)):
        sleep(gap_s)
        start[query] = clock()
        issue(query)
        end[query] = clock()


def _paced(issue: Issue, clock: Clock, sleep: Sleep, due: Array, start: Array, end: Array) -> None:
    for query, moment in enumerate(due.tolist()):
        start[query] = _wait_until(moment, clock, sleep)
        issue(query)
        end[query] = clock()


def _wait_until(moment_ns: int, clock: Clock, sleep: Sleep) -> int:
    """Sleep until shortly before the moment, then read the clock until it has come; returns the last reading."""
    now = clock()
    if moment_ns - now > SPIN_NS:
        sleep((moment_ns - now - SPIN_NS) / 1e9)
    while now < moment_ns:
        last, now = now, clock()
        if now < last:
            raise _backwards(last - now)
    return now


def _warm_up(scenario: Scenario, issue: Issue, clock: Clock) -> tuple[int, bool]:
    """Queries that ran, and whether the medians of their last two windows agree."""
    times = np.zeros(max(scenario.warmup, scenario.max_warmup), np.int64)
    for query in range(len(times)):
        began = clock()
        issue(query % scenario.queries)
        times[query] = clock() - began
        if times[query] < 0:
            raise _backwards(-int(times[query]))
        ran = query + 1
        if ran >= scenario.warmup and ran % WINDOW == 0 and _settled(times[:ran]):
            return ran, True
    return len(times), False


def _settled(times: Array) -> bool:
    if len(times) < 2 * WINDOW:
        return False
    before, now = np.median(times[-2 * WINDOW : -WINDOW]), np.median(times[-WINDOW:])
    return bool(abs(before - now) <= max(TOLERANCE * before, TOLERANCE_NS))


def _check_clock(due: Array, start: Array, end: Array) -> None:
    readings = np.stack([start, end], axis=1).ravel()
    steps = np.append(np.diff(readings), (start - due).min())
    if steps.min() < 0:
        raise _backwards(-int(steps.min()))


def _backwards(nanoseconds: int) -> CheckFailed:
    return CheckFailed(
        f"the clock went backwards by {nanoseconds} ns while queries ran; measure with a monotonic clock, "
        "as time.perf_counter_ns"
    )


def _check_counts(queries: int, warmup: int, max_warmup: int) -> None:
    if queries < 1:
        raise InputError(f"queries is {queries}; at least 1 must run")
    if warmup < 1:
        raise InputError(f"warmup is {warmup}; at least 1 query must run before timing")
    if max_warmup < 1:
        raise InputError(f"max_warmup is {max_warmup}; at least 1 query must run before timing")


def _per_second(events: int, nanoseconds: int) -> float | None:
    return events / nanoseconds * 1e9 if events and nanoseconds else None
