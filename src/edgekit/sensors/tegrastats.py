"""tegrastats: NVIDIA's own monitor of Jetson boards, one line a reading.

https://docs.nvidia.com/jetson/archives/r38.4/DeveloperGuide/AT/JetsonLinuxDevelopmentTools/TegrastatsUtility.html.
Fields differ from board to board and from release to release: one that is not known is passed over; a known
one with a broken number is an error.
"""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Collection
from dataclasses import dataclass, field

from edgekit.core.errors import DataError, EnvironmentFault, MissingRequirement
from edgekit.core.probes import Probe
from edgekit.sensors._rails import jetson_total
from edgekit.sensors._reader import Reader, Recording, SensorConfig, absent, checked_rate
from edgekit.sensors._samples import Reading, Total

ORIGIN = "it is part of JetPack on a Jetson"
# What a zone says while it is switched off.
_OFF_C = -256.0
_MIB = {"kB": 1 / 1024, "MB": 1.0, "GB": 1024.0}
_PLAIN_CLOCKS = ("APE", "VIC")
_UNUSED = ("NC",)
_FIRST_LINE_S = 10.0


class Config(SensorConfig):
    """The command to run; ``--interval MILLISECONDS`` is added."""

    command: tuple[str, ...] = ("tegrastats",)

    def reader(self) -> Tegrastats:
        return Tegrastats(self.command)


@dataclass
class _Line:
    power_w: dict[str, float] = field(default_factory=dict)
    temperature_c: dict[str, float] = field(default_factory=dict)
    clock_mhz: dict[str, float] = field(default_factory=dict)
    load_percent: dict[str, float] = field(default_factory=dict)
    memory_mib: dict[str, float] = field(default_factory=dict)


def parse(line: str) -> Reading:
    """The reading in one line.

    Raises:
        DataError: it is no line of tegrastats, or a number in it is broken; the message holds the field.
    """
    words = re.sub(r"\([^)]*\)?", " ", line).split()
    if "RAM" not in words:
        raise DataError(f"not a line of tegrastats (it has no RAM field): {line.strip()[:80]!r}")
    found = _Line()
    at = 0
    while at < len(words):
        word = words[at]
        following = words[at + 1] if at + 1 < len(words) else ""
        if re.match(r"\w+@.*C$", word):
            _temperature(word, found)
        elif word[0].isalpha() and _value(word, following, found):
            at += 1
        at += 1
    return Reading(found.power_w, found.temperature_c, found.clock_mhz, found.load_percent, found.memory_mib)


def _value(name: str, value: str, found: _Line) -> bool:
    """Take the field ``name value`` in; False when it is not a field that is known."""
    unit = name.removesuffix("_FREQ")
    if name in ("RAM", "SWAP"):
        _memory(name, value, found)
    elif name == "CPU" and value.startswith("["):
        _cpus(value, found)
    elif "mW" in value or re.fullmatch(r"\d+/\d+", value):
        if name not in _UNUSED:
            # Now, mean since the start, and in newer releases a third; older boards write no unit.
            found.power_w[name] = _number(name, value.split("/")[0].removesuffix("mW"), value) / 1e3
    elif "%" in value or value.startswith("@"):
        _load(unit, value, found)
    elif value.isdecimal() and (unit in _PLAIN_CLOCKS or name != unit):
        found.clock_mhz[unit] = float(value)
    else:
        return value == "off"
    return True


def _memory(name: str, value: str, found: _Line) -> None:
    match = re.fullmatch(r"(\d+)/(\d+)(kB|MB|GB)", value)
    if match is None:
        raise DataError(f"tegrastats: expected {name} USED/TOTALMB, found {value!r}")
    found.memory_mib[name.lower()] = int(match[1]) * _MIB[match[3]]


def _cpus(value: str, found: _Line) -> None:
    inner, _, shared = value.removeprefix("[").partition("]")
    for index, core in enumerate(inner.split(",")):
        if core != "off":
            _load(f"cpu{index}", core + shared, found)


def _load(unit: str, value: str, found: _Line) -> None:
    """``12%``, ``12%@1300``, ``12%@[1300,1300]`` or, without a load, ``@1300``."""
    load, at, clocks = value.partition("@")
    if load:
        if not load.endswith("%"):
            raise DataError(f"tegrastats: {unit}: expected a load such as 12%@1300, found {value!r}")
        found.load_percent[unit] = _number(unit, load.removesuffix("%"), value)
    several = clocks.startswith("[")
    parts = clocks.strip("[]").split(",") if at else []
    for index, clock in enumerate(parts):
        name = f"{unit}.{index}" if several and len(parts) > 1 else unit
        found.clock_mhz[name] = _number(unit, clock, value)


def _temperature(word: str, found: _Line) -> None:
    zone, _, value = word.partition("@")
    # Newer releases write a second number after the one of now.
    celsius = _number(zone, value.split("/")[0].removesuffix("C"), word)
    if celsius != _OFF_C:
        found.temperature_c[zone] = celsius


def _number(name: str, digits: str, whole: str) -> float:
    if re.fullmatch(r"-?\d+(\.\d+)?", digits) is None:
        raise DataError(f"tegrastats: {name}: {digits!r} in {whole!r} is not a number")
    return float(digits)


class Tegrastats(Reader):
    """Rails, temperatures, clocks, loads and memory of a Jetson."""

    name = "tegrastats"

    def __init__(self, command: tuple[str, ...]) -> None:
        self._command = command

    def probe(self) -> Probe:
        try:
            with self.open(rate_hz=10.0) as recording:
                pass
            reading = recording.last()
        except MissingRequirement as missing:
            return absent(self.name, missing)
        except (DataError, EnvironmentFault) as fault:
            return Probe(self.name, False, str(fault))
        return Probe(self.name, True, reading.summary())

    def open(self, rate_hz: float = 10.0) -> _Lines:
        interval_ms = max(1, round(1e3 / checked_rate(rate_hz)))
        return _Lines((*self._command, "--interval", str(interval_ms)))

    def total(self, rails: Collection[str]) -> Total | None:
        return jetson_total(rails)


class _Lines(Recording):
    def __init__(self, command: tuple[str, ...]) -> None:
        super().__init__()
        self._command = command
        self._process: subprocess.Popen[str] | None = None
        self._first = threading.Event()

    def last(self) -> Reading:
        """The latest reading."""
        self.samples()
        return self._readings[-1]

    def _begin(self) -> None:
        try:
            self._process = subprocess.Popen(
                self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
            )
        except FileNotFoundError as error:
            raise MissingRequirement(f"the command {self._command[0]}", note=ORIGIN) from error
        except OSError as error:
            raise EnvironmentFault(f"{self._command[0]}: {error.strerror}") from error
        self._thread.start()
        if not self._first.wait(_FIRST_LINE_S) or self._failure is not None:
            self._stop.set()
            self._finish()
            raise self._failure or EnvironmentFault(f"{self._command[0]} printed no line in {_FIRST_LINE_S:.0f} s")

    def _run(self) -> None:
        super()._run()
        self._first.set()

    def _collect(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            # The last line may be cut off when the process is ended.
            if line.endswith("\n") and line.strip():
                self._add(parse(line))
                self._first.set()
        if not self._stop.is_set():
            raise EnvironmentFault(f"{self._command[0]} ended by itself with {self._process.wait()}")

    def _finish(self) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
