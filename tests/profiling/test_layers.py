"""Layer times: sums, shares, nesting, tables and trees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.core.errors import DataError, InputError
from edgekit.core.reports import LayerTime
from edgekit.engine import LayerEvent, LayerTensor, ort
from edgekit.profiling import layers
from tests.support.recorded_layers import PRECISIONS, events

FLOATS = LayerTensor("float32", (1, 4))
IMAGE = {"image": np.zeros((1, 3, 32, 48), np.float32)}


def event(name: str, query: int, start: float, duration: float, **more: object) -> LayerEvent:
    return LayerEvent(name, "Add", query, start, duration, (FLOATS,), (FLOATS,), **more)  # type: ignore[arg-type]


def layer(node: str, module: str, ms: float, op: str = "Conv") -> LayerTime:
    return LayerTime(node, op, module, "float32", ms, 0.1)


@given(st.lists(st.lists(st.integers(0, 10**6), min_size=3, max_size=3), min_size=1, max_size=6))
def test_mean_per_query_and_shares(durations: list[list[int]]) -> None:
    recorded = []
    for query, row in enumerate(durations):
        start = query * 10.0**8
        for name, duration in zip("abc", row, strict=True):
            recorded.append(event(name, query, start, duration))
            start += duration
    found = layers.summarise_layers(recorded)
    means = dict(zip("abc", np.mean(durations, axis=0) / 1e3, strict=True))
    assert {entry.node: entry.ms for entry in found} == pytest.approx(means)
    assert [entry.ms for entry in found] == sorted((entry.ms for entry in found), reverse=True)
    assert sum(entry.share for entry in found) == pytest.approx(1.0 if np.sum(durations) else 0.0)


def test_a_layer_that_runs_others_counts_its_own_time() -> None:
    recorded = [
        event("loop", 0, 0, 100),
        event("body", 0, 10, 30),
        event("body", 0, 50, 30),
        event("inner", 0, 55, 5),
        event("other thread", 0, 20, 50, thread=1),
        event("next", 0, 100, 7),
    ]
    found = {entry.node: entry.ms * 1e3 for entry in layers.summarise_layers(recorded)}
    assert found == pytest.approx({"loop": 40, "body": 55, "inner": 5, "other thread": 50, "next": 7})


def test_source_nodes_name_the_layer_unless_two_share_them() -> None:
    recorded = [event("k1", 0, 0, 3, nodes=("conv", "relu"), module="stem"), event("k2", 0, 3, 2, nodes=("q",))]
    recorded.append(event("k3", 0, 5, 1, nodes=("q",)))
    found = layers.summarise_layers(recorded)
    assert [(entry.node, entry.fused, entry.module) for entry in found] == [
        ("conv", ("relu",), "stem"),
        ("k2", ("q",), ""),
        ("k3", ("q",), ""),
    ]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_recorded_profile(precision: str) -> None:
    recorded = events(precision)
    found = layers.summarise_layers(recorded)
    assert sum(entry.ms for entry in found) == pytest.approx(sum(e.duration_us for e in recorded) / 2 / 1e3)
    assert {entry.module for entry in found if "Conv" in entry.op} == {"stem.0", "body", "head"}
    extra = layers.overhead(found)
    assert extra["layout"].layers == {"fp32": 3, "int8": 2}[precision]
    assert extra["quantization"].layers == {"fp32": 0, "int8": 2}[precision]
    chosen = [entry for entry in found if entry.op in {"QuantizeLinear", "DequantizeLinear"}]
    assert extra["quantization"].ms == pytest.approx(sum(entry.ms for entry in chosen))
    operators = layers.by_operator(found)
    assert sum(group.share for group in operators) == pytest.approx(1)
    assert sum(group.layers for group in operators) == len(found)


def test_tree_adds_up() -> None:
    found = layers.tree(
        [layer("a", "stem.0", 1), layer("b", "stem.1.act", 2), layer("c", "", 4), layer("d", "stem", 8)]
    )
    values = dict(zip(found["ids"], found["values"], strict=True))
    parents = dict(zip(found["ids"], found["parents"], strict=True))
    assert values["model"] == 15
    assert values["model/stem"] == 11
    assert values["model/stem.1"] == values["model/stem.1.act"] == 2
    seen = {""}
    for place, parent in parents.items():
        assert parent in seen  # parents come first
        seen.add(place)
        children = [values[other] for other, above in parents.items() if above == place]
        assert not children or sum(children) == pytest.approx(values[place])
    assert dict(zip(found["ids"], found["labels"], strict=True))["model/stem.1"] == "1"


@pytest.mark.parametrize("precision", PRECISIONS)
def test_tree_of_a_recording_has_a_leaf_for_every_layer(precision: str) -> None:
    summary = layers.summarise_layers(events(precision))
    found = layers.tree(summary)
    assert len(set(found["ids"])) == len(found["ids"])
    assert len(set(found["ids"]) - set(found["parents"])) == len(summary)
    assert found["values"][0] == pytest.approx(sum(entry.ms for entry in summary))


def test_rows() -> None:
    recorded = [layer(f"n{i}", "", float(i)) for i in range(1, 6)]
    recorded.append(LayerTime("m", "Conv", "stem.0", "uint8", 10.0, 0.5, flops=2 * 10**9, bytes=4, bound="compute"))
    table = layers.rows(recorded, top=2)
    assert table[0] == ("stem.0", "Conv", "uint8", "10.000", "50.0%", "200.0", "compute")
    assert table[1][0] == "n5"
    assert table[2] == ("4 more", "", "", "10.000", "40.0%", "", "")
    assert len(layers.rows(recorded, top=6)) == 6
    assert {len(row) for row in table} == {len(layers.COLUMNS)}


def test_live_warm_up_does_not_count(tiny_bundle: Path) -> None:
    source = tiny_bundle / "models" / "int8.onnx"
    with ort.Backend(ort.Config(engine="ort")).engine(tiny_bundle / "engines" / "int8.ort.onnx") as engine:
        recorded = layers.layer_events(engine, IMAGE, 4, source, warmup=2)
        found = layers.layer_times(engine, IMAGE, 2, source)
    assert [e.query for e in recorded] == sorted(e.query for e in recorded)
    assert {e.query for e in recorded} == {0, 1, 2, 3}
    assert {entry.module for entry in found} >= {"stem.0", "body", "head"}
    assert sum(entry.share for entry in found) == pytest.approx(1)


def test_bad_input() -> None:
    with pytest.raises(DataError, match="without events"):
        layers.summarise_layers([])
    with pytest.raises(InputError, match="0 queries after 5"):
        layers.layer_events(object(), {}, 0)  # type: ignore[arg-type]
