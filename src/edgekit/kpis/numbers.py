"""The numbers that a KPI can name, each with the interval it was measured to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from edgekit.core.errors import SpecError
from edgekit.core.reports import Bootstrap, EvaluateReport, Interval, Latency, Metric, ProfileReport, Slice
from edgekit.evaluation.bootstrap import METHOD
from edgekit.kpis import building, operation
from edgekit.kpis.building import BUILD_METRICS
from edgekit.kpis.operation import OPERATION_METRICS
from edgekit.kpis.quantity import Measured, Sampling
from edgekit.stats.openings import p50_ratio, percentile_interval, student
from edgekit.stats.percentiles import CONFIDENCE, QUANTILES

PROFILE_METRICS = (
    Metric("latency_p50_ms", False, "ms"),
    Metric("latency_p90_ms", False, "ms"),
    Metric("latency_p99_ms", False, "ms"),
    Metric("latency_p999_ms", False, "ms"),
    Metric("total_p50_ms", False, "ms"),
    Metric("total_p90_ms", False, "ms"),
    Metric("total_p99_ms", False, "ms"),
    Metric("total_p999_ms", False, "ms"),
    Metric("peak_memory_mib", False, "MiB"),
    Metric("engine_memory_mib", False, "MiB"),
    Metric("size_mib", False, "MiB"),
    Metric("speedup_p50", True, "x"),
    *OPERATION_METRICS,
    *BUILD_METRICS,
)
HOW = operation.HOW | building.HOW
"""The command that measures what not every profile has."""
_EVEN = 1e-6
_DRAWN = {"frame": "frames", "sequence": "sequences", "scene": "scenes", "drive": "drives"}


def measured(
    evaluation: EvaluateReport | None,
    profile: ProfileReport | None,
    metrics: tuple[Metric, ...],
    beside: tuple[ProfileReport, ...] = (),
) -> dict[str, Measured]:
    """Every number that a KPI can name.

    Args:
        evaluation: accuracy of the candidate and of its control; None: there was no time for it.
        profile: its latency and memory; None likewise.
        metrics: the task's, with their directions.
        beside: profiles of further runs, for the numbers that the first does not have.
    """
    table = {} if evaluation is None else _accuracies(evaluation, metrics)
    for one in (*reversed(beside), *([] if profile is None else [profile])):
        table |= _profiled(one)
    return table


def _accuracies(evaluation: EvaluateReport, metrics: tuple[Metric, ...]) -> dict[str, Measured]:
    sampling = _drawn(evaluation.bootstrap)
    table = {}
    for metric in metrics:
        if metric.name in evaluation.metrics:
            slices: dict[str, dict[str, Measured]] = {}
            for part in evaluation.slices:
                if metric.name in part.metrics:
                    values = slices.setdefault(part.column, {})
                    values[part.value] = _measured(metric, part, _of_slice(sampling, part))
            table[metric.name] = _measured(metric, evaluation, sampling, slices)
    return table


def _profiled(profile: ProfileReport) -> dict[str, Measured]:
    found, at_work = profile_values(profile), operation.operation(profile)
    return {
        metric.name: at_work.get(metric.name) or Measured(metric, found[metric.name], **_timing(metric.name, profile))
        for metric in PROFILE_METRICS
        if metric.name in found
    }


def _measured(
    metric: Metric,
    report: EvaluateReport | Slice,
    sampling: Sampling | None,
    slices: Mapping[str, Mapping[str, Measured]] | None = None,
) -> Measured:
    name = metric.name
    return Measured(
        metric,
        report.metrics[name],
        (report.control or {}).get(name),
        report.intervals.get(name),
        report.differences.get(name),
        sampling,
        slices or {},
    )


def _drawn(bootstrap: Bootstrap | None) -> Sampling | None:
    if bootstrap is None:
        return None
    units = _DRAWN.get(bootstrap.unit, f"groups by {bootstrap.unit}")
    return Sampling(bootstrap.units, units, bootstrap.confidence, student=bootstrap.method == METHOD)


def _of_slice(whole: Sampling | None, part: Slice) -> Sampling | None:
    if whole is None:
        return None
    # How many sequences a slice has is not in the report.
    by_frame = whole.units == _DRAWN["frame"]
    return Sampling(part.frames, _DRAWN["frame"], whole.confidence, student=whole.student and by_frame)


def profile_values(profile: ProfileReport) -> dict[str, float]:
    """A profile's numbers under their KPI names."""
    values = {
        f"{stage}_{p}_ms": getattr(latency, p)
        for stage, latency in _latencies(profile).items()
        for p in QUANTILES
        if getattr(latency, p) is not None
    }
    if profile.memory_mib:  # nothing, when the time was too short for it
        values["peak_memory_mib"] = profile.memory_mib["peak_rss"]
        values["engine_memory_mib"] = profile.memory_mib["engine"]
    values["size_mib"] = profile.size_mib
    if profile.speedup_p50 is not None:
        values["speedup_p50"] = profile.speedup_p50
    at_work = {name: number.value for name, number in operation.operation(profile).items()}
    return values | at_work | building.building(profile)


