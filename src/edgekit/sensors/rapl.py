"""RAPL: the energy counters of x86 processors, through the kernel's powercap folders.

https://www.kernel.org/doc/html/latest/power/powercap/powercap.html.  Since CVE-2020-8694 only root may
read them on most systems.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from edgekit.core.errors import DataError, EnvironmentFault
from edgekit.sensors import _sysfs
from edgekit.sensors._reader import PollingReader, SensorConfig
from edgekit.sensors._samples import Reading, Total


class Config(SensorConfig):
    """Where the ``intel-rapl:*`` folders are (AMD processors have them too)."""

    root: Path = Path("/sys/class/powercap")

    def reader(self) -> Rapl:
        return Rapl(self.root)


@dataclass
class _Counter:
    """A counter that restarts at 0 beyond ``limit_uj``, as one that runs on."""

    path: Path
    limit_uj: int
    last_uj: int
    turns: int = 0

    def joules(self) -> float:
        now = _sysfs.integer(self.path)
        if now is None or not 0 <= now <= self.limit_uj:
            raise DataError(f"{self.path}: expected an energy of 0 to {self.limit_uj} uJ, found {now}")
        # Read more often than it turns: the usual range of 262 kJ lasts four minutes even at 1 kW.
        self.turns += now < self.last_uj
        self.last_uj = now
        return (self.turns * (self.limit_uj + 1) + now) / 1e6


class Rapl(PollingReader):
    """Energy of packages, their cores, memory, and the platform (``psys``)."""

    name = "rapl"

    def __init__(self, root: Path) -> None:
        self._root = root
        self._counters: dict[str, _Counter] = {}

    def start(self) -> None:
        self._counters = {}
        for zone in _sysfs.folders(self._root, "intel-rapl:*"):
            energy, limit = _sysfs.integer(zone / "energy_uj"), _sysfs.integer(zone / "max_energy_range_uj")
            if energy is None or not limit:
                continue
            name = _rail(self._root, zone)
            self._counters[name] = _Counter(zone / "energy_uj", limit, energy)
        if not self._counters:
            raise EnvironmentFault(f"no energy counter below {self._root} (a virtual machine, or not an x86 processor)")

    def read(self) -> Reading:
        return Reading(counter_j={name: counter.joules() for name, counter in self._counters.items()})

    def total(self, rails: Collection[str]) -> Total | None:
        """The platform if it has a counter, else packages and the memory beside them (cores are parts of packages)."""
        if "psys" in rails:
            return Total("board", ("psys",))
        whole = tuple(rail for rail in rails if re.fullmatch(r"package-\d+(-die-\d+)?(\.dram)?", rail))
        return Total("cpu", whole) if whole else None


def _rail(root: Path, zone: Path) -> str:
    """``package-0`` for a zone, ``package-0.dram`` for one inside it."""
    name = _sysfs.text(zone / "name") or zone.name
    parts = zone.name.split(":")
    if len(parts) == 2:
        return name
    parent = root / ":".join(parts[:2])
    return f"{_sysfs.text(parent / 'name') or parent.name}.{name}"
