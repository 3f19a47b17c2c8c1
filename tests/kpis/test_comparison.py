"""Limits against a baseline: paired, unpaired, in turn, in another run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.core.errors import InputError, SpecError
from edgekit.core.reports import (
    Bootstrap,
    ControlProfile,
    Difference,
    EvaluateReport,
    Interval,
    KpiLimit,
    KpiResult,
    Metric,
    ProfileReport,
    Settings,
    Slice,
)
from edgekit.core.spec import Kpi
from edgekit.kpis import Baseline, Measured, Sampling, against, judge, measured
from edgekit.kpis.comparison import drop_from_baseline, worse_ratio
from edgekit.profiling import summarise
from edgekit.stats.openings import ratio_interval, typical_ratio

MIOU = Metric("miou", True)
MISSES = Metric("misses", False)
METRICS = (MIOU, MISSES)
REPORTS = tuple[EvaluateReport, ProfileReport]


def evaluation(miou: float, half: float = 0.01, control: float = 0.72, to_control: float = 0.002) -> EvaluateReport:
    """Intervals of half-width ``half`` around mIoU, ``to_control`` around the difference."""
    gap = miou - control
    fog = Slice("weather", "fog", 30, {"miou": miou - 0.1}, None, {"miou": Interval(miou - 0.2, miou)})
    return EvaluateReport(
        "b",
        "e",
        "d",
        100,
        {"miou": miou, "misses": 10 * (1 - miou)},
        {"miou": control},
        {"miou": Interval(miou - half, miou + half), "misses": Interval(10 * (1 - miou) - 1, 10 * (1 - miou) + 1)},
        {"miou": Difference(gap, gap - to_control, gap + to_control)},
        (fog,),
        bootstrap=Bootstrap("frame", 100, 2000, 0.95, 0),
        dataset_hash="aa" * 32,
        preprocess_hash="bb" * 32,
    )


def times(seed: int, factor: float = 1.0, openings: int = 20, between: float = 0.02) -> tuple[float, ...]:
    """400 queries of ``openings`` openings, milliseconds."""
    rng = np.random.default_rng(seed)
    speed = rng.normal(0, between, (openings, 1)) if openings > 1 else np.zeros((1, 1))
    return tuple((10 * factor * np.exp(speed + rng.normal(0, 0.02, (openings, 400 // openings)))).ravel().tolist())


def profile(times_ms: tuple[float, ...], openings: int = 20, noise: Interval | None = None) -> ProfileReport:
    latency = summarise(np.array(times_ms))
    stages = dict.fromkeys(("pre", "infer", "post", "total"), latency)
    memory = {"peak_rss": 100.0, "imports": 60.0, "engine": 40.0}
    return ProfileReport(
        "b",
        "e",
        latency,
        stages,
        memory,
        2.0,
        None,
        None,
        noise=noise,
        times_ms={"e": times_ms},
        settings=Settings(loads=openings),
    )


def one(name: str, limits: dict[str, Any], candidate: REPORTS, base: REPORTS, **facts: Any) -> KpiResult:
    found = against("old", base, candidate, METRICS, **facts)
    report = judge({name: Kpi(**limits)}, "cpu", measured(*candidate, METRICS), "new", found)
    assert report.baseline == "old"
    (result,) = report.kpis
    return result


SAME = profile(times(0))


@pytest.mark.parametrize(
    ("limit", "expected"), [(0.005, "fail"), (0.010, "undecided"), (0.012, "undecided"), (0.013, "pass")]
)
def test_two_evaluations_meet_at_the_control_they_share(limit: float, expected: str) -> None:
    # 0.71 and 0.70 to 0.72, each to 0.002: the drop is 0.01 to 0.002 * sqrt(2) = 0.0028.
    base = (evaluation(0.71), SAME)
    result = one("miou", {"baseline_drop": limit}, (evaluation(0.70), SAME), base)
    assert result.verdict == expected
    assert result.interval is not None
    assert result.interval.low == pytest.approx(0.01 - 0.002 * 2**0.5)
    assert result.interval.high == pytest.approx(0.01 + 0.002 * 2**0.5)
    assert result.limit == KpiLimit("baseline_drop", limit, baseline=0.71, drop=0.01)


def test_without_a_shared_control_the_intervals_of_the_values_are_combined() -> None:
    base = (evaluation(0.71, control=0.73), SAME)
    result = one("miou", {"baseline_drop": 0.02}, (evaluation(0.70), SAME), base)
    assert result.interval is not None
    assert result.interval.high == pytest.approx(0.01 + 0.01 * 2**0.5)
    assert (result.verdict, result.units) == ("undecided", "frames")


def test_the_paired_difference_is_used_when_both_were_evaluated_in_one_go() -> None:
    candidate = (evaluation(0.70), SAME)
    paired = replace(candidate[0], control={"miou": 0.71}, differences={"miou": Difference(-0.01, -0.0105, -0.0095)})
    result = one("miou", {"baseline_drop": 0.011}, candidate, (evaluation(0.71), SAME), paired=paired)
    assert (result.verdict, result.interval) == ("pass", Interval(0.0095, 0.0105))


def test_a_metric_where_lower_is_better_drops_by_rising() -> None:
    result = one("misses", {"baseline_drop": 0.5}, (evaluation(0.60), SAME), (evaluation(0.80), SAME))
    assert result.limit.drop == pytest.approx(2.0)
    assert result.verdict == "fail"


def test_slices_are_compared_with_the_same_slice() -> None:
    limits = {"baseline_drop": 0.01, "where": {"weather": "*"}}
    result = one("miou", limits, (evaluation(0.70), SAME), (evaluation(0.71), SAME))
    assert (result.where, result.verdict) == ("weather=fog", "undecided")
    assert result.limit.baseline == pytest.approx(0.61)


def test_a_ratio_of_sizes_is_exact() -> None:
    larger = replace(SAME, size_mib=2.1)
    candidate, base = (evaluation(0.7), larger), (evaluation(0.7), SAME)
    assert one("size_mib", {"baseline_ratio": 1.06}, candidate, base).verdict == "pass"
    result = one("size_mib", {"baseline_ratio": 1.04}, candidate, base)
    assert (result.verdict, result.interval, result.reason) == ("fail", None, "")
    assert result.limit.ratio == pytest.approx(1.05)


@pytest.mark.parametrize(("factor", "expected"), [(1.0, "pass"), (1.05, "fail"), (0.9, "pass")])
def test_engines_in_turn_are_compared_by_openings(factor: float, expected: str) -> None:
    candidate = (evaluation(0.7), profile(times(1, factor, between=0.005)))
    base = (evaluation(0.7), profile(times(2, between=0.005)))
    result = one("latency_p50_ms", {"baseline_ratio": 1.025}, candidate, base, same_run=True)
    assert result.verdict == expected
    assert result.interval is not None
    assert result.interval.low is not None
    assert result.interval.high is not None
    assert result.interval.low < factor < result.interval.high


@pytest.mark.parametrize("name", ["latency_p50_ms", "latency_p90_ms", "total_p50_ms"])
def test_engines_opened_once_are_compared_by_queries(name: str) -> None:
    candidate = (evaluation(0.7), profile(times(1, 1.1, 1), 1))
    base = (evaluation(0.7), profile(times(2, 1.0, 1), 1))
    result = one(name, {"baseline_ratio": 1.05}, candidate, base, same_run=True)
    assert (result.verdict, result.units) == ("fail", "queries")
    assert one(name, {"baseline_ratio": 1.2}, candidate, base, same_run=True).verdict == "pass"


def test_another_run_is_undecided_while_the_machines_noise_is_unknown() -> None:
    candidate, base = (evaluation(0.7), profile(times(1))), (evaluation(0.7), profile(times(2)))
    result = one("latency_p50_ms", {"baseline_ratio": 1.5}, candidate, base)
    assert (result.verdict, result.needed) == ("undecided", None)
    assert "how much runs differ on this machine is not known; time both in one run" in result.reason


def test_another_run_is_judged_with_the_machines_noise() -> None:
    candidate, base = (evaluation(0.7), profile(times(1))), (evaluation(0.7), profile(times(2)))
    quiet = {"latency_p50_ms": (10.0, 10.01, 10.0, 10.01, 10.0, 10.01)}
    loud = {"latency_p50_ms": (10.0, 11.0, 9.0, 10.0, 11.0, 9.0)}
    assert one("latency_p50_ms", {"baseline_ratio": 1.05}, candidate, base, history=quiet).verdict == "pass"
    result = one("latency_p50_ms", {"baseline_ratio": 1.05}, candidate, base, history=loud)
    assert (result.verdict, result.needed) == ("undecided", None)
    assert "runs of one engine differ by" in result.reason


def test_an_a_a_ratio_is_a_floor_too() -> None:
    noisy = Interval(0.9, 1.1)
    candidate = (evaluation(0.7), profile(times(1), noise=noisy))
    result = one("latency_p50_ms", {"baseline_drop": 0.5}, candidate, (evaluation(0.7), profile(times(2))))
    assert result.verdict == "undecided"
    assert "differ by 11 %" in result.reason


def test_old_profiles_are_exact_and_say_so() -> None:
    old = replace(SAME, latency_ms=replace(SAME.latency_ms, intervals={}), times_ms={})
    result = one("latency_p50_ms", {"baseline_ratio": 1.05}, (evaluation(0.7), SAME), (evaluation(0.7), old))
    assert (result.verdict, result.interval, result.reason) == ("pass", None, "no interval measured")


def test_a_drop_that_may_leave_nothing_has_a_ratio_without_bound() -> None:
    base = (evaluation(0.71, half=0.9, control=0.73), SAME)  # another control: the intervals of the values count
    result = one("miou", {"baseline_ratio": 1.5}, (evaluation(0.70, half=0.9), SAME), base)
    assert result.limit.ratio == pytest.approx(0.71 / 0.70)
    assert result.interval is not None
    assert result.interval.high is None
    assert result.verdict == "undecided"


@pytest.mark.parametrize(("limit", "expected"), [(0.4, "fail"), (0.5, "undecided"), (0.6, "pass")])
def test_a_speedup_drops_by_becoming_smaller(limit: float, expected: str) -> None:
    def measured_as(speedup: float) -> REPORTS:
        spread = Interval(speedup * 0.99, speedup * 1.01)
        control = ControlProfile("c", SAME.latency_ms)
        return evaluation(0.7), replace(SAME, speedup_p50=speedup, speedup_interval=spread, control=control)

    result = one("speedup_p50", {"baseline_drop": limit}, measured_as(2.0), measured_as(2.5), same_run=True)
    assert result.verdict == expected
    assert result.limit.drop == pytest.approx(0.5)
    assert result.interval is not None
    assert result.interval.low == pytest.approx(0.5 - 2 * 0.01 * 2**0.5, abs=2e-3)
    assert result.interval.high == pytest.approx(0.5 + 2 * 0.01 * 2**0.5, abs=2e-3)


@settings(max_examples=50, deadline=None)
@given(
    current=st.floats(0.1, 10),
    baseline=st.floats(0.1, 10),
    higher=st.booleans(),
    limit=st.floats(1, 5),
    half=st.floats(0, 0.05),
)
def test_a_ratio_and_its_drop_agree(current: float, baseline: float, higher: bool, limit: float, half: float) -> None:
    """A ratio limit is the drop limit that it amounts to."""
    metric = Metric("m", higher)

    def report(value: float) -> EvaluateReport:
        interval = Interval(value - half, value + half)
        boot = Bootstrap("frame", 100, 2000, 0.95, 0)
        return EvaluateReport("b", "e", "d", 100, {"m": value}, None, {"m": interval}, bootstrap=boot)

    candidate, base = (report(current), SAME), (report(baseline), SAME)
    amount = baseline * (1 - 1 / limit) if higher else baseline * (limit - 1)
    found = against("old", base, candidate, (metric,))
    numbers = measured(*candidate, (metric,))
    ratio, drop = (
        judge({"m": Kpi(**limits)}, "cpu", numbers, "", found).kpis[0]
        for limits in ({"baseline_ratio": limit}, {"baseline_drop": amount})
    )
    if abs(drop.margin) > 1e-9:
        assert (ratio.margin > 0) == (drop.margin > 0)
    ends = [] if drop.interval is None else [drop.interval.low, drop.interval.high]
    if all(end is not None and abs(end - amount) > 1e-9 for end in ends):
        assert ratio.verdict == drop.verdict


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dataset_hash": "cc" * 32}, "baseline old: dataset_hash is c{12}, the candidate's is a{12}: other data"),
        ({"preprocess_hash": "cc" * 32}, "preprocess_hash is c{12}, the candidate's is b{12}: other preprocessing"),
        ({"preprocess_hash": ""}, "preprocess_hash is not in its report"),
        ({"dataset": "other"}, "evaluated on other, the candidate on d"),
    ],
)
def test_other_data_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        against("old", (replace(evaluation(0.7), **change), SAME), (evaluation(0.7), SAME), METRICS)


def test_what_the_baseline_lacks_is_refused() -> None:
    candidate, base = (evaluation(0.7), SAME), (evaluation(0.7), SAME)
    numbers = measured(*candidate, METRICS)
    empty = Baseline("old", {k: v for k, v in measured(*base, METRICS).items() if k != "miou"})
    with pytest.raises(SpecError, match="in the baseline old miou was not measured"):
        judge({"miou": Kpi(baseline_drop=0.1)}, "cpu", numbers, "", empty)
    nan = (replace(evaluation(0.7), metrics={"miou": float("nan")}), SAME)
    with pytest.raises(SpecError, match="miou: the measured value is NaN"):
        judge({"miou": Kpi(baseline_drop=0.1)}, "cpu", numbers, "", against("old", nan, candidate, METRICS))
    zero = (replace(evaluation(0.7), metrics={"miou": 0.0}), SAME)
    with pytest.raises(InputError, match=r"kpis.miou.baseline_ratio: the numbers must be positive; use baseline_drop"):
        judge({"miou": Kpi(baseline_ratio=1.1)}, "cpu", numbers, "", against("old", zero, candidate, METRICS))


def number(value: float, metric: Metric = MIOU, **facts: Any) -> Measured:
    return Measured(metric, value, **facts)


def test_numbers_without_intervals_differ_exactly() -> None:
    base = Baseline("old", {})
    assert drop_from_baseline(number(0.70), number(0.75), None, base, 0.95, "miou").drop == pytest.approx(0.05)
    fewer = drop_from_baseline(number(7, MISSES), number(5, MISSES), None, base, 0.95, "misses")
    assert (fewer.drop, fewer.interval) == (2, None)


@pytest.mark.parametrize(("value", "baseline"), [(0.5, -0.5), (-0.5, -1.0), (0.5, 0.0), (-0.5, 0.5), (-1.5, 0.5)])
def test_a_ratio_is_of_positive_numbers(value: float, baseline: float) -> None:
    lower = drop_from_baseline(number(value, MISSES), number(baseline, MISSES), None, Baseline("o", {}), 0.95, "misses")
    with pytest.raises(InputError, match=r"misses\.baseline_ratio: the numbers must be positive"):
        worse_ratio(lower, number(baseline, MISSES), "misses")


@pytest.mark.parametrize("quantile", [0.5, 0.99])
def test_pairs_of_one_run_are_compared_as_pairs(quantile: float) -> None:
    mine, other = times(1, 1.2), times(2)
    milliseconds = Metric(f"latency_p{round(100 * quantile)}_ms", False, "ms")

    def timed(found: tuple[float, ...]) -> Measured:
        sampling = Sampling(len(found), "queries", 0.95, quantile, found, 20)
        value = float(np.quantile(found, quantile))
        return number(value, milliseconds, interval=Interval(value - 1, value + 1), sampling=sampling)

    found = drop_from_baseline(timed(mine), timed(other), None, Baseline("o", {}, same_run=True), 0.95, "latency")
    if quantile == 0.5:
        ratio, interval = typical_ratio(mine, other, 0.95, 20)
    else:
        ratio = float(np.quantile(mine, quantile)) / float(np.quantile(other, quantile))
        interval = ratio_interval(mine, other, quantile, 0.95, 20)
    base = float(np.quantile(other, quantile))
    assert found.drop == pytest.approx(base * (ratio - 1))
    assert found.interval is not None
    assert interval.low is not None
    assert interval.high is not None
    assert found.interval.low == pytest.approx(base * (interval.low - 1))
    assert found.interval.high == pytest.approx(base * (interval.high - 1))
