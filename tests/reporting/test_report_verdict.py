"""The top of the page: verdict, next steps, KPI rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.core.errors import DataError
from edgekit.core.reports import GateReport, Interval, KpiLimit, KpiResult
from edgekit.reporting import Content, Picture
from edgekit.reporting.history import worse
from edgekit.reporting.verdict import banner, kpi_rows, strip
from tests.support.report_content import METRICS, content, evaluation, gate, history, profile

SHORT = content(100)


def test_fail_comes_with_steps_in_order() -> None:
    top = banner(SHORT, worse(SHORT))
    assert (top.verdict, top.symbol) == ("fail", "✗")
    assert top.sentence == "1 of 5 KPIs failed, 1 of 5 cannot be decided yet."
    assert [step.section for step in top.steps] == ["#slices", "", "#history"]
    assert top.steps[0].text.startswith(
        "miou: 0.7078 (0.0121 worse); allowed is at most 0.01 worse than FP32 (0.7199)."
    )
    assert "about 3100 are needed" in top.steps[1].text
    assert "latency_p50_ms: It rose from 7.900 to 8.250 ms" in top.steps[2].text
    assert top.facts[0] == "miou 0.7078 (−0.0121 against FP32)"
    assert "2.89× as fast as FP32" in top.facts


def test_rows_put_failures_first() -> None:
    rows = kpi_rows(SHORT)
    assert [row.verdict for row in rows] == ["fail", "undecided", "pass", "pass", "pass"]
    assert rows[0].interval == "worse by 0.0104 to 0.0144"
    assert rows[0].strip.value < 50 < rows[2].strip.value
    assert rows[1].strip.low is not None
    assert rows[1].strip.low < 50 < (rows[1].strip.high or 0)


@pytest.mark.parametrize(
    ("limit", "interval", "shown"),
    [
        (KpiLimit("max_drop", 0.01, drop=-0.0011, control=0.3675), Interval(-0.0021, -0.0001),
         ("0.3686 (0.0011 better)", "better by 0.0001 to 0.0021")),
        (KpiLimit("baseline_ratio", 0.01, ratio=1.0, baseline=0.3686), Interval(0.99, 1.02),
         ("0.3686 (1.000 times the baseline's)", "0.9900 to 1.020 times the baseline's")),
        (KpiLimit("baseline_ratio", 0.01, ratio=2.0, baseline=0.7372, higher=True), Interval(1.9, 2.1),
         ("0.3686 (1/2.000 of the baseline's)", "1/1.900 to 1/2.100 of the baseline's")),
    ],
)  # fmt: skip
def test_interval_and_value_agree(limit: KpiLimit, interval: Interval, shown: tuple[str, str]) -> None:
    judged = KpiResult("miou", 0.3686, limit, 0.0111, "", "pass", interval)
    (row,) = kpi_rows(replace(SHORT, gate=GateReport(SHORT.bundle, "cpu", "pass", (judged,))))
    assert (row.value, row.interval) == shown


def test_slow_engine_names_the_slowest_layer() -> None:
    slow = KpiResult("latency_p99_ms", 40.0, KpiLimit("max", 33.3), -6.7, "ms", "fail")
    judged = GateReport(SHORT.bundle, "cpu", "fail", (slow,))
    (step,) = banner(replace(SHORT, gate=judged)).steps
    assert step.section == "#layers"
    assert "slowest layer" in step.text
    (step,) = banner(replace(SHORT, gate=judged, profile=replace(profile(100), layers=()))).steps
    assert step.section == "#latency"


def test_pass_without_gate_and_allowed_undecided() -> None:
    passed = tuple(kpi for kpi in gate().kpis if kpi.verdict == "pass")
    assert banner(replace(SHORT, gate=GateReport(SHORT.bundle, "cpu", "pass", passed))).sentence == "Every KPI holds."
    assert banner(replace(SHORT, gate=None)).verdict == "none"
    allowed = replace(next(kpi for kpi in gate().kpis if kpi.verdict == "undecided"), allowed=True)
    top = banner(replace(SHORT, gate=GateReport(SHORT.bundle, "cpu", "pass", (*passed, allowed))))
    assert top.verdict == "pass"
    assert "which is allowed" in top.sentence


@given(st.sampled_from(["min", "max"]), st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.floats(0, 100))
def test_strip_has_its_limit_in_the_middle(kind: str, limit: float, value: float, half: float) -> None:
    margin = value - limit if kind == "min" else limit - value
    found = strip(
        KpiResult("k", value, KpiLimit(kind, limit), margin, "", "pass", Interval(value - half, value + half))
    )
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low <= found.value + 1e-6 <= found.high + 2e-6 <= 100
    assert (found.value - 50) * margin >= 0


@pytest.mark.parametrize("end", ["low", "high"])
def test_strip_of_a_one_sided_interval_has_no_line(end: str) -> None:
    half_open: dict[str, Any] = {"low": 0.6, "high": 0.8} | {end: None}
    found = strip(KpiResult("k", 0.7, KpiLimit("min", 0.5), 0.2, "", "pass", Interval(**half_open)))
    assert (found.low, found.high) == (None, None)


def test_content_checks_itself() -> None:
    with pytest.raises(DataError, match="needs an evaluation or a profile"):
        Content(gate(), None, None)
    with pytest.raises(DataError, match=r"different bundles: .*'other'"):
        Content(gate(), evaluation(10), replace(profile(100), bundle="other"))
    with pytest.raises(DataError, match="frame 'f0': not a JPEG"):
        Picture("f0", b"\x89PNG")
    with pytest.raises(DataError, match="frame 'f0': not a JPEG"):
        Picture("f0", b"\xff\xd8\xff", legend=b"\x89PNG")
    assert Content(None, evaluation(10), None).headline == "miou"
    assert Content(None, evaluation(10), None, metrics=METRICS[1:]).headline == "pixel_accuracy"
    assert [found.series.metric for found in history()] == ["miou", "latency_p50_ms"]
