"""What the sensors of a machine saw while something ran: power, clocks, temperatures."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgekit.core.reports.values import Document


@dataclass(frozen=True)
class Watts(Document):
    """Power in watts and energy in joules over the run; None: it was not read often enough, or not at all."""

    mean_w: float | None = None
    peak_w: float | None = None
    energy_j: float | None = None


@dataclass(frozen=True)
class SensorReport(Document):
    """What one sensor saw in ``samples`` readings over ``seconds``.

    ``rails`` are its supplies; those of ``total`` add up to ``scope``: ``board``, ``module``, ``gpu`` or ``cpu``, None
    where they are nothing whole.  ``load_percent`` is a mean by unit, ``peak_memory_mib`` the highest by memory.
    """

    samples: int
    scope: str | None = None
    seconds: float = 0.0
    total: tuple[str, ...] = ()
    rails: dict[str, Watts] = field(default_factory=dict)
    load_percent: dict[str, float] = field(default_factory=dict)
    peak_memory_mib: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Clock(Document):
    """One clock: its governor, the limits set for it, and its value now, in MHz."""

    governor: str
    min_mhz: float
    max_mhz: float
    current_mhz: float | None

    @property
    def fixed(self) -> bool:
        """Whether it can have one value only."""
        return self.min_mhz == self.max_mhz or self.governor == "userspace"


@dataclass(frozen=True)
class ClockState(Document):
    """The clocks at one moment.

    ``locked``: True when no clock can move, False when one can, None when that cannot be seen;
    ``reason`` says why.  ``mode`` is the power mode of a Jetson, ``emc_locked`` whether
    jetson_clocks holds the memory's clock.  ``throttle_counts`` are events since the machine started.
    """

    locked: bool | None
    reason: str
    clocks: dict[str, Clock] = field(default_factory=dict)
    mode: str | None = None
    emc_locked: bool | None = None
    boost: bool | None = None
    temperature_c: dict[str, float] = field(default_factory=dict)
    throttle_counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ClockRange(Document):
    """One clock during the run, in MHz."""

    min: float
    mean: float
    max: float


@dataclass(frozen=True)
class ClocksReport(Document):
    """Whether the clocks stood still: ``locked`` and ``reason`` of the worse of ``before`` and ``after``.

    ``during`` is by ``sensor/unit``.
    """

    locked: bool | None
    reason: str
    before: ClockState
    after: ClockState
    during: dict[str, ClockRange] = field(default_factory=dict)


@dataclass(frozen=True)
class TemperatureReport(Document):
    """Degrees Celsius by ``sensor/zone``: the first reading, the highest, the last."""

    before: dict[str, float] = field(default_factory=dict)
    peak: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PowerReport(Document):
    """Every sensor around one run of ``queries`` queries, read at ``rate_hz``.

    ``mean_w`` and ``peak_w`` in watts, ``energy_j`` and ``energy_j_per_query`` in joules are those of ``scope``, the
    widest that was measured (``gpu+cpu`` is their sum); None when no sensor knows a whole, the energy of a query also
    when engines took turns.  ``throttled`` is None when no sensor can tell.  ``unavailable`` says by sensor why it did
    not work.
    """

    readers: dict[str, SensorReport] = field(default_factory=dict)
    scope: str | None = None
    mean_w: float | None = None
    peak_w: float | None = None
    energy_j: float | None = None
    energy_j_per_query: float | None = None
    queries: int = 0
    rate_hz: float = 0.0
    clocks: ClocksReport | None = None
    temperature_c: TemperatureReport = field(default_factory=TemperatureReport)
    throttled: bool | None = None
    throttle_reasons: tuple[str, ...] = ()
    unavailable: dict[str, str] = field(default_factory=dict)
