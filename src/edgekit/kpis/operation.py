"""Numbers of an engine at work, that a KPI can name: late queries, power, temperature, growth of memory."""

from __future__ import annotations

from collections.abc import Iterable

from edgekit.core.reports import Interval, LeakReport, Metric, PowerReport, ProfileReport
from edgekit.kpis.quantity import Measured, Sampling
from edgekit.stats.percentiles import CONFIDENCE
from edgekit.stats.shares import Share

LATE = Metric("late_share", False)
MEAN = Metric("power_mean_w", False, "W")
PEAK = Metric("power_peak_w", False, "W")
ENERGY = Metric("energy_per_query_j", False, "J")
THROTTLED = Metric("throttled", False)
TEMPERATURE = Metric("temperature_max_c", False, "°C")
LEAK = Metric("leak_kib_per_1000", False, "KiB")
OPERATION_METRICS = (LATE, MEAN, PEAK, ENERGY, THROTTLED, TEMPERATURE, LEAK)
SPEEDUP = "speedup_p50"
MIN_READINGS = 10
"""Below these a mean power is that of a moment."""
ANY_RUN = frozenset({THROTTLED.name, TEMPERATURE.name})
"""What every run of ``edgekit profile`` finds where a sensor works, and with it a gate that measures by itself."""

_ALONE = "edgekit profile BUNDLE --scenario constant-stream --rate HZ"
_JUDGE = "--json > alone.json, and judge that with: edgekit gate BUNDLE --profile alone.json"
_SENSOR = "edgekit doctor lists the sensors of this machine"
_POWER = (
    f"{_ALONE} --sensor NAME {_JUDGE} ({_SENSOR}; it takes {MIN_READINGS} readings, about 5 s, of one that knows power)"
)
_HEAT = f"edgekit profile BUNDLE --sensor NAME {_JUDGE} ({_SENSOR})"
HOW = {
    LATE.name: f"{_ALONE} {_JUDGE}",
    MEAN.name: _POWER,
    PEAK.name: _POWER,
    ENERGY.name: _POWER,
    THROTTLED.name: _HEAT,
    TEMPERATURE.name: _HEAT,
    LEAK.name: f"edgekit profile BUNDLE --leak {_JUDGE}",
    SPEEDUP: "edgekit profile BUNDLE --json > turns.json, without --scenario and of a bundle with a control, "
    "and judge that with: edgekit gate BUNDLE --profile turns.json",
}
"""The command that measures what not every profile has."""


def operation(profile: ProfileReport) -> dict[str, Measured]:
    """What the profile found, under the names of its KPIs.

    Power and energy are those of a run of the engine alone: when engines take turns they would be of all of them.
    """
    found = [*_traffic(profile), *_power(profile), *_heat(profile.power), *_leak(profile.leak)]
    return {number.metric.name: number for number in found}


def _alone(profile: ProfileReport) -> str:
    """The traffic that the engine alone had; empty when engines took turns."""
    if profile.traffic is None:
        return ""
    rate = profile.traffic.rate_hz
    return profile.scenario if rate is None else f"{profile.scenario} at {rate:g} Hz"


def _traffic(profile: ProfileReport) -> Iterable[Measured]:
    traffic = profile.traffic
    if traffic is None or traffic.late is None or not traffic.queries:
        return
    # Nothing is known of neighbours where all or none were late.
    share = Share.correlated(traffic.late, traffic.queries, traffic.late_correlation or 0.0)
    sampling = Sampling(traffic.queries, "queries sent", CONFIDENCE, share=share)
    value = traffic.late / traffic.queries
    yield Measured(LATE, value, interval=share.interval(CONFIDENCE), sampling=sampling, under=_alone(profile))


def _power(profile: ProfileReport) -> Iterable[Measured]:
    power, traffic = profile.power, _alone(profile)
    if power is None or not traffic:
        return
    readings = _readings(power)
    if readings < MIN_READINGS:
        return
    under, sampling = f"{traffic}, {power.scope}", Sampling(readings, "readings", CONFIDENCE)
    for metric, value in ((MEAN, power.mean_w), (PEAK, power.peak_w), (ENERGY, power.energy_j_per_query)):
        if value is not None:
            yield Measured(metric, value, sampling=sampling, under=under)


def _readings(power: PowerReport) -> int:
    """How often the power of the scope was read; of several sensors, the one that was read least."""
    parts = (power.scope or "").split("+")
    return min((reader.samples for reader in power.readers.values() if reader.scope in parts), default=0)


def _heat(power: PowerReport | None) -> Iterable[Measured]:
    if power is None:
        return
    if power.throttled is not None:
        yield Measured(THROTTLED, float(power.throttled))
    if power.temperature_c.peak:
        yield Measured(TEMPERATURE, max(power.temperature_c.peak.values()))


def _leak(leak: LeakReport | None) -> Iterable[Measured]:
    if leak is not None:
        sampling = Sampling(leak.queries, "queries watched", leak.confidence)
        yield Measured(LEAK, leak.slope_kib_per_1000, interval=Interval(leak.low, leak.high), sampling=sampling)
