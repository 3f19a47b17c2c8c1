"""The machine beside the node: temperatures, clocks, throttling, power and memory, read in the background."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from edgekit.core import plugins
from edgekit.core.errors import DataError, EnvironmentFault, InputError
from edgekit.core.suggest import allowed
from edgekit.ros2_node.health.limits import Limits
from edgekit.ros2_node.health.statuses import Level, Status, values_of
from edgekit.sensors import Reading, Recording, SensorConfig

_MIB = 1024


@dataclass(frozen=True)
class Machine:
    """What every sensor said last, by its name; ``unavailable`` says why one says nothing."""

    readings: Mapping[str, Reading] = field(default_factory=dict)
    unavailable: Mapping[str, str] = field(default_factory=dict)
    memory_used_mib: float | None = None
    memory_total_mib: float | None = None


class Hardware:
    """Reads every sensor that works here once a second, between :meth:`start` and :meth:`close`.

    Args:
        rate_hz: readings a second.
        names: the sensors to read; none: all that edgekit knows.
        configs: a ``Config`` by sensor name, in place of the default one.
        meminfo: the kernel's table of memory.

    Raises:
        InputError: a name that no sensor has.
    """

    def __init__(
        self,
        rate_hz: float = 1.0,
        names: Sequence[str] = (),
        configs: Mapping[str, SensorConfig] | None = None,
        meminfo: Path = Path("/proc/meminfo"),
    ) -> None:
        known = plugins.names("sensors")
        for name in names:
            if name not in known:
                raise InputError(f"no sensor named {name!r}; {allowed(name, known)}")
        self._rate_hz, self._names, self._meminfo = rate_hz, tuple(names or known), meminfo
        self._configs = dict(configs or {})
        self._recordings: dict[str, Recording] = {}
        self._unavailable: dict[str, str] = {}
        self._stack = ExitStack()

    def start(self) -> None:
        """Begin to read; a sensor that does not work here is told by :meth:`machine`."""
        with ExitStack() as stack:
            for name in self._names:
                config = self._configs[name] if name in self._configs else plugins.load("sensors", name).Config()
                try:
                    self._recordings[name] = stack.enter_context(config.reader().open(self._rate_hz))
                except (DataError, EnvironmentFault) as error:
                    self._unavailable[name] = str(error)
            self._stack = stack.pop_all()

    def close(self) -> None:
        """End every thread and process; once more does nothing."""
        self._recordings.clear()
        self._stack.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def machine(self) -> Machine:
        """What every sensor said last."""
        readings: dict[str, Reading] = {}
        for name, recording in tuple(self._recordings.items()):
            try:
                readings[name] = recording.latest()
            except (DataError, EnvironmentFault) as error:
                self._recordings.pop(name, None)
                self._unavailable[name] = f"failed on the way: {error}"
        total, available = self._memory_mib()
        used = None if total is None or available is None else total - available
        return Machine(readings, dict(self._unavailable), used, total)

    def _memory_mib(self) -> tuple[float | None, float | None]:
        try:
            lines = self._meminfo.read_text(encoding="ascii", errors="replace").splitlines()
        except OSError as error:
            self._unavailable["memory"] = str(error)
            return None, None
        found = {line.split(":")[0]: line.split()[1] for line in lines if len(line.split()) > 1}
        total, available = found.get("MemTotal", ""), found.get("MemAvailable", "")
        if not (total.isdigit() and available.isdigit()):
            self._unavailable["memory"] = f"{self._meminfo} has no MemTotal and MemAvailable"
            return None, None
        return int(total) / _MIB, int(available) / _MIB


def hardware_status(name: str, machine: Machine, limits: Limits) -> Status:
    """Throttling, heat and memory against the limits; all that was read in the values."""
    degrees = [(c, f"{sensor}/{zone}") for sensor, r in machine.readings.items() for zone, c in r.temperature_c.items()]
    reasons = sorted({reason for reading in machine.readings.values() for reason in reading.throttled or ()})
    level, messages = Level.OK, []
    if degrees:
        hottest, where = max(degrees)
        for limit, reached in ((limits.temperature_error_c, Level.ERROR), (limits.temperature_warn_c, Level.WARN)):
            if hottest > limit:
                level = reached
                messages.append(f"{where} has {hottest:.0f} Celsius, at most {limit:g} are normal.")
                break
    if reasons:
        level = max(level, Level.WARN)
        messages.append(f"The clocks are lowered: {', '.join(reasons)}.")
    share = None
    if machine.memory_used_mib is not None and machine.memory_total_mib:
        share = machine.memory_used_mib / machine.memory_total_mib
        if share > limits.memory_warn_share:
            level = max(level, Level.WARN)
            messages.append(f"{100 * share:.0f} % of the memory is in use.")
    return Status(name, level, " ".join(messages) or "The machine is well.", _values(machine))


def _values(machine: Machine) -> tuple[tuple[str, str], ...]:
    pairs: list[tuple[str, object]] = []
    for sensor, reading in machine.readings.items():
        quantities = (
            ("temperature (Celsius)", reading.temperature_c),
            ("clock (MHz)", reading.clock_mhz),
            ("power (W)", reading.power_w),
            ("load (%)", reading.load_percent),
            ("memory (MiB)", reading.memory_mib),
        )
        pairs += [(f"{sensor}/{unit} {what}", float(v)) for what, found in quantities for unit, v in found.items()]
        if reading.throttled is not None:
            pairs.append((f"{sensor} throttled", ", ".join(reading.throttled) or "no"))
    if machine.memory_used_mib is not None and machine.memory_total_mib is not None:
        pairs += [("memory used (MiB)", machine.memory_used_mib), ("memory total (MiB)", machine.memory_total_mib)]
    pairs += [(f"{sensor} not read", why) for sensor, why in machine.unavailable.items()]
    return values_of(pairs)
