"""A number against the same number of a baseline: how much worse, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from edgekit.core.errors import InputError
from edgekit.core.reports import Difference, EvaluateReport, Interval, Metric, ProfileReport
from edgekit.kpis.numbers import interval_at, measured, rescaled
from edgekit.kpis.quantity import Measured, Sampling
from edgekit.stats.noise import noise_floor
from edgekit.stats.openings import MIN_OPENINGS, ratio_interval, typical_ratio
from edgekit.stats.percentiles import QUANTILES

COMPARED = {"dataset_hash": "data", "preprocess_hash": "preprocessing"}


@dataclass(frozen=True)
class Baseline:
    """What a bundle is compared with.

    Args:
        name: of the bundle or run.
        numbers: its own, by metric.
        paired: the candidate's numbers with the baseline in the place of the control, when both were evaluated in
            one go; their ``difference`` is candidate minus baseline.
        same_run: whether both were timed in turn in the same run, so that their times are pairs.
        noise: ratios of an engine to itself on this machine (A/A).
        history: earlier runs' values on this machine by metric.
    """

    name: str
    numbers: Mapping[str, Measured]
    paired: Mapping[str, Measured] = field(default_factory=dict)
    same_run: bool = False
    noise: tuple[Interval | None, ...] = ()
    history: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """How much worse, in the metric's unit, positive is worse; ``reason`` says why no more samples would help."""

    drop: float
    interval: Interval | None
    sampling: Sampling | None
    reason: str = ""


def against(
    name: str,
    baseline: tuple[EvaluateReport, ProfileReport],
    candidate: tuple[EvaluateReport, ProfileReport],
    metrics: tuple[Metric, ...],
    *,
    paired: EvaluateReport | None = None,
    same_run: bool = False,
    history: Mapping[str, Sequence[float]] | None = None,
) -> Baseline:
    """The baseline that ``candidate`` is compared with.

    Args:
        name: of the baseline.
        baseline: its evaluation and profile.
        candidate: those of the bundle to judge.
        metrics: the task's.
        paired: the candidate's evaluation with the baseline as its control, on the same frames in one go.
        same_run: whether both profiles come from one loop that ran both engines in turn.
        history: earlier runs' values by KPI name, e.g. ``latency_p50_ms``, of this engine on this machine.

    Raises:
        InputError: the two were evaluated on different data or with different preprocessing.
    """
    check_same_data(name, baseline[0], candidate[0])
    return Baseline(
        name,
        measured(*baseline, metrics),
        {} if paired is None else measured(paired, candidate[1], metrics),
        same_run,
        (candidate[1].noise, baseline[1].noise),
        history or {},
    )


def check_same_data(name: str, baseline: EvaluateReport, candidate: EvaluateReport) -> None:
    """Raise :class:`InputError` unless both saw the same frames, prepared in the same way."""
    for key in COMPARED:
        check_same(name, key, getattr(baseline, key), getattr(candidate, key))
    if baseline.dataset != candidate.dataset:
        raise InputError(f"baseline {name}: evaluated on {baseline.dataset}, the candidate on {candidate.dataset}")


def check_same(name: str, key: str, baseline_hash: str, candidate_hash: str) -> None:
    """Raise :class:`InputError` unless both hashes of what ``key`` of :data:`COMPARED` names are one."""
    if baseline_hash != candidate_hash:
        raise InputError(
            f"baseline {name}: {key} is {baseline_hash[:12] or 'not in its report'}, the candidate's is "
            f"{candidate_hash[:12] or 'not in its report'}: other {COMPARED[key]}, so the two cannot be compared; "
            "evaluate both alike"
        )


def drop_from_control(number: Measured, confidence: float, where: str) -> Comparison | None:
    """Against the control on the same frames; None: there is no control."""
    if number.control is None:
        return None
    drop = number.control - number.value if number.metric.higher else number.value - number.control
    if number.difference is None:
        return Comparison(drop, None, number.sampling)
    _, low, high = _difference(number, number.difference, confidence, where)
    worse = Interval(_negative(high), _negative(low)) if number.metric.higher else Interval(low, high)
    return Comparison(drop, worse, number.sampling)


def drop_from_baseline(
    number: Measured, other: Measured, paired: Measured | None, baseline: Baseline, confidence: float, where: str
) -> Comparison:
    """Against the baseline's number ``other``: paired when both were measured in one go, else as far as is known."""
    if paired is not None and (found := drop_from_control(paired, confidence, where)) is not None:
        return found
    if number.interval is None or other.interval is None:
        drop = other.value - number.value if number.metric.higher else number.value - other.value
        return Comparison(drop, None, number.sampling or other.sampling)
    if number.timed:
        return _timed(number, other, baseline, confidence, where)
    candidate, reference = (_estimate(n, confidence, where) for n in (number, other))
    if number.difference and other.difference and number.control == other.control:
        # Each was tested paired with the same control: what the frames have in common is gone from both.
        candidate, reference = (
            _difference(n, n.difference, confidence, where) for n in (number, other) if n.difference
        )
    worse, better = (reference, candidate) if number.metric.higher else (candidate, reference)
    return Comparison(worse.value - better.value, _minus(worse, better), number.sampling)


