"""Numbers as a person reads them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.core.reports import Difference, Interval, KpiLimit, KpiResult
from edgekit.reporting import words


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.71234, "0.7123"), (12.345, "12.35"), (412.0, "412"), (120.5, "120.5"), (12345.6, "12,346"), (0.0, "0.0000"),
     (None, "–"), (math.nan, "NaN"), (-0.5, "-0.5000"), (3.2e-6, "0.0000032"), (-8.9e-5, "-0.000089")],
)  # fmt: skip
def test_number(value: float | None, text: str) -> None:
    assert words.number(value) == text


@given(st.floats(1e-3, 1e9))
def test_number_is_close(value: float) -> None:
    assert float(words.number(value).replace(",", "")) == pytest.approx(value, rel=0.06 if value < 0.01 else 0.006)


def test_units_and_signs() -> None:
    assert words.number(8.1, "ms") == "8.100 ms"
    assert words.signed(-0.0121) == "−0.0121"
    assert words.duration(0.0123) == "12.3 µs"
    assert words.share(0.123) == "12%"
    assert words.share(0.0123) == "1.2%"
    assert words.amount(2.5e9, "FLOP") == "2.5 GFLOP"
    assert words.amount(None, "B") == "–"


def test_intervals() -> None:
    assert words.interval(Interval(0.7, None)) == "0.7000 to –"
    assert words.interval(Interval(None, None)) == ""
    assert words.interval(None) == ""
    assert words.interval(Difference(-0.1, -0.2, 0.05), sign=True) == "−0.2000 to +0.0500"
    assert words.p_value(0.0002) == "< 0.001"


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        (KpiLimit("min", 0.69), "at least 0.69 ms"),
        (KpiLimit("max", 33.3), "at most 33.3 ms"),
        (
            KpiLimit("max_drop", 0.01, control=0.72, drop=0),
            "at most 0.01 ms worse than FP32 (0.7200 ms)",
        ),
        (
            KpiLimit("baseline_drop", 0.01, baseline=0.5, drop=0),
            "at most 0.01 ms worse than the baseline (0.5000 ms)",
        ),
        (
            KpiLimit("baseline_ratio", 1.05, baseline=8.0, ratio=1.0),
            "at most 1.05 times the baseline's (8.000 ms)",
        ),
    ],
)
def test_limits_in_words(limit: KpiLimit, text: str) -> None:
    assert words.limit(KpiResult("k", 1.0, limit, 0.0, "ms", "pass")) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.0104, 0.0144, "worse by 0.0104 to 0.0144"),
        (0.0, 0.0144, "worse by 0.0000 to 0.0144"),
        (-0.0021, -0.0001, "better by 0.0001 to 0.0021"),
        (-0.0021, 0.0003, "between 0.0003 worse and 0.0021 better"),
        (None, 0.0003, "at most 0.0003 worse"),
        (None, -0.0003, "at least 0.0003 better"),
        (0.0003, None, "at least 0.0003 worse"),
        (-0.0003, None, "at most 0.0003 better"),
        (None, None, ""),
    ],
)
def test_intervals_of_drops_agree_with_their_words(low: float | None, high: float | None, text: str) -> None:
    assert words.worsening(Interval(low, high)) == text


def test_no_interval_of_a_drop_no_words() -> None:
    assert words.worsening(None) == ""


@pytest.mark.parametrize(
    ("value", "unit", "ratio", "text"),
    [(8.4, "MiB", 1.05, "1.050 times the baseline's"), (8.0, "MiB", 1.0, "1.000 times the baseline's"),
     (4.0, "", 2.0, "1/2.000 of the baseline's"), (7.9, "ms", 1.01, "1.010 times the baseline's")],
)  # fmt: skip
def test_ratios_to_the_baseline(value: float, unit: str, ratio: float, text: str) -> None:
    limit = KpiLimit("baseline_ratio", 1.5, baseline=8.0, ratio=ratio, higher=not unit)
    assert words.times_baseline(KpiResult("k", value, limit, 0.0, unit, "pass"), ratio) == text


def test_a_limit_on_how_far_a_number_may_fall_is_a_least_share() -> None:
    limit = KpiLimit("baseline_ratio", 1.5, baseline=8.0, ratio=2.0, higher=True)
    assert words.limit(KpiResult("k", 4.0, limit, 0.0, "", "fail")) == "at least 1/1.5 of the baseline's (8.000)"


def test_facts_of_any_depth() -> None:
    found = {"peak_w": 21.5, "rails": {"cpu": 3, "gpu": None}, "on": True, "none": "", "list": list("abcdefghijklmno")}
    found |= {"readings": list(range(20)), "pairs": [[k, 0.5] for k in range(20)], "shape": [1, 3, 360, 480]}
    assert words.facts(found) == [
        ("peak w", "21.50"),
        ("rails: cpu", "3"),
        ("on", "yes"),
        ("list", "a, b, c, d, e, f, g, h, i, j, k, l … (15 values)"),
        ("shape", "1, 3, 360, 480"),
    ]


@given(st.text())
def test_breakable_keeps_the_text(text: str) -> None:
    assert "".join(words.breakable(text)) == text
