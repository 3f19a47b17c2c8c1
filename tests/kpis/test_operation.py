"""KPIs on late queries, power, temperature and growth of memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edgekit.core.errors import SpecError
from edgekit.core.reports import (
    GateReport,
    LeakReport,
    PowerReport,
    ProfileReport,
    SensorReport,
    TemperatureReport,
    Traffic,
)
from edgekit.core.spec import Kpi
from edgekit.history.values import same_machine, values
from edgekit.kpis import against, judge, measured
from edgekit.kpis.checks import require_measured
from edgekit.kpis.operation import HOW, OPERATION_METRICS, operation
from edgekit.kpis.words import value
from tests.support.nights import METRICS, evaluation, profile

TRAFFIC = Traffic(700, rate_hz=30.0, late=0, late_share=0.0)
POWER = PowerReport(
    readers={
        "nvml": SensorReport(samples=40, scope="gpu"),
        "rapl": SensorReport(samples=30, scope="cpu"),
        "kernel": SensorReport(samples=5),
    },
    scope="gpu+cpu",
    mean_w=12.5,
    peak_w=30.0,
    energy_j=290.0,
    energy_j_per_query=0.41,
    temperature_c=TemperatureReport({"kernel/cpu": 40.0}, {"kernel/cpu": 71.0, "nvml/gpu0": 66.5}),
    throttled=False,
)
LEAK = LeakReport(1.5, 0.5, 2.5, 0.95, 64.0, "no leak", "memory grows", 2000)


def at_work(**changes: Any) -> ProfileReport:
    """A camera's traffic, with every sensor."""
    known = {"scenario": "constant-stream", "traffic": TRAFFIC, "power": POWER, "leak": LEAK}
    return replace(profile(), **{**known, **changes})


def gate(kpis: dict[str, Kpi], *profiles: ProfileReport) -> GateReport:
    first, *more = profiles
    return judge(kpis, "cpu", measured(evaluation(), first, METRICS, tuple(more)))


def test_every_number_has_its_kpi() -> None:
    found = operation(at_work())
    assert {name: number.value for name, number in found.items()} == {
        "late_share": 0.0,
        "power_mean_w": 12.5,
        "power_peak_w": 30.0,
        "energy_per_query_j": 0.41,
        "throttled": 0.0,
        "temperature_max_c": 71.0,
        "leak_kib_per_1000": 1.5,
    }
    assert set(found) == {metric.name for metric in OPERATION_METRICS}
    assert not any(number.metric.higher for number in found.values())
    kpis = {name: Kpi(max=100) for name in found}
    assert gate(kpis, at_work()).verdict == "pass"
    assert gate({name: Kpi(max=100, confidence=0.9) for name in found}, at_work()).verdict == "pass"


@pytest.mark.parametrize(
    ("name", "limit", "changes", "verdict"),
    [
        ("power_mean_w", 12.5, {}, "pass"),
        ("power_mean_w", 12.4, {}, "fail"),
        ("power_peak_w", 29.0, {}, "fail"),
        ("energy_per_query_j", 0.4, {}, "fail"),
        ("temperature_max_c", 70.0, {}, "fail"),
        ("throttled", 0.0, {}, "pass"),
        ("throttled", 0.0, {"power": replace(POWER, throttled=True)}, "fail"),
        ("leak_kib_per_1000", 3.0, {}, "pass"),
        ("leak_kib_per_1000", 2.0, {}, "undecided"),
        ("leak_kib_per_1000", 0.4, {}, "fail"),
        ("late_share", 0.01, {}, "pass"),
        ("late_share", 0.001, {}, "undecided"),
        ("late_share", 0.001, {"traffic": replace(TRAFFIC, late=9)}, "fail"),
        ("late_share", 0.001, {"traffic": replace(TRAFFIC, late=9, late_correlation=0.8)}, "undecided"),
        ("late_share", 0.5, {"traffic": replace(TRAFFIC, late=699)}, "fail"),
    ],
)
def test_verdicts(name: str, limit: float, changes: dict[str, Any], verdict: str) -> None:
    (result,) = gate({name: Kpi(max=limit)}, at_work(**changes)).kpis
    assert result.verdict == verdict


def test_the_queries_that_would_decide_are_told() -> None:
    (result,) = gate({"late_share": Kpi(max=0.001)}, at_work()).kpis
    assert result.needed == pytest.approx(3688, abs=2)
    assert result.reason == f"cannot be decided with 700 queries sent; about {result.needed} are needed"
    (strict,) = gate({"late_share": Kpi(max=0.001, confidence=0.99)}, at_work()).kpis
    assert strict.needed is not None
    assert strict.needed > result.needed
    (never,) = gate({"late_share": Kpi(max=0.0)}, at_work()).kpis
    assert (never.verdict, never.needed) == ("undecided", None)


def test_power_says_what_it_is_of_and_that_no_interval_was_measured() -> None:
    (result,) = gate({"power_mean_w": Kpi(max=15)}, at_work()).kpis
    assert result.limit.under == "constant-stream at 30 Hz, gpu+cpu"
    assert value(result) == "12.5 W (constant-stream at 30 Hz, gpu+cpu)"
    assert result.reason == "no interval measured"


