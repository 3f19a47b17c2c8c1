"""A gate with a time budget: what does not fit into it is undecided and named, never guessed and never forgotten."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from junitparser import JUnitXml

import edgekit
from edgekit.core.budget import Budget, OutOfTime
from edgekit.core.spec import Kpi
from edgekit.core.tensors import Array, Arrays
from edgekit.engine import ort
from edgekit.kpis import junit, markdown
from edgekit.stages.gate import GateOptions
from edgekit.stages.gate_budget import Timely
from tests.cli.test_bad_bundle import with_kpis
from tests.support.shell import edgekit as run
from tests.support.shell import error_of

KPIS = {"miou": {"min": 0.0}, "latency_p50_ms": {"max": 1e6}, "peak_memory_mib": {"max": 1e6}}


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every query takes 30 ms at least: the 8 frames on two engines 0.48 s."""
    real = ort.OrtEngine.infer_impl

    def infer_impl(self: ort.OrtEngine, feeds: Arrays) -> dict[str, Array]:
        time.sleep(0.03)
        return real(self, feeds)

    monkeypatch.setattr(ort.OrtEngine, "infer_impl", infer_impl)


@pytest.mark.usefixtures("slow")
def test_what_there_was_no_time_for_is_undecided(tiny_bundle: Path) -> None:
    with_kpis(tiny_bundle, KPIS)
    report = edgekit.gate(tiny_bundle, options=GateOptions(budget_s=0.5))
    assert report.verdict == "undecided"
    assert report.kpis == ()
    assert set(report.unmeasured) == set(KPIS)
    assert "no time was left of --budget 0.5 s: 8 frames would take about" in report.unmeasured["miou"]
    assert "rounds of queries would take about" in report.unmeasured["latency_p50_ms"]
    assert "**miou** is undecided: no time was left" in markdown(report).replace("\\", "")
    (suite,) = list(JUnitXml.fromstring(junit.junit(report).decode()))
    assert suite.failures == 3
    allowed = edgekit.gate(tiny_bundle, options=GateOptions(budget_s=0.5, allow_undecided=True))
    assert (allowed.verdict, set(allowed.unmeasured)) == ("pass", set(KPIS))


@pytest.mark.usefixtures("slow")
def test_half_a_run_is_not_recorded(tiny_bundle: Path, tmp_path: Path) -> None:
    with_kpis(tiny_bundle, KPIS)
    report = edgekit.gate(tiny_bundle, options=GateOptions(budget_s=0.5, history=tmp_path / "h.db"))
    assert report.run is None


def test_a_budget_that_is_long_enough_changes_nothing(tiny_bundle: Path) -> None:
    with_kpis(tiny_bundle, KPIS)
    found = run("gate", tiny_bundle, "--budget", "2h", "--queries", 100, "--json")
    assert found.returncode == 0, found.stderr
    document = json.loads(found.stdout)
    assert (document["verdict"], document["unmeasured"]) == ("pass", {})
    assert [kpi["name"] for kpi in document["kpis"]] == list(KPIS)


def test_no_time_at_all_is_the_users_mistake(tiny_bundle: Path) -> None:
    message = error_of(run("gate", tiny_bundle, "--budget", "soon"), 2)
    assert message.startswith("--budget: 'soon' is no time; give hours, minutes or seconds")


def test_kpis_of_others_and_measured_ones_stay() -> None:
    kpis = {
        "miou": Kpi(min=0.5),
        "speed": Kpi(metric="latency_p50_ms", max=1),
        "elsewhere": Kpi(metric="latency_p99_ms", max=1, target="orin"),
        "before": Kpi(metric="miou", baseline_drop=0.1),
        "rare": Kpi(metric="latency_p999_ms", max=1),
    }
    timely = Timely(Budget(60))

    def late() -> None:
        raise OutOfTime("5 frames would take about 9 s, 1 s were left for them")

    assert timely.take(("timing",), late) is None
    assert timely.take(("accuracy",), lambda: 5) == 5
    kept, missed = timely.split(kpis, "cpu", ["miou"], ["miou"], baseline=False)
    assert set(kept) == {"miou", "elsewhere"}
    assert set(missed) == {"speed", "before", "rare"}
    assert missed["speed"].endswith("5 frames would take about 9 s, 1 s were left for them")
    assert Timely(Budget()).split(kpis, "cpu", [], [], baseline=False) == (kpis, {})
