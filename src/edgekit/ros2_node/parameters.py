"""Every parameter of the node, declared once: type, range, unit, description, and when it may change.

The ROS 2 layer declares them from here, and so are ``perception.yaml`` and the reference page made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from typing import Any, Literal, TypeAlias

from edgekit.core.errors import SpecError
from edgekit.core.suggest import allowed

Value: TypeAlias = bool | int | float | str | tuple[str, ...]
When = Literal["live", "configure", "start"]
"""``live``: at any time; ``configure``: while the node is unconfigured; ``start``: only by whoever starts it."""


@dataclass(frozen=True)
class Parameter:
    """One parameter; ``low`` and ``high`` are inclusive, ``choices`` the only values of a string."""

    name: str
    default: Value
    description: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    when: When = "configure"

    @property
    def kind(self) -> str:
        """The type's name in ROS 2: bool, integer, double, string or string_array."""
        kinds = {bool: "bool", int: "integer", float: "double", str: "string", tuple: "string_array"}
        return kinds[type(self.default)]

    @property
    def limits(self) -> str:
        """The values it may have, in words; empty: any."""
        if self.choices:
            return ", ".join(map(repr, self.choices))
        if self.low is None and self.high is None:
            return ""
        return f"{'' if self.low is None else f'{self.low:g}'}..{'' if self.high is None else f'{self.high:g}'}"

    def checked(self, value: object) -> Value:
        """The value in its type.

        Raises:
            SpecError: it has another type or is out of range; names value, expectation and unit.
        """
        if self.kind == "double" and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if self.kind == "string_array" and isinstance(value, list | tuple):
            value = tuple(map(str, value))
        if type(value) is not type(self.default):
            raise SpecError(f"parameter {self.name}: {value!r} is no {self.kind}")
        if self.choices and value not in self.choices:
            raise SpecError(f"parameter {self.name}: {value!r}; {allowed(str(value), self.choices)}")
        if isinstance(value, int | float) and not self._in_range(value):
            expected = f"{self.limits} {self.unit}".strip()
            raise SpecError(f"parameter {self.name}: {value:g} is out of range; expected {expected}")
        return value

    def _in_range(self, value: float) -> bool:
        """NaN is in no range."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


def declared(
    default: Value,
    description: str,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    when: When = "configure",
) -> Any:
    """A dataclass field that is a parameter; its name is the field's."""
    return field(
        default=default, metadata={"parameter": Parameter("", default, description, unit, low, high, choices, when)}
    )


