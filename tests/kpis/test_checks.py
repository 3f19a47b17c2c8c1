"""KPIs that cannot be judged are found when the spec is read, and no others."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from edgekit.core.errors import SpecError
from edgekit.core.reports import Metric
from edgekit.core.spec import Kpi
from edgekit.core.specfile import read_spec
from edgekit.kpis.checks import check_names
from tests.support.projects import SPEC
from tests.support.shell import edgekit, error_of

METRICS = (
    Metric("miou", True),
    Metric("iou/traffic light (red)", True),
    Metric("eer", False),
    Metric("flicker", False),
)
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("miou", {"min": 0.5, "max_drop": 0.1}),
        ("iou/traffic light (red)", {"min": 0.5}),
        ("fog", {"metric": "miou", "min": 0.5, "where": {"weather": "fog"}}),
        ("cities", {"metric": "iou/traffic light (red)", "max_drop": 0.5, "where": {"city": "*"}}),
        ("flicker", {"max": 0.1}),
        ("eer", {"max": 0.1, "baseline_ratio": 1.1}),
        ("latency_p999_ms", {"max": 40, "target": "orin"}),
        ("speedup_p50", {"min": 1.5}),
        ("late_share", {"max": 0.001}),
        ("power_mean_w", {"max": 15, "baseline_drop": 1}),
        ("size_mib", {"baseline_ratio": 1.1}),
    ],
)
def test_fine(name: str, limits: dict[str, Any]) -> None:
    check_names({name: Kpi(**limits)}, METRICS)


@pytest.mark.parametrize(
    ("name", "limits", "message"),
    [
        (
            "moiu",
            {"min": 0.5},
            "kpis.moiu: no metric 'moiu'; did you mean 'miou'? (one of ",
        ),
        ("fog", {"metric": "mioo", "min": 0.5}, "kpis.fog: metric: no metric 'mioo'; did you mean 'miou'? (one of "),
        ("iou/bus", {"min": 0.5}, "kpis.iou/bus: no metric 'iou/bus'; "),
        ("miou", {"max": 0.5}, "kpis.miou: max contradicts the metric (higher is better); use min"),
        ("eer", {"min": 0.5}, "kpis.eer: min contradicts the metric (lower is better); use max"),
        ("speedup_p50", {"max": 2}, "kpis.speedup_p50: max contradicts the metric (higher is better); use min"),
        ("power_mean_w", {"min": 2}, "kpis.power_mean_w: min contradicts the metric (lower is better); use max"),
        ("size_mib", {"max_drop": 2}, "kpis.size_mib: max_drop: the control has no size_mib of its own; use"),
        ("size_mib", {"max": 2, "where": {"a": "b"}}, "kpis.size_mib: where: size_mib is not measured by slice"),
    ],
)
def test_refused(name: str, limits: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=re.escape(message)):
        check_names({name: Kpi(**limits)}, METRICS)


def test_every_mistake_is_told() -> None:
    with pytest.raises(SpecError, match=r"kpis\.a: no metric 'a'.*\(and 1 more\)") as caught:
        check_names({"a": Kpi(min=1), "miou": Kpi(min=0.5), "eer": Kpi(min=1)}, METRICS)
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["kpis.a", "kpis.eer"]


@pytest.mark.parametrize("spec", sorted(EXAMPLES.glob("*/edgekit.yaml")), ids=lambda path: str(path.parent.name))
def test_the_kpis_of_every_example_are_allowed(spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in re.findall(r"\$\{?(\w+)[}/]", spec.read_text()):  # those without a default
        monkeypatch.setenv(name, str(tmp_path))
    (tmp_path / "classes.json").write_text(json.dumps([f"{number:03}" for number in range(1000)]))
    monkeypatch.setenv("MOBILENET_DATA", str(tmp_path))
    found = read_spec(spec)
    task = found.task.create()
    check_names(found.kpis, (*task.metrics, *task.sequence_metrics))


@pytest.mark.parametrize("command", [("build", "-t", "cpu"), ("compress",)])
@pytest.mark.parametrize(
    ("kpi", "message"),
    [
        ("mio: {min: 0.5}", "kpis.mio: no metric 'mio'; did you mean 'miou'? (one of 32)"),
        ("iou/red: {max: 0.5}", "kpis.iou/red: max contradicts the metric (higher is better); use min"),
    ],
)
def test_nothing_is_made_of_a_spec_that_no_gate_can_judge(
    command: tuple[str, ...], kpi: str, message: str, tmp_path: Path
) -> None:
    spec = SPEC.replace("miou: {min: 0.6, max_drop: 0.05}", kpi)
    (tmp_path / "edgekit.yaml").write_text(spec)
    line = 1 + spec[: spec.index(kpi)].count("\n")
    expected = f"{tmp_path / 'edgekit.yaml'}:{line}: {message}"
    assert error_of(edgekit(command[0], tmp_path, *command[1:]), 2).startswith(expected)
    assert [path.name for path in tmp_path.iterdir()] == ["edgekit.yaml"]
