"""The inference thread: takes the newest frames, runs the chain, hands the results on."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edgekit.core.errors import DataError, EdgekitError, TensorError, os_reason
from edgekit.core.tensors import Arrays
from edgekit.engine import Chain
from edgekit.ros2_node.frame import Query, Result
from edgekit.ros2_node.heartbeat import Heartbeat
from edgekit.ros2_node.inbox import Inbox

RECENT = 50
"""Inferences whose median says how long one takes."""


class Listener(Protocol):
    """Who is told; every method is called on the inference thread."""

    def result(self, result: Result) -> None:
        """A query was answered."""

    def refused(self, query: Query, reason: str) -> None:
        """A frame could not be read or prepared; the engine was not asked."""

    def late(self, query: Query, age_s: float) -> None:
        """A query was dropped, since it was past the deadline before its inference."""

    def failed(self, reason: str) -> None:
        """The engine failed, and the thread ends."""


@dataclass(frozen=True)
class Schedule:
    """How the thread runs.

    ``period_s`` is that of a camera; ``hang_periods`` of it, or of an inference where these take longer, are the limit
    of one.  ``drop_after_s`` is asked for each query: older ones are dropped; 0: none.
    """

    period_s: float
    hang_periods: float = 2.0
    first_s: float = 0.0
    drop_after_s: Callable[[], float] = lambda: 0.0
    fifo: int = 0
    processors: tuple[int, ...] = ()


class Worker:
    """Runs queries of an inbox, one after the other, on a thread of its own until the inbox is closed.

    Args:
        chain: is asked before each query; its engine is open, and nobody else uses it.
        inbox: where the queries come from.
        listener: is told what became of them.
        schedule: how the thread runs.
        heartbeat: is told when an inference begins and ends.
        now: seconds, the clock of the stamps.
    """

    def __init__(
        self,
        chain: Callable[[], Chain],
        inbox: Inbox,
        listener: Listener,
        schedule: Schedule,
        heartbeat: Heartbeat,
        now: Callable[[], float],
    ) -> None:
        self._chain, self._inbox, self._listener = chain, inbox, listener
        self._schedule, self._heartbeat, self._now = schedule, heartbeat, now
        self._recent: deque[float] = deque([schedule.first_s], RECENT)
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self.refused_by_system: tuple[str, ...] = ()
        """What the operating system did not allow of the schedule, in words; known once the thread runs."""
        self._prepared = threading.Event()

    def start(self) -> None:
        """Begin; returns when the thread has taken its place."""
        self._thread.start()
        self._prepared.wait()

    def stop(self, timeout_s: float) -> bool:
        """Close the inbox and wait for the inference that runs; False: it did not end in time, and holds the engine."""
        self._inbox.close()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        reason = "the inference thread ended"
        try:
            self.refused_by_system = _take_place(self._schedule)
            self._prepared.set()
            while (query := self._inbox.take()) is not None:
                self._guarded(query)
            reason = ""
        except EdgekitError as error:
            reason = str(error)
        except BaseException as error:
            reason = f"{type(error).__name__}: {error}"
            raise
        finally:
            self._prepared.set()
            if reason:
                self._listener.failed(reason)

    def _guarded(self, query: Query) -> None:
        limit_s = self._schedule.hang_periods * max(self._schedule.period_s, float(np.median(self._recent)))
        self._heartbeat.begin(limit_s)
        try:
            self._serve(query)
        finally:
            self._heartbeat.finish()

    def _serve(self, query: Query) -> None:
        age_s, drop_after_s = self._now() - query.leader.stamp_s, self._schedule.drop_after_s()
        if 0 < drop_after_s < age_s:
            self._listener.late(query, age_s)
            return
        chain = self._chain()
        try:
            start = time.perf_counter()
            images = {source: frame.read() for source, frame in query.frames.items()}
            prepared = chain.preprocess(images)
            pre_s = time.perf_counter() - start
        except (DataError, TensorError) as error:
            self._listener.refused(query, str(error))
            return
        passed = chain.answered(prepared, pre_s, finite)
        self._recent.append(passed.total_s)
        image = next(iter(images.values()))
        made = (passed.outputs, passed.prediction, passed.pre_s, passed.infer_s, passed.post_s)
        self._listener.result(Result(query, image, *made, age_s, self._now() - query.leader.stamp_s))


def finite(outputs: Arrays) -> bool:
    """Whether no output holds NaN or infinity."""
    return all(bool(np.isfinite(array).all()) for array in outputs.values() if array.dtype.kind == "f")


def _take_place(schedule: Schedule) -> tuple[str, ...]:
    """Set scheduler and processors of the calling thread; what was not allowed, in words."""
    refused = []
    if schedule.processors:
        try:
            os.sched_setaffinity(0, schedule.processors)
        except OSError as error:
            allowed = ",".join(map(str, sorted(os.sched_getaffinity(0))))
            refused.append(f"cpu_affinity {schedule.processors}: {os_reason(error)}; this process may use {allowed}")
    if schedule.fifo:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(schedule.fifo))
        except OSError as error:
            way = "allow it with rtprio in limits.conf or CAP_SYS_NICE"
            refused.append(f"scheduler_fifo {schedule.fifo}: {os_reason(error)}; {way}")
    return tuple(refused)
