"""How a source is read in the background while something else runs."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from types import TracebackType
from typing import ClassVar

from pydantic import BaseModel, ConfigDict
from typing_extensions import Self

from edgekit.core.errors import DataError, EdgekitError, EnvironmentFault, InputError, MissingRequirement
from edgekit.core.probes import Probe
from edgekit.sensors._samples import Reading, Samples, Total

__all__ = ["PollingReader", "Reader", "Reading", "Recording", "SensorConfig"]
MAX_RATE_HZ = 1000.0


class SensorConfig(BaseModel):
    """Base of every sensor's ``Config``: where it reads."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def reader(self) -> Reader:
        """The reader; constructing it touches nothing."""
        raise TypeError(f"{type(self).__module__}.Config does not define reader()")


class Recording(ABC):
    """A context manager: readings are taken between its start and its end, in a thread of its own."""

    def __init__(self) -> None:
        self._times_s: list[float] = []
        self._readings: list[Reading] = []
        self._failure: EdgekitError | None = None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"edgekit-{type(self).__name__}", daemon=True)
        self._start_s = self._end_s = 0.0

    def __enter__(self) -> Self:
        self._begin()
        self._start_s = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_s = time.perf_counter()
        self._stop.set()
        self._finish()

    def samples(self) -> Samples:
        """What was read.

        Raises:
            EnvironmentFault: the source failed while it was read.
            DataError: it said something that cannot be true.
        """
        if self._failure is not None:
            raise self._failure
        return Samples.of(self._times_s, self._readings, self._end_s - self._start_s)

    def latest(self) -> Reading:
        """The newest reading; the older ones are let go, so that a recording that is watched may run for ever.

        Raises:
            EnvironmentFault: the source failed while it was read.
            DataError: it said something that cannot be true.
        """
        if self._failure is not None:
            raise self._failure
        with self._lock:
            del self._times_s[:-1], self._readings[:-1]
            return self._readings[-1]

    def _add(self, reading: Reading) -> None:
        with self._lock:
            self._times_s.append(time.perf_counter())
            self._readings.append(reading)

    def _run(self) -> None:
        self._guarded(self._collect)

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except EdgekitError as error:  # raised again by samples(), where somebody waits for it
            self._failure = error

    @abstractmethod
    def _begin(self) -> None:
        """Start the source and the thread; at least one reading is there when it returns."""

    @abstractmethod
    def _collect(self) -> None:
        """Add readings until ``_stop`` is set; runs in the thread."""

    @abstractmethod
    def _finish(self) -> None:
        """End the thread and the source."""


class _Polled(Recording):
    def __init__(self, reader: PollingReader, rate_hz: float) -> None:
        super().__init__()
        self._reader, self._period_s = reader, 1 / rate_hz

    def _begin(self) -> None:
        self._reader.start()
        try:
            self._add(self._reader.read())
        except EdgekitError:
            self._reader.stop()
            raise
        self._thread.start()

    def _collect(self) -> None:
        due = time.perf_counter() + self._period_s
        while not self._stop.wait(max(0.0, due - time.perf_counter())):
            self._add(self._reader.read())
            # A source slower than the rate is read as often as it can be, not in bursts.
            due = max(due + self._period_s, time.perf_counter())

    def _finish(self) -> None:
        self._thread.join()
        if self._failure is None:
            self._guarded(lambda: self._add(self._reader.read()))
        self._reader.stop()


class Reader(ABC):
    """One source of power, clocks or temperatures."""

    name: ClassVar[str]

    @abstractmethod
    def probe(self) -> Probe:
        """Whether it works here and what it said, or why it does not; proven by a real reading."""

    @abstractmethod
    def open(self, rate_hz: float = 10.0) -> Recording:
        """A recording that reads ``rate_hz`` times a second.

        Raises:
            InputError: the rate is not above 0 and at most 1000.
            EnvironmentFault: (when it is entered) the source does not work here.
        """

    @abstractmethod
    def total(self, rails: Collection[str]) -> Total | None:
        """Which of ``rails`` add up to a whole; None when none do or it is not known."""


class PollingReader(Reader):
    """A source that is asked for each reading."""

    @abstractmethod
    def start(self) -> None:
        """Find what there is to read.

        Raises:
            EnvironmentFault: nothing can be read here; the message says why.
        """

    @abstractmethod
    def read(self) -> Reading:
        """One reading, after :meth:`start`."""

    def stop(self) -> None:
        """Let go of what :meth:`start` took."""

    def probe(self) -> Probe:
        try:
            self.start()
            try:
                reading = self.read()
            finally:
                self.stop()
        except MissingRequirement as missing:
            return absent(self.name, missing)
        except (DataError, EnvironmentFault) as fault:
            return Probe(self.name, False, str(fault))
        return Probe(self.name, True, reading.summary())

    def open(self, rate_hz: float = 10.0) -> Recording:
        return _Polled(self, checked_rate(rate_hz))


def absent(name: str, missing: MissingRequirement) -> Probe:
    """The finding that a sensor lacks something."""
    detail = f"{missing.what}: {missing.note}" if missing.note else missing.what
    return Probe(name, False, detail, missing.install or None)


def checked_rate(rate_hz: float) -> float:
    """``rate_hz`` when it is above 0 and at most 1000."""
    if not 0 < rate_hz <= MAX_RATE_HZ:
        raise InputError(f"a sampling rate of {rate_hz} Hz; it must be above 0 and at most {MAX_RATE_HZ:.0f} Hz")
    return rate_hz
