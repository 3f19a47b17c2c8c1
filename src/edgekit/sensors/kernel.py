"""What the kernel says of any Linux machine: clocks, temperatures, and how often it slowed down."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from edgekit.core.errors import EnvironmentFault
from edgekit.sensors import _sysfs
from edgekit.sensors._reader import PollingReader, SensorConfig
from edgekit.sensors._samples import Reading, Total


class Config(SensorConfig):
    """Where the kernel shows its devices."""

    root: Path = Path("/sys")

    def reader(self) -> Kernel:
        return Kernel(self.root)


class Kernel(PollingReader):
    """Clocks of CPUs and GPUs, thermal zones, throttle counters; no power."""

    name = "kernel"

    def __init__(self, root: Path) -> None:
        self._root = root
        self._counts: dict[str, int] = {}

    def start(self) -> None:
        self._counts = _sysfs.throttle_counts(self._root)
        if not (self._counts or _sysfs.clocks_mhz(self._root) or _sysfs.temperatures_c(self._root)):
            raise EnvironmentFault(f"no clock, temperature or throttle counter below {self._root} (a virtual machine)")

    def read(self) -> Reading:
        throttled: tuple[str, ...] | None = None
        if self._counts:
            counts = _sysfs.throttle_counts(self._root)
            throttled = tuple(name for name, count in counts.items() if count > self._counts.get(name, 0))
            self._counts = counts
        return Reading(
            temperature_c=_sysfs.temperatures_c(self._root),
            clock_mhz=_sysfs.clocks_mhz(self._root),
            throttled=throttled,
        )

    def total(self, rails: Collection[str]) -> Total | None:
        return None