@pytest.mark.parametrize("name", [metric.name for metric in OPERATION_METRICS])
def test_min_contradicts_all_of_them(name: str) -> None:
    with pytest.raises(SpecError, match=r"min contradicts the metric \(lower is better\); use max"):
        gate({name: Kpi(min=0.0)}, at_work())


@pytest.mark.parametrize("name", [metric.name for metric in OPERATION_METRICS])
def test_what_was_not_measured_is_refused_with_the_command(name: str) -> None:
    with pytest.raises(SpecError, match=rf"kpis\.{name}: {name} was not measured; measure it with: edgekit profile"):
        gate({name: Kpi(max=1.0)}, replace(profile(), power=None))
    assert "edgekit gate BUNDLE --profile" in HOW[name]


def test_power_of_engines_in_turn_is_nobodys() -> None:
    found = operation(at_work(scenario="single-stream", traffic=None))
    assert set(found) == {"throttled", "temperature_max_c", "leak_kib_per_1000"}


def test_a_mean_of_a_moment_is_none() -> None:
    few = replace(POWER, readers={**POWER.readers, "rapl": SensorReport(9, "cpu")})
    assert not {"power_mean_w", "power_peak_w", "energy_per_query_j"} & set(operation(at_work(power=few)))


def test_unknown_is_not_zero() -> None:
    silent = replace(POWER, throttled=None, mean_w=None, temperature_c=TemperatureReport())
    assert not {"throttled", "power_mean_w", "temperature_max_c"} & set(operation(at_work(power=silent)))


def test_a_further_profile_adds_what_the_first_has_not() -> None:
    kpis = {"latency_p50_ms": Kpi(max=100), "speedup_p50": Kpi(min=1.0), "power_mean_w": Kpi(max=13)}
    alone = replace(at_work(), speedup_p50=None, latency_ms=replace(profile().latency_ms, p50=99.0))
    found = {k.name: k.value for k in gate(kpis, replace(profile(), power=None), alone).kpis}
    assert found == {"latency_p50_ms": 10.0, "speedup_p50": 2.0, "power_mean_w": 12.5}
    assert {k.name: k.value for k in gate({"latency_p50_ms": Kpi(max=100)}, alone, profile()).kpis} == {
        "latency_p50_ms": 99.0
    }


def test_a_baseline_of_other_sensors_or_traffic_is_refused() -> None:
    kpis, candidate = {"power_mean_w": Kpi(baseline_ratio=1.1)}, at_work()
    for earlier, passes in (
        (at_work(power=replace(POWER, mean_w=12.0)), True),
        (at_work(power=replace(POWER, scope="gpu", mean_w=12.0)), False),
        (at_work(traffic=replace(TRAFFIC, rate_hz=60.0)), False),
    ):
        base = against("v1", (evaluation(), earlier), (evaluation(), candidate), METRICS)
        numbers = measured(evaluation(), candidate, METRICS)
        if passes:
            assert judge(kpis, "cpu", numbers, baseline=base).verdict == "pass"
            continue
        with pytest.raises(SpecError, match=r"measured under constant-stream at 30 Hz, gpu\+cpu, in the baseline v1"):
            judge(kpis, "cpu", numbers, baseline=base)


def test_a_baseline_of_a_share_is_no_share_itself() -> None:
    candidate, earlier = (at_work(traffic=replace(TRAFFIC, late=late)) for late in (20, 18))
    base = against("v1", (evaluation(), earlier), (evaluation(), candidate), METRICS)
    report = judge(
        {"late_share": Kpi(baseline_drop=0.05)}, "cpu", measured(evaluation(), candidate, METRICS), baseline=base
    )
    assert report.verdict == "pass"
    (tight,) = judge(
        {"late_share": Kpi(baseline_drop=0.01)}, "cpu", measured(evaluation(), candidate, METRICS), baseline=base
    ).kpis
    assert (tight.verdict, tight.limit.drop) == ("undecided", pytest.approx(2 / 700))


def test_what_a_fresh_measurement_cannot_find_is_refused_before_it() -> None:
    kpis = {"late_share": Kpi(max=0.1), "throttled": Kpi(max=0), "speedup_p50": Kpi(min=1)}
    with pytest.raises(SpecError, match=r"kpis\.late_share: late_share was not measured; measure it with"):
        require_measured(kpis, "cpu", (), measuring=True, sensors=True)
    require_measured(kpis, "cpu", (at_work(),), measuring=True)
    without = {name: kpi for name, kpi in kpis.items() if name != "late_share"}
    require_measured(without, "cpu", (), measuring=True, sensors=True)
    with pytest.raises(SpecError, match=r"kpis\.throttled"):
        require_measured(without, "cpu", (), measuring=True)
    require_measured({"late_share": Kpi(max=0.1, target="orin")}, "cpu", ())


def test_a_history_keeps_them_under_their_names() -> None:
    kept = values(evaluation(), at_work(), {metric.name: metric for metric in METRICS})
    assert kept["late_share"].higher is False
    assert (kept["power_mean_w"].value, kept["power_mean_w"].unit) == (12.5, "W")
    assert (kept["leak_kib_per_1000"].low, kept["leak_kib_per_1000"].high) == (0.5, 2.5)
    assert same_machine(at_work()) != same_machine(at_work(traffic=replace(TRAFFIC, rate_hz=60.0)))
    assert same_machine(at_work()) == same_machine(at_work(traffic=replace(TRAFFIC, late=3)))
