"""Whether the clocks of this machine stand still: governors, limits, power mode, jetson_clocks."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgekit.core.reports.power import Clock, ClockState
from edgekit.sensors import _sysfs

_TIMEOUT_S = 20


@dataclass(frozen=True)
class ClockSources:
    """Where the state of the clocks is read; a command that is not here is not asked."""

    root: Path = Path("/sys")
    nvpmodel: tuple[str, ...] = ("nvpmodel", "-q")
    jetson_clocks: tuple[str, ...] = ("jetson_clocks", "--show")


def clock_state(sources: ClockSources | None = None) -> ClockState:
    """The state of the clocks now; nothing is changed.

    Raises:
        EnvironmentFault: a file that the kernel shows to everyone may not be read.
    """
    sources = sources or ClockSources()
    clocks = _kernel_clocks(sources.root)
    shown = _output(sources.jetson_clocks)
    more, emc_locked = parse_jetson_clocks(shown) if shown else ({}, None)
    clocks |= more
    boost = _boost(sources.root)
    locked, reason = _whether_locked(clocks, boost, emc_locked)
    return ClockState(
        locked,
        reason,
        clocks,
        mode=parse_nvpmodel(_output(sources.nvpmodel) or ""),
        emc_locked=emc_locked,
        boost=boost,
        temperature_c=dict(_sysfs.temperatures_c(sources.root)),
        throttle_counts=dict(_sysfs.throttle_counts(sources.root)),
    )


def parse_jetson_clocks(shown: str) -> tuple[dict[str, Clock], bool | None]:
    """Clocks of the CPUs and the GPU, and whether the memory's is held, of ``jetson_clocks --show``.

    CPU clocks are printed in kHz, the GPU's in Hz; a CPU that is off is left out.
    """
    number = r"MinFreq=(\d+)\s+MaxFreq=(\d+)\s+CurrentFreq=(\d+)"
    found = {}
    for name, governor, *khz in re.findall(rf"(cpu\d+):\s+Online=1\s+Governor=(\S+)\s+{number}", shown):
        low, high, now = (int(value) / 1e3 for value in khz)
        found[name] = Clock(governor, low, high, now)
    for hz in re.findall(rf"^GPU\s+{number}", shown, re.MULTILINE):
        low, high, now = (int(value) / 1e6 for value in hz)
        found["gpu"] = Clock("jetson_clocks", low, high, now)
    override = re.search(r"^EMC .*FreqOverride=([01])", shown, re.MULTILINE)
    return found, None if override is None else override[1] == "1"


def parse_nvpmodel(shown: str) -> str | None:
    """``MAXN (0)``: name and number of the power mode that ``nvpmodel -q`` prints; None when it prints none."""
    match = re.search(r"NV Power Mode:\s*(\S+)\s+(\d+)", shown)
    return f"{match[1]} ({match[2]})" if match else None


def _whether_locked(
    clocks: Mapping[str, Clock], boost: bool | None, emc_locked: bool | None
) -> tuple[bool | None, str]:
    if not clocks:
        return None, "the clocks cannot be seen here (a virtual machine?)"
    moving = {name: clock for name, clock in clocks.items() if not clock.fixed}
    if any(clock.governor != "performance" for clock in moving.values()):
        name, clock = next((n, c) for n, c in moving.items() if c.governor != "performance")
        others = f" and {len(moving) - 1} more" if len(moving) > 1 else ""
        return False, f"{name}{others}: {clock.min_mhz:.0f} to {clock.max_mhz:.0f} MHz, governor {clock.governor}"
    if moving and boost is not False:
        return False, "governor performance, but boost (turbo) is not known to be off"
    if emc_locked is False:
        return False, "the clock of the memory is not held (jetson_clocks: FreqOverride=0)"
    return True, "governor performance without boost" if moving else "every clock has one value"


def _kernel_clocks(root: Path) -> dict[str, Clock]:
    found = {}
    for name, folder in _sysfs.cpus(root):
        low, high, now = (_sysfs.integer(folder / f"scaling_{which}_freq") for which in ("min", "max", "cur"))
        if low is not None and high is not None:
            governor = _sysfs.text(folder / "scaling_governor") or "unknown"
            found[name] = Clock(governor, low / 1e3, high / 1e3, None if now is None else now / 1e3)
    for name, folder in _sysfs.gpus(root):
        low, high, now = (_sysfs.integer(folder / f"{which}_freq") for which in ("min", "max", "cur"))
        if low is not None and high is not None:
            governor = _sysfs.text(folder / "governor") or "unknown"
            found[name] = Clock(governor, low / 1e6, high / 1e6, None if now is None else now / 1e6)
    return found


def _boost(root: Path) -> bool | None:
    """Whether clocks may go above their nominal maximum; None: the kernel does not say."""
    no_turbo = _sysfs.integer(root / "devices/system/cpu/intel_pstate/no_turbo")
    if no_turbo is not None:
        return no_turbo == 0
    boost = _sysfs.integer(root / "devices/system/cpu/cpufreq/boost")
    return None if boost is None else boost == 1


def _output(command: tuple[str, ...]) -> str | None:
    """What ``command`` prints; None when it is not here or refuses (jetson_clocks wants root)."""
    try:
        child = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return child.stdout if child.returncode == 0 else None
