"""Reading the kernel's files below ``/sys``: what is not there now is None, what may not be read is an error."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from pathlib import Path

from edgekit.core.errors import DataError, EnvironmentFault

# What a driver answers for a sensor that is switched off, still busy, or has no data.
_ABSENT = {errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.EAGAIN, errno.EIO, errno.ENODATA, errno.EINVAL, errno.ENOTDIR}


def text(path: Path) -> str | None:
    """The stripped text of ``path``; None when it is not there or says nothing now.

    Raises:
        EnvironmentFault: this user may not read it, or reading fails for another reason.
    """
    try:
        return path.read_text(errors="replace").strip()
    except PermissionError as error:
        fix = f"run as root, or let every user read it: sudo chmod a+r {path}"
        raise EnvironmentFault(f"{path}: permission denied; {fix}") from error
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise EnvironmentFault(f"{path}: {error.strerror}") from error


def integer(path: Path) -> int | None:
    """The integer in ``path``; None as for :func:`text`.

    Raises:
        DataError: it holds something else.
    """
    found = text(path)
    if found is None:
        return None
    try:
        return int(found)
    except ValueError as error:
        raise DataError(f"{path}: expected an integer, found {found!r}") from error


def folders(parent: Path, pattern: str) -> Iterator[Path]:
    """The folders (or links to one) below ``parent`` that match, in the order of their numbers."""

    def numbers(path: Path) -> list[int]:
        return [int(digits) for digits in re.findall(r"\d+", path.name)]

    yield from sorted((path for path in parent.glob(pattern) if path.is_dir()), key=numbers)


def temperatures_c(root: Path) -> dict[str, float]:
    """Degrees Celsius by thermal zone; a zone that is switched off is left out.

    Zones of one name are told apart by their number.
    """
    found: dict[str, float] = {}
    for zone in folders(root / "class/thermal", "thermal_zone*"):
        milli = integer(zone / "temp")
        if milli is None:
            continue
        name = text(zone / "type") or zone.name
        found[f"{name}.{zone.name}" if name in found else name] = milli / 1e3
    return found


def cpus(root: Path) -> Iterator[tuple[str, Path]]:
    """Name and ``cpufreq`` folder of each CPU whose clock the kernel controls."""
    for cpu in folders(root / "devices/system/cpu", "cpu[0-9]*"):
        if (cpu / "cpufreq").is_dir():
            yield cpu.name, cpu / "cpufreq"


def gpus(root: Path) -> Iterator[tuple[str, Path]]:
    """Name and ``devfreq`` folder of each GPU whose clock the kernel controls (Jetson)."""
    names = ("gpu", "ga10b", "gv11b", "gp10b")
    for device in folders(root / "class/devfreq", "*"):
        if any(name in device.name for name in names):
            yield device.name, device


def clocks_mhz(root: Path) -> dict[str, float]:
    """Clock of each CPU and GPU now, in MHz."""
    found: dict[str, float] = {}
    for name, folder in cpus(root):
        khz = integer(folder / "scaling_cur_freq")
        found |= {} if khz is None else {name: khz / 1e3}
    for name, folder in gpus(root):
        hz = integer(folder / "cur_freq")
        found |= {} if hz is None else {name: hz / 1e6}
    return found


def throttle_counts(root: Path) -> dict[str, int]:
    """How often each unit was slowed since the machine started.

    x86: ``thermal_throttle`` of every CPU; Jetson: the over-current events ``oc*_event_cnt`` of soctherm.
    """
    paths = sorted((root / "devices/system/cpu").glob("cpu[0-9]*/thermal_throttle/*_throttle_count"))
    found = {f"{path.parent.parent.name}.{path.name.removesuffix('_throttle_count')}": integer(path) for path in paths}
    events = sorted((root / "class/hwmon").glob("hwmon*/oc*_event_cnt"))
    found |= {f"{path.parent.name}.{path.name.removesuffix('_event_cnt')}": integer(path) for path in events}
    return {name: count for name, count in found.items() if count is not None}
