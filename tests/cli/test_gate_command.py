"""What ``edgekit gate`` writes, and its exit codes, on reports whose p99 is not known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from junitparser import JUnitXml

from tests.cli.test_bad_bundle import with_kpis
from tests.support.shell import edgekit


@pytest.fixture
def reports(tiny_bundle: Path, tmp_path: Path) -> tuple[str, ...]:
    """Options that name an evaluation, and a profile of too few queries for an upper end of p99."""
    with_kpis(tiny_bundle, {"miou": {"min": 0.6}, "latency_p99_ms": {"max": 1000}})
    folder = tmp_path / "reports"
    folder.mkdir()
    for command, options in (("evaluate", ()), ("profile", ("--queries", 100))):
        (folder / f"{command}.json").write_text(edgekit(command, tiny_bundle, *options, "--json").stdout)
    return ("--evaluation", str(folder / "evaluate.json"), "--profile", str(folder / "profile.json"))


def test_undecided_fails_and_says_what_is_needed(tiny_bundle: Path, reports: tuple[str, ...], tmp_path: Path) -> None:
    files = ("--junit", tmp_path / "gate.xml", "--markdown", tmp_path / "gate.md")
    found = edgekit("gate", tiny_bundle, *reports, *files)
    assert found.returncode == 1, found.stderr
    assert "UNDECIDED" in found.stdout
    (suite,) = list(JUnitXml.fromfile(str(tmp_path / "gate.xml")))
    assert suite.failures == 1
    assert (tmp_path / "gate.md").read_text().startswith("## ❔ UNDECIDED: tiny-cpu@")
    assert "cannot be decided with 120 queries; at least 662 are needed" in (tmp_path / "gate.md").read_text()


def test_undecided_may_be_allowed(tiny_bundle: Path, reports: tuple[str, ...]) -> None:
    found = edgekit("gate", tiny_bundle, *reports, "--allow-undecided", "--json")
    assert found.returncode == 0, found.stderr
    document = json.loads(found.stdout)
    assert document["verdict"] == "pass"
    assert {k["verdict"]: k["allowed"] for k in document["kpis"]} == {"pass": False, "undecided": True}


def test_where_a_run_went_and_what_it_was_held_against(tiny_bundle: Path, tmp_path: Path) -> None:
    kpis = {"speed": {"metric": "latency_p50_ms", "max": 1e6, "baseline_ratio": 1000}}
    with_kpis(tiny_bundle, kpis)
    words = ("gate", tiny_bundle, "--against", "last-good", "--history", tmp_path / "h.db", "--queries", 700)
    first, second = edgekit(*words), edgekit(*words)
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert "warning: no run of tiny-cpu has passed its gate yet" in first.stderr
    assert "baseline:" not in first.stdout
    recorded = [line for line in first.stderr.splitlines() if line.startswith("recorded as run ")]
    (run,) = [line.split()[3] for line in recorded if line.endswith(f" in {tmp_path / 'h.db'}")]
    assert f"baseline: run {run}" in second.stdout
    assert "speed (latency_p50_ms)" in second.stdout


@pytest.mark.parametrize("option", ["--junit", "--markdown"])
def test_a_place_that_takes_no_file_is_refused_before_anything_is_measured(option: str, tiny_bundle: Path) -> None:
    found = edgekit("gate", tiny_bundle, option, "/proc/x.xml")
    assert found.returncode == 3
    assert found.stderr.strip() == "error: cannot write /proc: nothing can be made there; choose another place"


def test_too_few_queries(tiny_bundle: Path) -> None:
    found = edgekit("gate", tiny_bundle, "--queries", 5)
    assert found.returncode == 2
    assert "use at least 100" in found.stderr
