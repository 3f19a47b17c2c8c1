"""KPIs on reports with intervals: the FP32 control, slices, percentiles, what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from edgekit.core.errors import SpecError
from edgekit.core.reports import (
    Bootstrap,
    ControlProfile,
    Difference,
    EvaluateReport,
    GateReport,
    Interval,
    KpiLimit,
    Latency,
    Metric,
    ProfileReport,
    Settings,
    Slice,
)
from edgekit.core.spec import Kpi
from edgekit.evaluation.bootstrap import METHOD, Spread, intervals
from edgekit.kpis import judge, measured

MIOU = Metric("miou", True)
NAN = float("nan")
FOG = Slice(
    "weather",
    "fog",
    12,
    {"miou": 0.50},
    {"miou": 0.55},
    {"miou": Interval(0.40, 0.60)},
    {"miou": Difference(-0.05, -0.08, -0.02)},
)
SUN = Slice(
    "weather",
    "sun",
    28,
    {"miou": 0.75},
    {"miou": 0.75},
    {"miou": Interval(0.72, 0.78)},
    {"miou": Difference(0.0, -0.01, 0.01)},
)
EVALUATION = EvaluateReport(
    "b",
    "e",
    "d",
    40,
    {"miou": 0.70},
    {"miou": 0.71},
    {"miou": Interval(0.66, 0.74)},
    {"miou": Difference(-0.01, -0.018, -0.004)},
    (FOG, SUN),
    bootstrap=Bootstrap("frame", 40, 2000, 0.95, 0),
)
LATENCY = Latency(
    10.0,
    12.0,
    20.0,
    10.5,
    200,
    None,
    {"p50": Interval(9.9, 10.2), "p90": Interval(11.0, 13.0), "p99": Interval(18.0, None)},
)
PROFILE = ProfileReport(
    "b",
    "e",
    LATENCY,
    dict.fromkeys(("pre", "infer", "post", "total"), LATENCY),
    {"peak_rss": 100.0, "imports": 60.0, "engine": 40.0},
    2.5,
    None,
    1.7,
    Interval(1.6, 1.8),
)


def gate(evaluation: EvaluateReport = EVALUATION, allow: bool = False, **kpis: dict[str, Any]) -> GateReport:
    numbers = measured(evaluation, PROFILE, (MIOU,))
    return judge({name: Kpi(**limits) for name, limits in kpis.items()}, "cpu", numbers, allow_undecided=allow)


@pytest.mark.parametrize(
    ("name", "limits", "expected", "needed"),
    [
        ("miou", {"min": 0.65}, "pass", None),
        ("miou", {"min": 0.68}, "undecided", 160),
        ("miou", {"min": 0.75}, "fail", None),
        ("miou", {"max_drop": 0.02}, "pass", None),
        ("miou", {"max_drop": 0.015}, "undecided", 103),
        ("miou", {"max_drop": 0.003}, "fail", None),
        ("latency_p50_ms", {"max": 10.2}, "pass", None),
        ("latency_p90_ms", {"max": 12.5}, "undecided", 800),
        ("latency_p99_ms", {"max": 33.0}, "undecided", 662),
        ("latency_p99_ms", {"max": 17.0}, "fail", None),
        ("total_p90_ms", {"max": 13.0}, "pass", None),
        ("speedup_p50", {"min": 1.6}, "pass", None),
        ("speedup_p50", {"min": 1.65}, "undecided", 800),
        ("size_mib", {"max": 2.5}, "pass", None),
        ("peak_memory_mib", {"max": 99.0}, "fail", None),
    ],
)
def test_limits_on_intervals(name: str, limits: dict[str, Any], expected: str, needed: int | None) -> None:
    (result,) = gate(**{name: limits}).kpis
    assert (result.verdict, result.needed) == (expected, needed)


def test_the_interval_of_a_drop_is_that_of_the_paired_difference() -> None:
    (result,) = gate(miou={"max_drop": 0.015}).kpis
    assert result.interval == Interval(0.004, 0.018)
    assert result.limit == KpiLimit("max_drop", 0.015, control=0.71, drop=0.01)
    assert result.margin == pytest.approx(0.005)
    assert result.units == "frames"
    assert result.reason == "cannot be decided with 40 frames; about 103 are needed"


def test_undecided_fails_unless_allowed() -> None:
    unsure, bad, good = {"min": 0.68}, {"metric": "miou", "min": 0.8}, {"metric": "miou", "min": 0.6}
    assert gate(miou=unsure).verdict == "undecided"
    assert gate(miou=unsure, good=good).verdict == "undecided"
    assert gate(miou=unsure, bad=bad).verdict == "fail"
    allowed = gate(miou={**unsure, "allow_undecided": True}, good=good)
    assert allowed.verdict == "pass"
    assert [(k.verdict, k.allowed) for k in allowed.kpis] == [("undecided", True), ("pass", False)]
    assert gate(allow=True, miou=unsure, bad=bad).verdict == "fail"
    assert gate(allow=True, miou=unsure).verdict == "pass"


def test_one_slice_and_each_slice() -> None:
    (fog,) = gate(fog={"metric": "miou", "min": 0.45, "where": {"weather": "fog"}}).kpis
    assert (fog.name, fog.where, fog.value, fog.verdict) == ("fog", "weather=fog", 0.50, "undecided")
    assert fog.reason == "cannot be decided with 12 frames; about 48 are needed"
    assert fog.limit.metric == "miou"
    each = gate(miou={"max_drop": 0.015, "where": {"weather": "*"}})
    assert [(k.where, k.verdict) for k in each.kpis] == [("weather=fog", "fail"), ("weather=sun", "pass")]
    assert each.verdict == "fail"


def test_reports_without_intervals_are_exact_and_say_so() -> None:
    old = replace(EVALUATION, intervals={}, differences={})
    results = gate(old, miou={"min": 0.7, "max_drop": 0.01}).kpis
    assert [(k.verdict, k.interval, k.reason) for k in results] == [("pass", None, "no interval measured")] * 2
    (exact,) = gate(size_mib={"max": 3}).kpis
    assert exact.reason == ""


def test_latency_is_judged_at_the_confidence_asked_for() -> None:
    times = tuple(float(t) for t in range(1, 201))
    profile = replace(PROFILE, times_ms={"e": times})
    numbers = measured(EVALUATION, profile, (MIOU,))
    widths = []
    for confidence in (0.9, 0.95, 0.99):
        (result,) = judge({"latency_p50_ms": Kpi(max=1000, confidence=confidence)}, "cpu", numbers).kpis
        assert result.interval is not None
        assert result.interval.low is not None
        assert result.interval.high is not None
        widths.append(result.interval.high - result.interval.low)
    assert widths == sorted(set(widths))


def test_accuracy_is_judged_at_the_confidence_asked_for() -> None:
    even = {"miou": Difference(-0.01, -0.017, -0.003)}
    student = replace(EVALUATION, differences=even, bootstrap=Bootstrap("frame", 40, 2000, 0.95, 0, METHOD))
    limits = {"min": 0.5, "max_drop": 0.5, "confidence": 0.99}
    value, drop = gate(student, miou=limits).kpis
    # Student's t of 39 degrees of freedom: 2.7079 at 99 %, 2.0227 at 95 %.
    for result, ends, middle in ((value, (0.66, 0.74), 0.70), (drop, (0.003, 0.017), 0.01)):
        assert result.interval is not None
        wider = [middle + (end - middle) * 2.707913 / 2.022691 for end in ends]
        assert [result.interval.low, result.interval.high] == pytest.approx(wider, rel=1e-5)


def test_a_share_is_judged_at_the_confidence_asked_for() -> None:
    """From 95 % to 99 % and back, the ends are those that the evaluation itself gives."""
    replicates = np.random.default_rng(0).normal(0.9, 0.02, 500)
    spread = Spread({"miou": 0.9}, {"miou": np.clip(replicates, 0, 1)})
    made = {confidence: intervals(spread, 40, confidence)["miou"] for confidence in (0.95, 0.99)}
    for there, here in ((0.95, 0.99), (0.99, 0.95)):
        boot = Bootstrap("frame", 40, 500, there, 0, METHOD)
        report = EvaluateReport("b", "e", "d", 40, {"miou": 0.9}, None, {"miou": made[there]}, bootstrap=boot)
        (result,) = gate(report, miou={"min": 0.5, "confidence": here}).kpis
        assert result.interval is not None
        assert result.interval.low == pytest.approx(made[here].low)
        assert result.interval.high == pytest.approx(made[here].high)


def test_an_exact_bound_is_not_stretched() -> None:
    boot = Bootstrap("frame", 40, 500, 0.95, 0, METHOD)
    whole = EvaluateReport("b", "e", "d", 40, {"miou": 1.0}, None, {"miou": Interval(0.91, 1.0)}, bootstrap=boot)
    with pytest.raises(SpecError, match="but the interval was measured at 0"):
        gate(whole, miou={"min": 0.5, "confidence": 0.99})
    assert gate(whole, miou={"min": 0.91, "confidence": 0.9}).verdict == "pass"


def test_speedup_is_judged_at_the_confidence_asked_for() -> None:
    times = {"e": tuple(10 + i % 7 / 7 for i in range(200)), "c": tuple(20 + i % 5 / 5 for i in range(200))}
    profile = replace(
        PROFILE, times_ms=times, control=ControlProfile("c", PROFILE.latency_ms), settings=Settings(loads=10)
    )
    (result,) = judge(
        {"speedup_p50": Kpi(min=1.5, confidence=0.99)}, "cpu", measured(EVALUATION, profile, (MIOU,))
    ).kpis
    assert result.interval not in (None, PROFILE.speedup_interval)
    assert result.verdict == "pass"


@pytest.mark.parametrize(
    ("kpis", "words"),
    [
        ({"mious": {"min": 0.5}}, "kpis.mious: mious was not measured; did you mean 'miou'"),
        ({"quality": {"metric": "moiu", "min": 0.5}}, "kpis.quality: moiu was not measured; did you mean 'miou'"),
        ({"latency_p999_ms": {"max": 9}}, "not measured: 200 queries were timed; it needs 6636"),
        ({"miou": {"min": 0.5, "where": {"wether": "fog"}}}, "no column 'wether'; did you mean 'weather'"),
        (
            {"miou": {"min": 0.5, "where": {"weather": "fgo"}}},
            "not measured where weather is 'fgo'; did you mean 'fog'",
        ),
        ({"size_mib": {"max": 5, "where": {"weather": "fog"}}}, "size_mib was not measured by slice"),
        ({"miou": {"max": 0.5, "where": {"weather": "fog"}}}, "max contradicts the metric"),
        ({"miou": {"baseline_drop": 0.5}}, "baseline_drop needs a baseline; name one with: edgekit gate --against"),
        ({"size_mib": {"baseline_ratio": 1.1}}, "baseline_ratio needs a baseline"),
        ({"miou": {"min": 0.5, "confidence": 0.99}}, "0.99 is asked for, but the interval was measured at 0.95"),
        ({"miou": {"max_drop": 0.5, "confidence": 0.99}}, "0.99 is asked for, but the interval was measured at 0.95"),
    ],
)
def test_refused(kpis: dict[str, dict[str, Any]], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        gate(**kpis)


@pytest.mark.parametrize(
    "broken",
    [
        {"metrics": {"miou": NAN}},
        {"control": {"miou": NAN}},
        {"intervals": {"miou": Interval(0.6, NAN)}},
        {"differences": {"miou": Difference(NAN, 0.0, 0.0)}},
        {"differences": {"miou": Difference(-0.01, NAN, 0.0)}},
    ],
)
def test_nan_anywhere_is_no_verdict(broken: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="miou: the measured value is NaN"):
        gate(replace(EVALUATION, **broken), miou={"min": 0.5, "max_drop": 0.02})


def test_nan_in_a_slice_is_no_verdict() -> None:
    broken = replace(EVALUATION, slices=(SUN, replace(FOG, metrics={"miou": NAN})))
    with pytest.raises(SpecError, match=r"miou \(weather=fog\): the measured value is NaN"):
        gate(broken, miou={"min": 0.5, "where": {"weather": "*"}})


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"metric": "miou"},
        {"min": 0.5, "confidence": 0.5},
        {"min": 0.5, "confidence": 1},
        {"min": 0.5, "confidence": NAN},
        {"baseline_ratio": 0.99},
        {"baseline_drop": -0.1},
        {"min": NAN},
        {"min": 0.5, "where": {}},
        {"min": 0.5, "where": {"weather": "fog", "time": "night"}},
    ],
)
def test_kpis_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Kpi.model_validate(wrong)
