"""The verdict as JUnit XML and as Markdown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from junitparser import Failure, JUnitXml, Skipped
from pydantic import TypeAdapter

from edgekit.core.errors import MissingRequirement, OutputError
from edgekit.core.reports import GateReport, Interval, KpiLimit, KpiResult
from edgekit.kpis import markdown, require_junit, words, write_junit

REASON = "cannot be decided with 40 frames; about 310 are needed"
UNSURE = KpiResult(
    "miou",
    0.7,
    KpiLimit("max_drop", 0.015, control=0.71, drop=0.01),
    0.005,
    "",
    "undecided",
    Interval(0.004, 0.018),
    310,
    "frames",
    "weather=fog",
    REASON,
)
SLOW = KpiResult(
    "latency_p99_ms", 20.0, KpiLimit("max", 15.0), -5.0, "ms", "fail", Interval(18.0, None), None, "queries"
)
SMALL = KpiResult("size_mib", 2.5, KpiLimit("max", 3.0), 0.5, "MiB", "pass")
REPORT = GateReport("cam|seg-cpu@12", "cpu", "fail", (UNSURE, SLOW, SMALL), ("power_w",), "last-good")


def cases(path: Path, report: GateReport) -> dict[str, list[Failure | Skipped]]:
    write_junit(path, report)
    (suite,) = list(JUnitXml.fromfile(str(path)))
    return {case.name: list(case.result) for case in suite}


def test_junit_has_a_case_a_limit(tmp_path: Path) -> None:
    found = cases(tmp_path / "gate.xml", REPORT)
    assert list(found) == ["miou [weather=fog] max_drop", "latency_p99_ms max", "size_mib max", "power_w"]
    kinds = [[type(r) for r in results] for results in found.values()]
    assert kinds == [[Failure], [Failure], [], [Skipped]]
    (unsure,) = found["miou [weather=fog] max_drop"]
    assert unsure.type == "undecided"
    assert unsure.message == (
        "0.7; limit: drop 0.0100 [0.004, 0.018] <= 0.015 (control 0.7100); margin +0.005; " + REASON
    )
    (slow,) = found["latency_p99_ms max"]
    assert slow.message == "20 [18, ?] ms; limit: <= 15; margin -5"


def test_junit_counts_and_names(tmp_path: Path) -> None:
    write_junit(tmp_path / "gate.xml", REPORT)
    (suite,) = list(JUnitXml.fromfile(str(tmp_path / "gate.xml")))
    assert (suite.tests, suite.failures, suite.skipped) == (4, 2, 1)
    facts = {p.name: p.value for p in suite.properties()}
    assert facts == {"target": "cpu", "verdict": "fail", "baseline": "last-good"}


def test_an_allowed_undecided_kpi_is_skipped(tmp_path: Path) -> None:
    report = replace(REPORT, kpis=(replace(UNSURE, allowed=True),), verdict="pass")
    (result, _) = cases(tmp_path / "gate.xml", report).values()
    assert [type(r) for r in result] == [Skipped]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file where a folder should be")
    with pytest.raises(OutputError, match="cannot write"):
        write_junit(tmp_path / "folder" / "gate.xml", REPORT)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder"]


def test_without_junitparser_the_install_line_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingRequirement, match=r"pip install 'edgekit\[report\]'"):
        require_junit()


def test_markdown_has_the_verdict_on_top() -> None:
    lines = markdown(REPORT).splitlines()
    assert lines[0] == "## ❌ FAIL: cam\\|seg-cpu@12"
    assert lines[2] == "1 pass, 1 fail, 1 undecided · target cpu · baseline last-good"


def test_markdown_rows_have_as_many_cells_as_the_header() -> None:
    nasty = replace(SMALL, name="a|b\n<b>`x`", where="city=x|y")
    table = [line for line in markdown(replace(REPORT, kpis=(nasty, UNSURE))).splitlines() if line.startswith("|")]
    assert {len(line.replace("\\|", "").split("|")) for line in table} == {len(words.HEADER) + 2}
    assert len(table) == 4
    assert "\\<b\\>\\`x\\`" in table[2]


def test_markdown_gives_reasons() -> None:
    text = markdown(REPORT)
    assert f"- **miou \\[weather=fog\\]**: {REASON}" in text
    assert "For another target, not judged: power\\_w" in text
    assert "❔ undecided, allowed" in markdown(replace(REPORT, kpis=(replace(UNSURE, allowed=True),)))


def test_the_terminal_says_what_would_decide() -> None:
    assert words.row(UNSURE)[-1] == f"undecided ({REASON})"
    assert words.row(SLOW) == ("latency_p99_ms", "20 [18, ?] ms", "<= 15", "-5", "fail")
    ratio = KpiLimit("baseline_ratio", 1.05, baseline=10.0, ratio=1.2)
    assert words.limit(replace(SMALL, limit=ratio)) == "ratio 1.2000 <= 1.05 (baseline 10.0000)"


def test_json_is_the_report() -> None:
    text = json.dumps(REPORT.to_dict(), allow_nan=False)
    assert TypeAdapter(GateReport).validate_json(text) == REPORT
