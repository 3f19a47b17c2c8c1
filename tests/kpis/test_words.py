"""What a verdict says of itself: on the terminal, in Markdown, in JUnit files."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from edgekit.core.reports import GateReport, KpiLimit, KpiResult
from edgekit.kpis import markdown, words
from edgekit.kpis.junit import junit


def result(kind: str, verdict: str = "pass") -> KpiResult:
    return KpiResult("miou", 0.7, KpiLimit(kind, 0.6), 0.1, "", verdict)  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "sign"), [("min", ">="), ("max", "<=")])
def test_a_limit_says_on_which_side_it_is(kind: str, sign: str) -> None:
    assert words.limit(result(kind)) == f"{sign} 0.6"


def test_warnings_stand_in_the_summary() -> None:
    report = GateReport("b", "cpu", "pass", (result("min"),), warnings=("the machine was busy",))
    assert "⚠️ the machine was busy" in markdown(report)


@pytest.mark.parametrize("verdict", ["fail", "undecided"])
def test_what_was_not_measured_is_a_failure_unless_the_gate_passes(verdict: str) -> None:
    report = GateReport("b", "cpu", verdict, (), unmeasured={"map": "no time"})  # type: ignore[arg-type]
    (case,) = ElementTree.fromstring(junit(report)).iter("testcase")
    assert [child.tag for child in case] == ["failure"]
    passed = GateReport("b", "cpu", "pass", (), unmeasured={"map": "no time"})
    (case,) = ElementTree.fromstring(junit(passed)).iter("testcase")
    assert [child.tag for child in case] == ["skipped"]
