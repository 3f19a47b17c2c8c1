"""Verdicts on numbers made for the purpose."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.core.errors import SpecError
from edgekit.core.reports import EvaluateReport, GateReport, Latency, Metric, ProfileReport
from edgekit.core.spec import Kpi
from edgekit.kpis import Measured, judge, measured, profile_values

MIOU = Metric("miou", True)
LATENCY = Metric("latency_p99_ms", False, "ms")
NUMBERS = {"miou": Measured(MIOU, 0.70, 0.72), "latency_p99_ms": Measured(LATENCY, 20.0)}


def verdict(name: str, **limits: Any) -> GateReport:
    return judge({name: Kpi(**limits)}, "cpu", NUMBERS, "b")


@pytest.mark.parametrize(
    ("name", "limits", "expected"),
    [
        ("miou", {"min": 0.70}, "pass"),
        ("miou", {"min": 0.7001}, "fail"),
        ("miou", {"max_drop": 0.03}, "pass"),
        ("miou", {"max_drop": 0.02}, "pass"),
        ("miou", {"max_drop": 0.0199}, "fail"),
        ("miou", {"max_drop": 0.01}, "fail"),
        ("latency_p99_ms", {"max": 20.0}, "pass"),
        ("latency_p99_ms", {"max": 19.99}, "fail"),
    ],
)
def test_limits(name: str, limits: dict[str, float], expected: str) -> None:
    assert verdict(name, **limits).verdict == expected


def test_two_limits_of_one_kpi_are_judged_apart() -> None:
    report = verdict("miou", min=0.6, max_drop=0.01)
    assert [(k.limit.kind, k.verdict) for k in report.kpis] == [("min", "pass"), ("max_drop", "fail")]
    assert report.kpis[1].limit.drop == pytest.approx(0.02)
    assert report.verdict == "fail"


def test_a_rise_of_a_lower_is_better_metric_is_a_drop() -> None:
    numbers = {"latency_p99_ms": Measured(LATENCY, 20.0, 18.0)}
    report = judge({"latency_p99_ms": Kpi(max_drop=1.0)}, "cpu", numbers)
    assert report.kpis[0].limit.drop == pytest.approx(2.0)
    assert report.verdict == "fail"


@pytest.mark.parametrize(
    ("kpis", "words"),
    [
        ({"moiu": Kpi(min=0.5)}, "not measured; did you mean 'miou'"),
        ({"miou": Kpi(max=0.5)}, "max contradicts the metric .higher is better.; use min"),
        ({"latency_p99_ms": Kpi(min=1.0)}, "min contradicts the metric .lower is better.; use max"),
        ({"latency_p99_ms": Kpi(max_drop=1.0)}, "max_drop needs the control"),
        ({"miou": Kpi(min=0.5, target="orin")}, "no KPI applies to target 'cpu'"),
        ({}, "no KPI applies"),
    ],
)
def test_refused(kpis: dict[str, Kpi], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        judge(kpis, "cpu", NUMBERS)


def test_nan_of_the_control_is_no_verdict() -> None:
    with pytest.raises(SpecError, match="miou: the measured value is NaN"):
        judge({"miou": Kpi(max_drop=0.5)}, "cpu", {"miou": Measured(MIOU, 0.7, float("nan"))})


def test_nan_is_no_verdict() -> None:
    with pytest.raises(SpecError, match="miou: the measured value is NaN"):
        judge({"miou": Kpi(min=0.5)}, "cpu", {"miou": Measured(MIOU, float("nan"))})


def test_kpis_of_other_targets_are_named_and_not_judged() -> None:
    report = judge({"miou": Kpi(min=0.5), "latency_p99_ms": Kpi(max=1, target="orin")}, "cpu", NUMBERS)
    assert report.not_applicable == ("latency_p99_ms",)
    assert report.verdict == "pass"


@given(value=st.floats(-1e6, 1e6), limit=st.floats(-1e6, 1e6), higher=st.booleans())
def test_passes_exactly_when_the_limit_holds(value: float, limit: float, higher: bool) -> None:
    numbers = {"m": Measured(Metric("m", higher), value)}
    kpi = Kpi(min=limit) if higher else Kpi(max=limit)
    result = judge({"m": kpi}, "cpu", numbers).kpis[0]
    assert (result.verdict == "pass") == (value >= limit if higher else value <= limit)
    assert (result.margin >= 0) == (result.verdict == "pass")


@given(value=st.integers(0, 1000), control=st.integers(0, 1000), limit=st.integers(0, 1000), higher=st.booleans())
def test_drops_are_judged_as_decimals(value: int, control: int, limit: int, higher: bool) -> None:
    """Thousandths as a user writes them: a drop that equals its limit passes, whatever binary fractions make of it."""
    numbers = {"m": Measured(Metric("m", higher), value / 1000, control / 1000)}
    result = judge({"m": Kpi(max_drop=limit / 1000)}, "cpu", numbers).kpis[0]
    drop = control - value if higher else value - control
    assert (result.verdict == "pass") == (drop <= limit)
    assert result.margin == pytest.approx((limit - drop) / 1000, abs=1e-9)


def test_every_number_has_a_name() -> None:
    latency = Latency(10.0, 11.0, 12.0, 10.5, 100)
    stages = dict.fromkeys(("pre", "infer", "post"), latency) | {"total": Latency(20.0, 21.0, 22.0, 20.5, 100)}
    memory = {"peak_rss": 100.0, "imports": 60.0, "engine": 40.0}
    profile = ProfileReport("b", "e", latency, stages, memory, 2.5, None, 1.7)
    expected = {
        "latency_p50_ms": 10.0,
        "latency_p90_ms": 11.0,
        "latency_p99_ms": 12.0,
        "total_p50_ms": 20.0,
        "total_p90_ms": 21.0,
        "total_p99_ms": 22.0,
        "peak_memory_mib": 100.0,
        "engine_memory_mib": 40.0,
        "size_mib": 2.5,
        "speedup_p50": 1.7,
    }
    assert profile_values(profile) == expected
    evaluation = EvaluateReport("b", "e", "d", 3, {"miou": 0.7}, {"miou": 0.72})
    table = measured(evaluation, profile, (MIOU, Metric("iou/never seen", True)))
    assert set(table) == {"miou", *expected}
    assert (table["miou"].value, table["miou"].control) == (0.7, 0.72)
