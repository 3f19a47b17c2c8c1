"""Numbers and names as MLflow takes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.history.values import Value, key, same_machine, values
from tests.support.nights import METRICS, evaluation, profile

FOUND = values(evaluation(), profile(), {m.name: m for m in METRICS})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("miou", Value(0.7, True, "", "evaluation", pytest.approx(0.68), pytest.approx(0.72))),
        ("control/miou", Value(0.71, True, "", "evaluation")),
        ("difference/miou", Value(pytest.approx(-0.01), True, "", "evaluation", -0.02, 0.001)),
        ("weather=fog/miou", Value(pytest.approx(0.6), True, "", "evaluation")),
        ("latency_p50_ms", Value(10.0, False, "ms", "profile", 9.9, 10.1)),
        ("latency_p99_ms", Value(12.0, False, "ms", "profile")),
        ("total_mean_ms", Value(10.1, False, "ms", "profile")),
        ("peak_memory_mib", Value(100.0, False, "MiB", "profile")),
        ("engine_memory_mib", Value(40.0, False, "MiB", "profile")),
        ("memory/pss", Value(90.0, False, "MiB", "profile")),
        ("size_mib", Value(3.0, False, "MiB", "profile")),
        ("speedup_p50", Value(2.0, True, "x", "profile")),
        ("control/latency_ms/p50", Value(20.0, None, "", "profile")),
        ("power/mean_w", Value(7.5, None, "", "profile")),
    ],
)
def test_every_number_has_a_name(name: str, expected: Value) -> None:
    assert FOUND[name] == expected


def test_what_is_no_number_stays_in_the_document() -> None:
    assert not {"power/samples", "power/locked", "latency_p999_ms", "infer_p50_ms"} & set(FOUND)
    assert "power/mean_w" not in values(evaluation(), None, {})
    assert values(evaluation(), None, {})["miou"].higher is None


@given(st.text(min_size=1, max_size=400))
def test_mlflow_takes_every_name(name: str) -> None:
    from mlflow.utils.validation import _validate_metric_name, _validate_param_name

    for made in (key(name), f"{key(name)}:high"):
        _validate_metric_name(made)
        _validate_param_name(made)
        assert len(made) <= 250
    assert key(name) == key(name)


@given(st.lists(st.text(st.characters(codec="ascii", exclude_characters="=_"), max_size=300), min_size=2, unique=True))
def test_different_names_stay_different(names: list[str]) -> None:
    assert len({key(name) for name in names if name}) == len([name for name in names if name])


def test_plain_names_are_left_alone() -> None:
    for name in ("miou", "iou/road", "latency_p50_ms", "straße"):
        assert key(name) == name
    assert key("weather=fog/miou") == "weather:fog/miou"


def test_the_load_of_a_machine_is_not_the_machine() -> None:
    assert same_machine(profile(10.0)) == same_machine(profile(11.0))
    assert same_machine(profile()) != same_machine(profile(cpu="two"))
    assert same_machine(None) == ""
