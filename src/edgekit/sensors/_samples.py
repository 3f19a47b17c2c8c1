"""What sensors read: one instant, and a series of them with its sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from edgekit.core.errors import DataError
from edgekit.core.tensors import Array

Scope = Literal["board", "module", "gpu", "cpu"]
"""What a power covers: the board's input, the compute module, the GPU, or the processor with its memory."""


@dataclass(frozen=True)
class Total:
    """The rails that add up to all the power of ``scope``; other rails are parts of these."""

    scope: Scope
    rails: tuple[str, ...]


@dataclass(frozen=True)
class Reading:
    """What one source says at one instant; a quantity that it does not report is missing.

    ``counter_j`` are running energy counters: only their differences mean something.
    ``throttled`` holds the reasons that lower the clocks now; None: the source cannot tell.
    """

    power_w: Mapping[str, float] = field(default_factory=dict)
    temperature_c: Mapping[str, float] = field(default_factory=dict)
    clock_mhz: Mapping[str, float] = field(default_factory=dict)
    load_percent: Mapping[str, float] = field(default_factory=dict)
    memory_mib: Mapping[str, float] = field(default_factory=dict)
    counter_j: Mapping[str, float] = field(default_factory=dict)
    throttled: tuple[str, ...] | None = None

    def summary(self) -> str:
        """One line for ``edgekit doctor``."""
        parts = [f"{rail} {watts:.2f} W" for rail, watts in self.power_w.items()]
        parts += [f"energy counter {rail}" for rail in self.counter_j]
        for count, what in ((len(self.temperature_c), "temperatures"), (len(self.clock_mhz), "clocks")):
            parts += [f"{count} {what}"] if count else []
        return ", ".join(parts)


@dataclass(frozen=True)
class Samples:
    """The readings of one source in time.

    ``time_s`` is float64 ``(N,)`` on the clock of :func:`time.perf_counter`; every series is float64
    ``(N,)`` by name, NaN where a reading lacks it; ``throttled`` has N entries.  ``seconds`` is the
    length of the work that was recorded.

    Raises:
        DataError: no reading, or a time or an energy counter that goes backwards.
    """

    time_s: Array
    seconds: float
    power_w: Mapping[str, Array] = field(default_factory=dict)
    temperature_c: Mapping[str, Array] = field(default_factory=dict)
    clock_mhz: Mapping[str, Array] = field(default_factory=dict)
    load_percent: Mapping[str, Array] = field(default_factory=dict)
    memory_mib: Mapping[str, Array] = field(default_factory=dict)
    counter_j: Mapping[str, Array] = field(default_factory=dict)
    throttled: tuple[tuple[str, ...] | None, ...] = ()

    def __post_init__(self) -> None:
        if len(self.time_s) == 0:
            raise DataError("a recording has no reading; it needs at least one")
        back = np.flatnonzero(np.diff(self.time_s) < 0)
        if len(back):
            first = int(back[0])
            raise DataError(
                f"the clock goes backwards: reading {first + 1} is {self.time_s[first] - self.time_s[first + 1]:.6f} s"
                f" before reading {first}"
            )
        for rail, joules in self.counter_j.items():
            if np.any(np.diff(joules) < 0):
                raise DataError(f"the energy counter {rail!r} goes backwards")

    @classmethod
    def of(cls, times_s: Sequence[float], readings: Sequence[Reading], seconds: float) -> Samples:
        """The samples of ``readings`` taken at ``times_s``."""
        return cls(
            np.array(times_s, np.float64),
            seconds,
            _series([reading.power_w for reading in readings]),
            _series([reading.temperature_c for reading in readings]),
            _series([reading.clock_mhz for reading in readings]),
            _series([reading.load_percent for reading in readings]),
            _series([reading.memory_mib for reading in readings]),
            _series([reading.counter_j for reading in readings]),
            tuple(reading.throttled for reading in readings),
        )

    @property
    def rails(self) -> tuple[str, ...]:
        """Every rail whose power or energy is known."""
        return tuple(dict.fromkeys((*self.power_w, *self.counter_j)))

    def energy_j(self, rail: str) -> float:
        """Joules of ``rail`` in :attr:`seconds`.

        The difference of its counter where there is one, else the trapezoid rule over its powers,
        the mean carried over the ends that no reading covers.
        """
        if rail in self.counter_j:
            joules = self._known(self.counter_j[rail])[1]
            return float(joules[-1] - joules[0])
        return self.mean_w(rail) * self.seconds

    def mean_w(self, rail: str) -> float:
        """Mean power of ``rail`` in watts, weighted by time; NaN when one counter reading is all there is."""
        if rail in self.counter_j:
            times = self._known(self.counter_j[rail])[0]
            covered = float(times[-1] - times[0])
            return self.energy_j(rail) / covered if covered > 0 else float("nan")
        times, watts = self._known(self.power_w[rail])
        covered = float(times[-1] - times[0])
        if covered <= 0:
            return float(watts.mean())
        return float(np.sum((watts[1:] + watts[:-1]) / 2 * np.diff(times))) / covered

    def watts_at(self, rail: str, times_s: Array) -> Array:
        """Power of ``rail`` at each of ``times_s``: between readings linear, or a counter's mean slope there."""
        if rail in self.power_w:
            times, watts = self._known(self.power_w[rail])
            return np.interp(times_s, times, watts)
        times, joules = self._known(self.counter_j[rail])
        if len(times) < 2:
            return np.full(len(times_s), np.nan)
        slopes = np.diff(joules) / np.maximum(np.diff(times), 1e-9)
        return np.asarray(slopes[np.clip(np.searchsorted(times, times_s) - 1, 0, len(slopes) - 1)])

    def peak_w(self, rails: Sequence[str]) -> float:
        """Highest sum of the powers of ``rails`` at any reading, in watts."""
        return float(np.max(sum(self.watts_at(rail, self.time_s) for rail in rails)))

    def _known(self, values: Array) -> tuple[Array, Array]:
        known = ~np.isnan(values)
        return self.time_s[known], values[known]


def _series(rows: Sequence[Mapping[str, float]]) -> dict[str, Array]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: np.array([row.get(name, np.nan) for row in rows], np.float64) for name in names}
