"""Rows of the page's tables, and what the page says of its numbers."""

from __future__ import annotations

from dataclasses import astuple, replace

import pytest

from edgekit.core.reports import (
    ClocksReport,
    ClockState,
    ControlProfile,
    Difference,
    GateReport,
    Interval,
    KpiLimit,
    KpiResult,
    Latency,
    LeakReport,
    MachineReport,
    PowerReport,
)
from edgekit.reporting import tables
from edgekit.reporting.provenance import groups, missing, resources, warnings
from edgekit.reporting.tables import effect, waterfall
from tests.support.report_content import compress, content, evaluation, gate, profile

SHORT = content(200)


def test_effect_needs_a_direction_and_an_interval_without_zero() -> None:
    clear = Difference(-0.1, -0.3, -0.05)
    assert [effect(-0.1, clear, higher) for higher in (True, False, None)] == ["worse", "better", ""]
    assert [effect(-0.1, found, True) for found in (None, Difference(-0.1, None, None))] == ["", ""]
    assert effect(-0.1, Difference(-0.1, -0.3, 0.1), True) == "unclear"
    assert effect(-0.1, Difference(-0.1, -0.3, -0.05, 0.01, 0.2), True) == "unclear"  # one of many tests
    assert effect(-0.1, Difference(-0.1, -0.3, -0.05, 0.01, 0.04), True) == "worse"
    assert effect(0.0, Difference(0.0, 0.0, 0.01), True) == "unclear"


def test_comparison_has_the_headline_first_and_classes_apart() -> None:
    rows = tables.compared(SHORT)
    assert rows[0].name == "miou"
    assert (rows[0].before, rows[0].after, rows[0].change, rows[0].effect) == ("0.7199", "0.7078", "−0.0121", "worse")
    assert [row.name for row in rows if row.detail] == [n for n in evaluation(10).metrics if n.startswith("iou/")]
    by_name = {row.name: row for row in rows}
    assert by_name["engine size (MiB)"].change == "3.86× less"
    assert by_name["latency p50 (ms)"].change_interval == "2.870× to 2.910×"
    assert by_name["flicker"].effect == "unclear"


@pytest.mark.parametrize(
    ("p50", "interval", "row"),
    [
        (20.0, Interval(1.9, 2.1), ("2.00× less", "1.900× to 2.100×", "better")),
        (20.0, Interval(0.9, 2.1), ("2.00× less", "0.9000× to 2.100×", "unclear")),
        (5.0, Interval(0.4, 0.8), ("2.00× more", "1.250× to 2.500×", "worse")),
        (20.0, None, ("2.00× less", "", "")),
    ],
)
def test_cost_has_an_effect_only_with_an_interval(
    p50: float, interval: Interval | None, row: tuple[str, str, str]
) -> None:
    before = profile(100)
    latency = replace(before.latency_ms, p50=10.0)
    control = ControlProfile("c", Latency(p50, 30.0, 31.0, p50, 100), 47.9, {"peak_rss": 655.0})
    after = replace(before, latency_ms=latency, control=control, speedup_interval=interval)
    first, *others = tables.compared(replace(SHORT, evaluation=None, gate=None, profile=after))
    assert (first.change, first.change_interval, first.effect) == row
    assert {other.effect for other in others} == {""}


def test_no_control_no_change() -> None:
    alone = replace(
        SHORT,
        evaluation=replace(evaluation(10), control=None, differences={}),
        profile=replace(profile(100), control=None),
    )
    assert {(row.before, row.change, row.effect) for row in tables.compared(alone)} == {("–", "", "")}


def test_too_few_queries_are_said() -> None:
    rows = tables.latencies(profile(200))
    assert rows[-1] == ("p99.9", "–", "", "too few queries")
    assert [row[0] for row in rows] == ["p50", "p90", "p99", "p99.9"]


def test_slices_are_grouped_worst_first() -> None:
    rows = tables.slices(SHORT)
    assert [row.value for row in rows][:4] == ["fog", "night", "rain", "clear"]
    assert {row.column for row in rows[4:]} == {"distance"}
    assert all(0 <= (row.low or 0) <= (row.middle or 0) <= (row.high or 0) <= 100 for row in rows)
    assert rows[0].effect == "worse"


def test_slices_show_metrics_that_a_kpi_names() -> None:
    named = KpiResult("rain", 1.0, KpiLimit("min", 0.0, metric="pixel_accuracy"), 1.0, "", "pass")
    parts = tuple(replace(p, metrics=p.metrics | {"pixel_accuracy": 0.9, "other": 1.0}) for p in evaluation(10).slices)
    judged = GateReport(SHORT.bundle, "cpu", "pass", (named,))
    rows = tables.slices(replace(SHORT, gate=judged, evaluation=replace(evaluation(10), slices=parts)))
    assert {row.metric for row in rows} == {"miou", "pixel_accuracy"}


