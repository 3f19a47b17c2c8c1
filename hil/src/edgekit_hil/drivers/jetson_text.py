"""What a Jetson's own programs print, as values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from edgekit.core.errors import DataError


@dataclass(frozen=True)
class PowerMode:
    """One of nvpmodel's modes."""

    number: int
    name: str


@dataclass(frozen=True)
class Clocks:
    """What ``jetson_clocks --show`` says; frequencies in MHz as (lowest, highest, now)."""

    mhz: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)

    @property
    def locked(self) -> bool:
        """Whether every clock of the CPUs, GPU and memory can only be at its highest."""
        return bool(self.mhz) and all(low == high for low, high, _ in self.mhz.values())


@dataclass(frozen=True)
class Thermal:
    """Temperatures in degrees Celsius by zone, and what is slowed down: ``cooling`` device to (state, highest state).

    ``over_current`` counts the events since boot by counter (Orin: under-voltage, average and instantaneous current).
    """

    temperature_c: Mapping[str, float] = field(default_factory=dict)
    cooling: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    over_current: Mapping[str, int] = field(default_factory=dict)

    @property
    def throttled(self) -> tuple[str, ...]:
        """The cooling devices that hold something back now; fans cool and hold nothing back."""
        return tuple(name for name, (state, _) in self.cooling.items() if state > 0 and "fan" not in name)


def power_mode(lines: Sequence[str]) -> PowerMode:
    """``nvpmodel -q``: a line ``NV Power Mode: NAME``, and its number in the line after.

    Raises:
        DataError: there is no such line.
    """
    for line, following in pairwise(lines):
        match = re.search(r"NV Power Mode: (\S+)", line)
        if match and following.strip().isdecimal():
            return PowerMode(int(following), match[1])
    raise DataError(f"nvpmodel -q: expected 'NV Power Mode: NAME' and a number, found {' / '.join(lines)!r}")


def power_modes(lines: Sequence[str]) -> tuple[PowerMode, ...]:
    """``nvpmodel -p --verbose``, or the lines of ``/etc/nvpmodel.conf``: every mode that the board has."""
    found = (re.search(r"POWER_MODEL:? ID=(\d+) NAME=(\S+)", line) for line in lines)
    return tuple({(mode := PowerMode(int(match[1]), match[2])).number: mode for match in found if match}.values())


def clocks(lines: Sequence[str]) -> Clocks:
    """``jetson_clocks --show``: CPUs that are online in kHz, GPU and EMC in Hz."""
    mhz = {}
    for line in lines:
        match = re.search(r"^\s*(cpu\d+|GPU|EMC)\b.*MinFreq=(\d+) MaxFreq=(\d+) CurrentFreq=(\d+)", line)
        if match and "Online=0" not in line:
            scale = 1e3 if match[1].startswith("cpu") else 1e6
            mhz[match[1]] = (int(match[2]) / scale, int(match[3]) / scale, int(match[4]) / scale)
    return Clocks(mhz)


def l4t(text: str) -> str:
    """``/etc/nv_tegra_release``: ``R36 (release), REVISION: 4.4`` is ``36.4.4``.

    Raises:
        DataError: it is written otherwise.
    """
    match = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", text)
    if match is None:
        raise DataError(f"/etc/nv_tegra_release: expected 'R36 (release), REVISION: 4.4', found {text[:80]!r}")
    return f"{match[1]}.{match[2]}"


def packages(lines: Sequence[str]) -> dict[str, str]:
    """``dpkg-query -W -f '${Package} ${Version}\\n'``: versions of what is installed."""
    words = (line.split() for line in lines)
    return {pair[0]: pair[1] for pair in words if len(pair) == 2}


def thermal(lines: Sequence[str]) -> Thermal:
    """Lines ``zone NAME MILLIDEGREES``, ``cooling NAME STATE HIGHEST`` and ``counter NAME COUNT``; see ``THERMAL``."""
    temperature, cooling, counters = {}, {}, {}
    for line in lines:
        what, name, *numbers = line.split()
        if what == "zone" and numbers:
            temperature[name] = int(numbers[0]) / 1e3
        elif what == "cooling" and len(numbers) == 2:
            cooling[name] = (int(numbers[0]), int(numbers[1]))
        elif what == "counter" and numbers:
            counters[name] = int(numbers[0])
    return Thermal(temperature, cooling, counters)


THERMAL = """\
for zone in {sys}/class/thermal/thermal_zone*; do echo zone $(cat $zone/type $zone/temp 2>/dev/null); done
for device in {sys}/class/thermal/cooling_device*; do
echo cooling $(cat $device/type $device/cur_state $device/max_state 2>/dev/null); done
for counter in {sys}/class/hwmon/hwmon*/oc*_event_cnt; do echo counter $(basename $counter) $(cat $counter); done"""
"""A shell script that prints what ``thermal`` reads; a zone that is switched off has a name and no number."""