def _latencies(profile: ProfileReport) -> dict[str, Latency]:
    return {"latency": profile.latency_ms, "total": profile.stages_ms["total"]}


def _timing(name: str, profile: ProfileReport) -> dict[str, Any]:
    """Interval and sampling of a number of the profile; empty for sizes, which are exact."""
    openings, latencies = profile.settings.loads, _latencies(profile)
    times = profile.times_ms.get(profile.engine, ())
    if name == "speedup_p50":
        control = () if profile.control is None else profile.times_ms.get(profile.control.engine, ())
        sampling = Sampling(profile.latency_ms.samples, "queries", CONFIDENCE, None, times, openings, control)
        return {"interval": profile.speedup_interval, "sampling": sampling}
    stage, _, rest = name.partition("_")
    if stage not in latencies:
        return {}
    latency, percentile = latencies[stage], rest.removesuffix("_ms")
    # The times of every query are kept of the engine's own stage alone.
    kept = times if stage == "latency" else ()
    sampling = Sampling(latency.samples, "queries", CONFIDENCE, QUANTILES[percentile], kept, openings)
    return {"interval": latency.intervals.get(percentile), "sampling": sampling}


def interval_at(number: Measured, confidence: float, where: str) -> Interval | None:
    """The interval of ``number`` at ``confidence``; None: it is exact, or was not measured to one.

    Raises:
        SpecError: it was measured at a lower confidence, and nothing is left to make another from.
    """
    sampling = number.sampling
    if number.interval is None or sampling is None:
        return number.interval
    if sampling.share is not None:
        return sampling.share.interval(confidence)
    if sampling.quantile is not None and sampling.times_ms:
        return percentile_interval(sampling.times_ms, sampling.quantile, confidence, sampling.openings)
    if sampling.control_ms and sampling.times_ms:
        return p50_ratio(sampling.control_ms, sampling.times_ms, confidence, sampling.openings)
    return rescaled(number.value, number.interval, sampling, confidence, where)


def rescaled(value: float, interval: Interval, sampling: Sampling | None, confidence: float, where: str) -> Interval:
    """``interval`` around ``value`` at another confidence; one of a higher confidence is left as wide as it is.

    Raises:
        SpecError: it is of a lower confidence, and not of a kind that others follow from.
    """
    if sampling is None or sampling.confidence == confidence:
        return interval
    if sampling.student and sampling.size > 1:
        factor = student(confidence, sampling.size) / student(sampling.confidence, sampling.size)
        if (found := _stretched(value, interval, factor)) is not None:
            return found
    if sampling.confidence < confidence:
        raise SpecError(
            f"{where}.confidence: {confidence:g} is asked for, but the interval was measured at "
            f"{sampling.confidence:g}; lower it, or measure with that confidence"
        )
    return interval


def _stretched(value: float, interval: Interval, factor: float) -> Interval | None:
    """Both ends ``factor`` times as far from ``value``, on the scale on which it is symmetric; None: on neither.

    An evaluation's intervals are symmetric on the logit scale for shares, and as they are for the rest.
    """
    if interval.low is None or interval.high is None:
        return interval
    numbers = (interval.low, value, interval.high)
    if math.isclose(value - interval.low, interval.high - value, rel_tol=_EVEN, abs_tol=_EVEN):
        return Interval(*(value + factor * (end - value) for end in (interval.low, interval.high)))
    if not all(0 < number < 1 for number in numbers):
        return None
    low, middle, high = (math.log(number / (1 - number)) for number in numbers)
    if not math.isclose(middle - low, high - middle, rel_tol=_EVEN):
        return None
    return Interval(*(1 / (1 + math.exp(-middle - factor * (end - middle))) for end in (low, high)))


def check_numbers(number: Measured, where: str) -> None:
    """Raise :class:`SpecError` when a value or an end of an interval is NaN."""
    if any(end is not None and math.isnan(end) for end in number.ends):
        raise SpecError(f"{where}: the measured value is NaN; look at the evaluation before judging it")