def test_long_lists_of_slices_are_folded() -> None:
    fog = evaluation(10).slices[2]
    assert fog.value == "fog"
    flat = {"miou": Difference(0.0, -0.01, 0.01, 0.9, 0.9)}
    parts = (fog, *(replace(fog, column="camera", value=str(k), differences=flat) for k in range(20)))
    rows = tables.slices(replace(SHORT, evaluation=replace(evaluation(10), slices=parts)))
    assert [row.value for row in rows if not row.detail] == ["fog"]
    assert not any(row.detail for row in tables.slices(SHORT))


def test_layers_are_the_slowest() -> None:
    found = profile(100).layers
    rows = tables.layers(found)
    assert len(rows) == 20
    assert rows[0].width == 100
    assert rows[0].name == max(found, key=lambda layer: layer.ms).node
    assert rows[0].module == ""  # the node's own name says it


def clocks(locked: bool | None, reason: str) -> ClocksReport:
    state = ClockState(locked, reason)
    return ClocksReport(locked, reason, state, state)


def test_warnings() -> None:
    assert warnings(SHORT) == ["Clocks were not locked: governor schedutil. Times vary from run to run."]
    busy = MachineReport(governor="performance", load_average_1min=9.0, cpus=4)
    power = PowerReport(clocks=clocks(False, "turbo is on"), throttled=True, throttle_reasons=("heat",))
    times = {profile(100).engine: (8.0,) * 50 + (9.0,) * 50}
    noisy = replace(profile(100), machine=busy, noise=Interval(1.02, 1.04), power=power, times_ms=times)
    random = replace(SHORT, profile=noisy, provenance={"calibration": {"real": False}})
    said = " ".join(warnings(random))
    for word in (
        "not locked: turbo is on",
        "throttled during the run (heat)",
        "median moved by +12%",
        "busy: load 9 on 4 CPUs",
        "timed against itself differs (1.020 to 1.040",
        "random pixels",
    ):
        assert word in said
    assert warnings(replace(SHORT, profile=replace(profile(100), machine=MachineReport(governor="performance")))) == []


def test_what_was_not_measured_is_named() -> None:
    assert missing(SHORT) == []
    bare = replace(
        SHORT, profile=None, history=(), evaluation=replace(evaluation(10), slices=(), intervals={}), gate=gate()
    )
    assert missing(bare) == ["latency and memory", "earlier runs", "intervals of the accuracy", "slices"]


def test_sensors_that_are_not_here_measured_nothing() -> None:
    absent = PowerReport(rate_hz=2.0, clocks=clocks(None, "a virtual machine"), unavailable={"rapl": "none"})
    bare = replace(SHORT, profile=replace(profile(100), power=absent))
    assert missing(bare) == ["power"]
    assert "Power and clocks" not in dict(resources(bare.profile))
    assert "Clocks may have moved: a virtual machine." in warnings(bare)[0]


def test_leak_test_is_told_in_words() -> None:
    readings = tuple((10 * k, 82852) for k in range(200))
    leak = LeakReport(0.31, -0.04, 1.26, 0.95, 64.0, "no leak", "memory grows", 2000, readings)
    assert dict(resources(replace(profile(100), leak=leak)))["Leak test"] == [
        ("verdict", "no leak"),
        ("queries", "2000"),
        ("growth", "0.3 KiB per 1000 queries (0.0 to 1.3, at 95% confidence)"),
        ("limit", "64 KiB per 1000 queries"),
    ]


def test_provenance_has_digest_data_and_machine() -> None:
    shown = {title: dict(rows) for title, rows in groups(SHORT)}
    assert shown["Bundle"]["digest"].startswith("3f9c1b20")
    assert shown["Data"]["dataset hash"] == "3b1f0a77c2d94e10"
    assert shown["Machine"]["governor"] == "schedutil"
    assert shown["Timing"]["queries"] == "200"


def test_each_step_of_the_chain_says_what_it_gained_and_cost() -> None:
    assert [astuple(row) for row in waterfall(replace(SHORT, compress=compress()))] == [
        ("fp32", "23.40", "", "0.7199", ""),
        ("ptq percentile", "8.100", "−15.30", "0.7078", "−0.0121"),
    ]
    assert waterfall(replace(SHORT, compress=None)) == []