def worse_ratio(found: Comparison, other: Measured, where: str) -> tuple[float, Interval | None]:
    """A drop from ``other`` as a ratio, above 1 is worse.

    Raises:
        InputError: a number of the two is not positive.
    """
    ratio = _as_ratio(found.drop, other) if other.value > 0 else None
    if ratio is None or ratio <= 0:
        raise InputError(f"{where}.baseline_ratio: the numbers must be positive; use baseline_drop")
    if found.interval is None:
        return ratio, None
    return ratio, Interval(*(_as_ratio(end, other) for end in (found.interval.low, found.interval.high)))


class _Estimate(NamedTuple):
    value: float
    low: float | None
    high: float | None


def _timed(number: Measured, other: Measured, baseline: Baseline, confidence: float, where: str) -> Comparison:
    """Latencies are compared as ratios: a machine that slows down slows all of them by a share."""
    worse, better = (other, number) if number.metric.higher else (number, other)
    drop = _as_drop(worse.value / better.value, other)
    sampling, other_sampling = number.sampling, other.sampling
    if sampling is None or other_sampling is None:
        return Comparison(drop, None, sampling)
    if baseline.same_run and (found := _in_turn(number, other, confidence)) is not None:
        ratio, interval = found
        return Comparison(_as_drop(ratio, other), _as_drops(interval, other), sampling)
    floor = noise_floor(baseline.noise, baseline.history.get(number.metric.name, ()), confidence)
    if floor is None and not baseline.same_run:
        reason = "timed in another run, and how much runs differ on this machine is not known; time both in one run"
        return Comparison(drop, Interval(None, None), None, reason)
    top, bottom = (_logarithm(_estimate(n, confidence, where)) for n in (worse, better))
    if baseline.same_run:
        return Comparison(drop, _as_drops(_exponential(_minus(top, bottom)), other), sampling)
    reason = (
        f"timed in another run, and runs of one engine differ by {100 * math.expm1(floor or 0):.2g} % on this "
        "machine; time both in one run"
    )
    return Comparison(drop, _as_drops(_exponential(_minus(top, bottom, floor or 0)), other), None, reason)


def _in_turn(number: Measured, other: Measured, confidence: float) -> tuple[float, Interval] | None:
    """The ratio of two percentiles whose times are pairs; None where these were not kept."""
    sampling, other_sampling, ratio = number.sampling, other.sampling, number.value / other.value
    if (
        sampling is None
        or other_sampling is None
        or sampling.quantile is None
        or not (sampling.times_ms and other_sampling.times_ms)
    ):
        return None
    pairs, typical = (sampling.times_ms, other_sampling.times_ms), sampling.quantile == QUANTILES["p50"]
    if sampling.openings < MIN_OPENINGS:
        return None
    if typical:
        return typical_ratio(*pairs, confidence, sampling.openings)
    return ratio, ratio_interval(*pairs, sampling.quantile, confidence, sampling.openings)


def _estimate(number: Measured, confidence: float, where: str) -> _Estimate:
    found = interval_at(number, confidence, where)
    return _Estimate(number.value, *((None, None) if found is None else (found.low, found.high)))


def _difference(number: Measured, tested: Difference, confidence: float, where: str) -> _Estimate:
    found = rescaled(tested.value, Interval(tested.low, tested.high), number.sampling, confidence, where)
    return _Estimate(tested.value, found.low, found.high)


def _logarithm(estimate: _Estimate) -> _Estimate:
    return _Estimate(*(None if end is None or end <= 0 else math.log(end) for end in estimate))  # type: ignore[arg-type]


def _exponential(interval: Interval) -> Interval:
    return Interval(*(None if end is None else math.exp(end) for end in (interval.low, interval.high)))


def _minus(a: _Estimate, b: _Estimate, extra: float = 0.0) -> Interval:
    """The interval of ``a - b`` from those of both, widened by a third source of noise of half-width ``extra``.

    MOVER: Zou and Donner, "Construction of Confidence Limits About Effect Measures" (Statistics in Medicine 27,
    2008).  For independent estimates; on the same frames, where both rise and fall together, it is too wide.
    """

    def reach(*ends: tuple[float | None, float]) -> float | None:
        parts = [None if end is None else end - value for end, value in ends]
        return None if None in parts else math.hypot(*(part for part in parts if part is not None), extra)

    down, up = reach((a.low, a.value), (b.high, b.value)), reach((a.high, a.value), (b.low, b.value))
    middle = a.value - b.value
    return Interval(None if down is None else middle - down, None if up is None else middle + up)


def _as_ratio(drop: float | None, other: Measured) -> float | None:
    """How many times worse a number is that is ``drop`` worse than ``other``; None: without bound."""
    if drop is None:
        return None
    if not other.metric.higher:
        return (other.value + drop) / other.value
    left = other.value - drop
    return other.value / left if left > 0 else None


def _as_drop(ratio: float, other: Measured) -> float:
    return other.value * (1 - 1 / ratio if other.metric.higher else ratio - 1)


def _as_drops(ratio: Interval, other: Measured) -> Interval:
    return Interval(*(None if end is None else _as_drop(end, other) for end in (ratio.low, ratio.high)))


def _negative(value: float | None) -> float | None:
    return None if value is None else 0.0 - value  # no minus zero
