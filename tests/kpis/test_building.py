"""KPIs on what a build made of the precision that was asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgekit.core.errors import SpecError
from edgekit.core.spec import Kpi
from edgekit.engine.trt import inspector
from edgekit.kpis import judge, measured
from edgekit.kpis.building import BUILD_METRICS
from edgekit.kpis.checks import check_names, require_measured
from tests.support.nights import METRICS, evaluation, profile

COUNTS = {"layers": 70.0, "missed_layers": 2.0, "unfused_qdq": 0.0, "reformat_layers": 5.0}
COUNTED = replace(profile(), built=COUNTS)


def test_the_names_are_those_of_the_inspection() -> None:
    found = inspector.inspect({"Layers": []}, "int8").numbers
    assert {metric.name for metric in BUILD_METRICS} == found.keys() - {"layers"}
    check_names({m.name: Kpi(min=0) if m.higher else Kpi(max=0) for m in BUILD_METRICS}, METRICS)


@pytest.mark.parametrize(
    ("name", "most", "verdict"),
    [
        ("missed_layers", 2, "pass"),
        ("missed_layers", 1, "fail"),
        ("reformat_layers", 4, "fail"),
        ("unfused_qdq", 0, "pass"),
    ],
)
def test_counts_are_exact(name: str, most: float, verdict: str) -> None:
    report = judge({name: Kpi(max=most)}, "orin", measured(evaluation(), COUNTED, METRICS))
    assert report.verdict == verdict
    assert report.kpis[0].interval is None


def test_an_engine_without_a_layer_list() -> None:
    kpis = {"missed_layers": Kpi(max=0)}
    with pytest.raises(SpecError, match="missed_layers was not measured; measure it with: edgekit build"):
        require_measured(kpis, "orin", (), measuring=True, sensors=True)
    with pytest.raises(SpecError, match="missed_layers was not measured; measure it with: edgekit build"):
        judge(kpis, "orin", measured(evaluation(), profile(), METRICS))
    require_measured(kpis, "orin", (), built=COUNTS)
    require_measured(kpis, "orin", (COUNTED,))
