"""Every sensor of this machine around one piece of work, and what they saw as data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType

import numpy as np
from typing_extensions import Self

from edgekit.core import plugins
from edgekit.core.errors import DataError, EnvironmentFault, InputError, MissingRequirement
from edgekit.core.probes import Probe
from edgekit.core.reports.power import (
    ClockRange,
    ClocksReport,
    ClockState,
    PowerReport,
    SensorReport,
    TemperatureReport,
    Watts,
)
from edgekit.core.suggest import allowed
from edgekit.core.tensors import Array
from edgekit.sensors._clocks import ClockSources, clock_state
from edgekit.sensors._reader import Reader, Recording, SensorConfig, checked_rate
from edgekit.sensors._samples import Samples, Total

WIDTH = ("board", "module", "gpu+cpu", "gpu", "cpu")


def probe(configs: Mapping[str, SensorConfig] | None = None) -> list[Probe]:
    """A real reading of every sensor, for ``edgekit doctor``."""
    return [_reader(name, configs or {}).probe() for name in plugins.names("sensors")]


class Recorder:
    """Records sensors while its block runs: ``with Recorder() as recorder: work()``, then :meth:`report`.

    Sampling runs in threads of this process, so a query may meet a reading: read slowly around latencies.

    Args:
        names: the sensors to use, each of which must work here; none: all that do.
        rate_hz: readings a second of each.
        configs: a ``Config`` by sensor name, in place of the default one.
        clocks: where the state of the clocks is read before and after.

    Raises:
        InputError: a name that no sensor has, or a rate that cannot be.
        MissingRequirement, EnvironmentFault: (on entering) a named sensor does not work here.
    """

    def __init__(
        self,
        names: Sequence[str] = (),
        rate_hz: float = 10.0,
        configs: Mapping[str, SensorConfig] | None = None,
        clocks: ClockSources | None = None,
    ) -> None:
        known = plugins.names("sensors")
        for name in names:
            if name not in known:
                raise InputError(f"no sensor named {name!r}; {allowed(name, known)}")
        self._asked = tuple(names)
        self._rate_hz = checked_rate(rate_hz)
        self._readers = {name: _reader(name, configs or {}) for name in names or known}
        self._sources = clocks
        self._recordings: dict[str, Recording] = {}
        self._unavailable: dict[str, str] = {}
        self._stack = ExitStack()
        self._before: ClockState | None = None
        self._after: ClockState | None = None

    def __enter__(self) -> Self:
        self._before = clock_state(self._sources)
        with ExitStack() as stack:
            for name, reader in self._readers.items():
                try:
                    self._recordings[name] = stack.enter_context(reader.open(self._rate_hz))
                except (DataError, EnvironmentFault) as error:
                    self._refuse(name, error)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        self._after = clock_state(self._sources)

    def report(self, queries: int) -> PowerReport:
        """What was seen while ``queries`` ran inside the block.

        Raises:
            InputError: ``queries`` is below 1, or the block has not ended.
            EnvironmentFault, DataError: a sensor asked for by name failed on the way.
        """
        if queries < 1:
            raise InputError(f"energy of {queries} queries; at least 1 must have run")
        if self._before is None or self._after is None:
            raise InputError(
                "the recorder has not run; use it as: with recorder: work(); then recorder.report(queries)"
            )
        samples = self._samples()
        totals = {name: total for name, found in samples.items() if (total := self._readers[name].total(found.rails))}
        scope, whole = _whole(samples, totals)
        reasons = sorted({reason for found in samples.values() for row in found.throttled for reason in row or ()})
        tells = any(row is not None for found in samples.values() for row in found.throttled)
        return PowerReport(
            readers={name: _summary(found, totals.get(name)) for name, found in samples.items()},
            scope=scope,
            mean_w=whole.mean_w,
            peak_w=whole.peak_w,
            energy_j=whole.energy_j,
            energy_j_per_query=None if whole.energy_j is None else whole.energy_j / queries,
            queries=queries,
            rate_hz=self._rate_hz,
            clocks=self._clocks(samples),
            temperature_c=_temperatures(samples),
            throttled=bool(reasons) if tells else None,
            throttle_reasons=tuple(reasons),
            unavailable=dict(self._unavailable),
        )

    def _refuse(self, name: str, error: DataError | EnvironmentFault) -> None:
        if name not in self._asked:
            self._unavailable[name] = error.what if isinstance(error, MissingRequirement) else str(error)
        elif isinstance(error, MissingRequirement):
            raise MissingRequirement(f"the sensor {name}: {error.what}", error.install, note=error.note) from error
        else:
            raise EnvironmentFault(f"the sensor {name} does not work here: {error}") from error

    def _samples(self) -> dict[str, Samples]:
        found = {}
        for name, recording in self._recordings.items():
            try:
                found[name] = recording.samples()
            except (DataError, EnvironmentFault) as error:
                if name in self._asked:
                    raise
                self._unavailable[name] = f"failed on the way: {error}"
        return found

    def _clocks(self, samples: Mapping[str, Samples]) -> ClocksReport:
        assert self._before is not None
        assert self._after is not None
        during = {
            f"{name}/{unit}": ClockRange(float(np.nanmin(mhz)), float(np.nanmean(mhz)), float(np.nanmax(mhz)))
            for name, found in samples.items()
            for unit, mhz in found.clock_mhz.items()
        }
        # The state that is worse decides: unlocked, then not known, then locked.
        worse = min((self._before, self._after), key=lambda state: (False, None, True).index(state.locked))
        return ClocksReport(worse.locked, worse.reason, self._before, self._after, during)


def _reader(name: str, configs: Mapping[str, SensorConfig]) -> Reader:
    config: SensorConfig = configs[name] if name in configs else plugins.load("sensors", name).Config()
    return config.reader()


def _whole(samples: Mapping[str, Samples], totals: Mapping[str, Total]) -> tuple[str | None, Watts]:
    """The widest scope that is known, and its power and energy."""
    by_scope: dict[str, list[tuple[Samples, Total]]] = {}
    for name, total in totals.items():
        by_scope.setdefault(total.scope, []).append((samples[name], total))
    chosen = {scope: found[0] for scope, found in by_scope.items()}
    if "gpu" in chosen and "cpu" in chosen and not {"board", "module"} & set(chosen):
        return "gpu+cpu", _sums([chosen["gpu"], chosen["cpu"]])
    for scope in WIDTH:
        if scope in chosen:
            return scope, _sums([chosen[scope]])
    return None, Watts()


def _sums(parts: Sequence[tuple[Samples, Total]]) -> Watts:
    times_s: Array = np.unique(np.concatenate([samples.time_s for samples, _ in parts]))
    watts = sum(samples.watts_at(rail, times_s) for samples, total in parts for rail in total.rails)
    mean_w = sum(samples.mean_w(rail) for samples, total in parts for rail in total.rails)
    energy_j = sum(samples.energy_j(rail) for samples, total in parts for rail in total.rails)
    return Watts(_known(mean_w), _known(float(np.max(watts))), _known(energy_j))


def _summary(samples: Samples, total: Total | None) -> SensorReport:
    return SensorReport(
        samples=len(samples.time_s),
        seconds=samples.seconds,
        scope=total.scope if total else None,
        total=tuple(total.rails) if total else (),
        rails={
            rail: Watts(_known(samples.mean_w(rail)), _known(samples.peak_w([rail])), _known(samples.energy_j(rail)))
            for rail in samples.rails
        },
        load_percent={unit: float(np.nanmean(load)) for unit, load in samples.load_percent.items()},
        peak_memory_mib={name: float(np.nanmax(mib)) for name, mib in samples.memory_mib.items()},
    )


def _temperatures(samples: Mapping[str, Samples]) -> TemperatureReport:
    found: dict[str, dict[str, float]] = {"before": {}, "peak": {}, "after": {}}
    for name, seen in samples.items():
        for zone, celsius in seen.temperature_c.items():
            known = celsius[~np.isnan(celsius)]
            for when, value in (("before", known[0]), ("peak", known.max()), ("after", known[-1])):
                found[when][f"{name}/{zone}"] = float(value)
    return TemperatureReport(**found)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
