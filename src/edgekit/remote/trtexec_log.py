"""What ``trtexec`` prints, read line by line: progress, device, results, and why it failed.

The lines are those of samples/common in https://github.com/NVIDIA/TensorRT, 10.3 to 11.1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from edgekit.core.errors import EdgekitError, EnvironmentFault, InputError, MissingRequirement, OutputError
from edgekit.engine.trt import errors as trt_errors
from edgekit.remote.trtexec import version_of, version_text

STEPS = ("parse", "build", "save", "measure")
"""What a build goes through, in order."""

_LINE = re.compile(r"(?:\[[^\]]*\] )?\[([VIWEF])\] ?(.*)")
_BANNER = re.compile(r"&&&& (RUNNING|PASSED|FAILED|WAIVED) TensorRT\.trtexec(?: \[TensorRT v(\d+)\](?: \[b(\d+)\])?)?")
_STARTS = {
    "Start parsing network model": "parse",
    "Finished parsing network model": "build",
    "Created engine with size": "save",
    "Starting inference": "measure",
}
_FACTS = {
    "Selected Device": "device",
    "Compute Capability": "compute_capability",
    "Device Global Memory": "memory",
}
_NUMBERS = {"Engine built in": "build_s", "Created engine with size": "engine_mib", "Throughput": "throughput_hz"}
_TIMES = {
    "Latency": "latency",
    "GPU Compute Time": "gpu",
    "Enqueue Time": "enqueue",
    "H2D Latency": "host_to_device",
    "D2H Latency": "device_to_host",
}
_DUMP = re.compile(
    r"Writing file for (input|output) binding (.+) \(with datatype (\w+) and dimensions ([\d.]*)\) to (.+)"
)
_NODE = re.compile(r"While parsing node number \d+ \[(.+?)(?: -> \"(.*?)\")?\]")


@dataclass(frozen=True)
class Dump:
    """A tensor that was written to a file of raw bytes; ``kind`` is ``input`` or ``output``."""

    kind: str
    name: str
    dtype: str
    shape: tuple[int, ...]
    file: str


@dataclass
class Log:
    """What is known so far.

    ``facts`` holds ``device``, ``compute_capability``, ``tensorrt`` and ``memory`` as text; ``numbers``
    ``build_s``, ``engine_mib`` and ``throughput_hz``; ``times_ms`` maps ``latency``, ``gpu``, ``enqueue``,
    ``host_to_device`` and ``device_to_host`` to ``min``, ``max``, ``mean``, ``median``, ``p90``, ``p99`` and so on.
    ``verdict`` is ``PASSED``, ``FAILED`` or None when the log breaks off.
    """

    step: str | None = None
    verdict: str | None = None
    facts: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    times_ms: dict[str, dict[str, float]] = field(default_factory=dict)
    dumps: list[Dump] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    _last: list[str] | None = field(default=None, repr=False)

    def read(self, line: str) -> bool:
        """Take in one line; True when it begins another of :data:`STEPS`."""
        banner, match = _BANNER.match(line), _LINE.match(line)
        if banner is not None:
            if banner[2]:
                self.facts["tensorrt"] = version_text(version_of(banner[2]), int(banner[3]) if banner[3] else None)
            self.verdict = None if banner[1] == "RUNNING" else banner[1]
            return False
        if match is None:
            # A long message goes on in lines of its own.
            if self._last is not None and line.strip():
                self._last[-1] += f"\n{line.rstrip()}"
            return False
        severity, text = match[1], match[2].removeprefix("[TRT] ").strip()
        self._last = {"E": self.errors, "F": self.errors, "W": self.warnings}.get(severity)
        if self._last is not None:
            self._last.append(text)
            return False
        return self._information(text)

    def _information(self, text: str) -> bool:
        dump = _DUMP.fullmatch(text)
        if dump is not None:
            shape = tuple(int(size) for size in dump[4].split(".") if size)
            self.dumps.append(Dump(dump[1], dump[2], dump[3], shape, dump[5]))
            return False
        name, _, value = text.partition(":")
        if name in _FACTS:
            self.facts[_FACTS[name]] = value.strip()
        elif name in _TIMES and "min = " in value:
            self.times_ms[_TIMES[name]] = times(value)
        for start, key in _NUMBERS.items():
            number = re.match(rf"{start}:? ([0-9.eE+-]+)", text)
            if number is not None:
                self.numbers[key] = float(number[1])
        step = next((step for start, step in _STARTS.items() if text.startswith(start)), None)
        begins = step is not None and step != self.step
        self.step = step or self.step
        return begins


def read(text: str) -> Log:
    """A whole log."""
    log = Log()
    for line in text.splitlines():
        log.read(line)
    return log


def times(text: str) -> dict[str, float]:
    """``min = 1 ms, ..., percentile(99%) = 2 ms`` as ``{"min": 1.0, ..., "p99": 2.0}``."""
    found = re.findall(r"(\w+)(?:\(([\d.]+)%\))? = ([0-9.eE+-]+) ms", text)
    return {f"p{percent}" if percent else name: float(value) for name, percent, value in found}


def failure(log: Log, host: str, source: Path) -> EdgekitError:
    """Why the run failed, in words that name the cause and the fix.

    Args:
        log: that of the run.
        host: the machine it ran on.
        source: the model, as it is here.
    """
    errors = "\n".join(log.errors)
    if "Saving engine to file failed" in errors or "No space left on device" in errors:
        return OutputError(f"{host}: the engine could not be saved there: the disk is full; free space on it")
    unknown = re.search(r"Unknown option: (\S+)", errors)
    if unknown is not None:
        version = log.facts.get("tensorrt", "of unknown version")
        return InputError(f"{host}: its trtexec, of TensorRT {version}, does not know {unknown[1]}; report this")
    named = Path(f"{source.name} on {host}")
    refused = refusals(log)
    if refused:
        return trt_errors.unparsable(named, source.read_bytes(), refused)
    found = trt_errors.failed(named, _causes(log.errors), log.warnings)
    if isinstance(found, MissingRequirement):
        return EnvironmentFault(f"{host}: {found.what} is not available there; it is {found.install}")
    return found


def refusals(log: Log) -> list[trt_errors.Refusal]:
    """The nodes that the parser did not take."""
    errors = "\n".join(log.errors)
    found = []
    for node in _NODE.finditer(errors):
        rest = errors[node.end() :].split("While parsing node number")[0]
        name = re.search(r'^(?:\S+: )?name: "(.*)"', rest, re.MULTILINE)
        reason = re.search(r"No importer registered .*|Assertion failed: .*|Invalid Node - .*|Plugin not found.*", rest)
        text = reason[0] if reason else ""
        found.append(trt_errors.Refusal(text, name[1] if name else node[2] or "", node[1]))
    return found


def _causes(errors: list[str]) -> list[str]:
    """Without what ``trtexec`` only adds: that there is no engine now."""
    added = ("Engine could not be created", "Building engine failed", "Failed to create engine", "Engine set up failed")
    return [error for error in errors if not error.startswith(added)] or errors


def summary(log: Log) -> dict[str, object]:
    """What is kept of a build beside the engine: device, sizes, times in ms."""
    return {"facts": dict(log.facts), "numbers": dict(log.numbers), "times_ms": dict(log.times_ms)}
