"""The INA power monitors of Jetson boards, through the kernel's hwmon folders.

https://docs.kernel.org/hwmon/ina3221.html and https://docs.kernel.org/hwmon/ina238.html: voltages are in
mV, currents in mA, powers in microwatts.  No privilege is needed.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from edgekit.core.errors import EnvironmentFault
from edgekit.sensors import _sysfs
from edgekit.sensors._rails import jetson_total
from edgekit.sensors._reader import PollingReader, SensorConfig
from edgekit.sensors._samples import Reading, Total

_CHIPS = ("ina2", "ina3")
_UNUSED = ("NC",)


class Config(SensorConfig):
    """Where the ``hwmon*`` folders are."""

    root: Path = Path("/sys/class/hwmon")

    def reader(self) -> Ina:
        return Ina(self.root)


@dataclass(frozen=True)
class _Rail:
    name: str
    folder: Path
    channel: int

    def watts(self) -> float | None:
        """None while the channel is switched off."""
        direct = _sysfs.integer(self.folder / f"power{self.channel}_input")
        if direct is not None:
            return direct / 1e6
        millivolts = _sysfs.integer(self.folder / f"in{self.channel}_input")
        milliamperes = _sysfs.integer(self.folder / f"curr{self.channel}_input")
        return None if millivolts is None or milliamperes is None else millivolts * milliamperes / 1e6


class Ina(PollingReader):
    """Power of every labelled rail."""

    name = "ina"

    def __init__(self, root: Path) -> None:
        self._root = root
        self._rails: tuple[_Rail, ...] = ()

    def start(self) -> None:
        self._rails = tuple(rail for chip in _sysfs.folders(self._root, "hwmon*") for rail in _channels(chip))
        if not self._rails:
            raise EnvironmentFault(f"no INA power monitor below {self._root} (this is not a Jetson board)")

    def read(self) -> Reading:
        watts = {rail.name: rail.watts() for rail in self._rails}
        return Reading(power_w={name: value for name, value in watts.items() if value is not None})

    def total(self, rails: Collection[str]) -> Total | None:
        return jetson_total(rails)


def _channels(chip: Path) -> list[_Rail]:
    model = _sysfs.text(chip / "name") or ""
    if not model.startswith(_CHIPS):
        return []
    if model != "ina3221":  # one channel, which may have the label of the whole chip
        return [rail for rail in [_Rail(_sysfs.text(chip / "label") or model, chip, 1)] if rail.watts() is not None]
    labels = {channel: _sysfs.text(chip / f"in{channel}_label") for channel in (1, 2, 3)}
    rails = [_Rail(label, chip, channel) for channel, label in labels.items() if label and label not in _UNUSED]
    return [rail for rail in rails if rail.watts() is not None]