@dataclass(frozen=True)
class Settings:
    """The node's own parameters; a field's metadata is its declaration.

    Raises:
        SpecError: a value has another type or is out of range.
    """

    bundle: str = declared("", "the bundle to run: a folder, or a single .edgekit file")
    public_key: str = declared("", "PEM file of an Ed25519 public key: only bundles that its holder signed are run")
    native: str = declared(
        "auto",
        "C++ runs the frames (edgekit-native): auto where it is installed and has what the bundle asks for, on, or off",
        choices=("auto", "on", "off"),
    )
    autostart: bool = declared(False, "configure and activate without being asked", when="start")
    cameras: tuple[str, ...] = declared(
        ("",), "names of the cameras, which become parts of topic names; one without a name: ~/input/image"
    )
    image_transport: str = declared(
        "raw", "what is subscribed to, as image_transport names it", choices=("raw", "compressed")
    )
    rectify: bool = declared(
        False, "undistort frames by camera_info first; frames before the first camera_info are refused"
    )
    overlay: bool = declared(False, "publish the frame with the result drawn over it, for debugging: costs time")
    sync_slop_ms: float = declared(
        20.0,
        "frames of one query, where the model takes several cameras, differ at most so much in stamp",
        "ms",
        0,
        10_000,
    )
    rate_hz: float = declared(30.0, "frames that each camera is expected to send", "Hz", 0.01, 10_000, when="live")
    deadline_ms: float = declared(
        100.0, "age of a result, from its frame's stamp, above which it is late; 0: never", "ms", 0, 60_000, when="live"
    )
    drop_late: bool = declared(False, "frames that are past the deadline before inference are dropped", when="live")
    max_rate_hz: float = declared(
        0.0, "queries of each camera are not made more often; 0: no limit", "Hz", 0, 10_000, when="live"
    )
    score_threshold: float = declared(
        0.0, "detections below it are not published, beside the threshold in the bundle", "", 0, 1, when="live"
    )
    lighter_bundle: str = declared("", "the bundle to run while the engine does not keep up; none: frames are dropped")
    degrade_after_s: float = declared(
        2.0, "so long overloaded before the lighter bundle runs", "s", 0.1, 600, when="live"
    )
    recover_after_s: float = declared(
        30.0, "so long with the lighter bundle before the other one is tried again", "s", 0.1, 86_400, when="live"
    )
    hang_periods: float = declared(
        2.0,
        "an inference is taken for hung after so many periods (of the camera or of an inference, the longer)",
        "",
        1,
        1000,
    )
    hang_exit_s: float = declared(
        5.0, "a hung node is killed after so long, so that launch starts it again; 0: never", "s", 0, 3600
    )
    diagnostics_period_s: float = declared(
        1.0, "diagnostics are published so often, and when a level changes", "s", 0.1, 60, when="start"
    )
    scheduler_fifo: int = declared(0, "SCHED_FIFO priority of the inference thread; 0: as other threads", "", 0, 99)
    cpu_affinity: str = declared("", "processors of the inference thread, such as 2,3; none: all")
    metrics_port: int = declared(0, "port of the Prometheus page; 0: none", "", 0, 65_535, when="start")
    metrics_address: str = declared("127.0.0.1", "address that the Prometheus page is served on", when="start")

    def __post_init__(self) -> None:
        check(self)
        if len(set(self.cameras)) != len(self.cameras) or not self.cameras:
            raise SpecError(f"parameter cameras: {list(self.cameras)}; expected at least one name, each once")
        for name in self.cameras:
            if name and not (name.replace("_", "a").isalnum() and name.isascii() and not name[0].isdigit()):
                raise SpecError(f"parameter cameras: {name!r} is no part of a topic's name; use letters, digits and _")
        self.processors()

    def processors(self) -> tuple[int, ...]:
        """Processors of the inference thread; empty: all.

        Raises:
            SpecError: ``cpu_affinity`` is no list of numbers.
        """
        parts = [part.strip() for part in self.cpu_affinity.split(",") if part.strip()]
        if not all(part.isdecimal() for part in parts):
            raise SpecError(
                f"parameter cpu_affinity: {self.cpu_affinity!r}; expected numbers of processors, such as 2,3"
            )
        return tuple(map(int, parts))


def check(settings: Any) -> None:
    """Put each value of a dataclass of parameters into its type; for its ``__post_init__``.

    Raises:
        SpecError: one has another type or is out of range.
    """
    for one in declarations(type(settings)):
        object.__setattr__(settings, one.name, one.checked(getattr(settings, one.name)))


def declarations(settings: type) -> tuple[Parameter, ...]:
    """The parameters that a dataclass declares, in order."""
    return tuple(_named(one) for one in fields(settings))


def _named(one: Field[Any]) -> Parameter:
    if "parameter" not in one.metadata or one.default is MISSING:
        raise TypeError(f"{one.name} is not declared as a parameter")
    declared: Parameter = one.metadata["parameter"]
    return replace(declared, name=one.name)


def as_yaml(parameters: Iterable[Parameter], node: str = "/**") -> str:
    """The file that ``--ros-args --params-file`` reads: every parameter, its default, and what it is."""
    lines = [f"{node}:", "  ros__parameters:"]
    for one in parameters:
        facts = "; ".join(filter(None, (one.limits and f"{one.limits} {one.unit}".strip(), one.when)))
        lines.append(f"    # {one.description} ({facts})")
        lines.append(f"    {one.name}: {_scalar(one.default)}")
    return "\n".join(lines) + "\n"


def as_table(parameters: Iterable[Parameter]) -> str:
    """The table of the reference page, in Markdown."""
    rows = ["| parameter | type | default | range | unit | changes | what it is |", "|---|---|---|---|---|---|---|"]
    for one in parameters:
        cells = (
            f"`{one.name}`",
            one.kind,
            f"`{_scalar(one.default)}`",
            one.limits,
            one.unit,
            one.when,
            one.description,
        )
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def _scalar(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_scalar, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else repr(value)
