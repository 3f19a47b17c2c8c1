"""Regressions that were planted in networks, measured for real on this machine, turn the night red and are named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hil.tests.night import driving
from hil.tests.night.conftest import Built
from hil.tests.night.local import here

from edgekit.core.progress import Silent
from edgekit_hil.night.nightly import Night, run_night
from edgekit_hil.night.plan import read_plan
from edgekit_hil.night.shelf import ware

DAY_S = 86_400.0
PLAN = """\
boards: {this: {environment: this.yaml, must_pass: true}}
bundles: {drive: {path: now, between: between}}
queries: 120
"""
"""120 queries are 6 openings, enough for an interval of a ratio.  On a busy machine that is as wide as the limit of the
driving project, 3 times, and the planted network is slower than that; benchmarks/hil_night.py plants less."""


@pytest.fixture
def rack(tmp_path: Path) -> Path:
    (tmp_path / "plan.yaml").write_text(PLAN)
    (tmp_path / "this.yaml").write_text("targets: {}\n")
    (tmp_path / "between").mkdir()
    return tmp_path


def night(rack: Path, bundle: Path, day: int) -> Night:
    shutil.rmtree(rack / "now", ignore_errors=True)
    shutil.copytree(bundle, rack / "now")
    return run_night(read_plan(rack / "plan.yaml"), here, Silent(), lambda: 1_795_990_000.0 + day * DAY_S)


def test_planted_regressions_are_named_with_kpi_slice_and_amount(
    rack: Path, built: Built, driving_data: Path, tmp_path: Path
) -> None:
    first = night(rack, built.good, 0)
    assert (first.report.exit_code, first.report.results[0].moved) == (0, True)
    slow = driving.build(tmp_path / "slow", driving_data, channels=128)
    found = night(rack, slow, 1)
    assert found.report.exit_code == 1
    latency = found.report.regressions[0].findings[0]
    assert (latency.metric, latency.where) == ("latency_p50_ms", "")
    assert "% worse than last-good" in latency.amount
    dull = driving.build(tmp_path / "dull", driving_data, sure=0.25)
    for number, source in enumerate((built.path(1), built.path(2), dull, dull)):
        driving.variant(source, rack / "between" / f"{number}-{number:07}", 100 + number)
    found = night(rack, rack / "between" / "3-0000003", 2)
    assert found.report.exit_code == 1
    by_title = {one.title: (regression, one) for regression in found.report.regressions for one in regression.findings}
    regression, dusk = by_title["miou_by_drive (miou) [drive=dusk]"]
    assert "miou_by_drive (miou) [drive=day]" not in by_title
    assert dusk.where == "drive=dusk"
    assert float(dusk.amount.split()[0]) > 0.05
    assert [one.identity for one in regression.suspects] == [ware(rack / "between" / "2-0000002").known.identity], (
        "the first of the two dull ones"
    )
    assert len(regression.probes) <= 3
    assert regression.baseline.identity == first.report.results[0].ran.identity, "last-good did not move"
