from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import onnx
import pytest
from pydantic import TypeAdapter, ValidationError

from edgekit import ladder
from edgekit.core.errors import MissingRequirement, SpecError
from edgekit.core.reports import CompressReport
from edgekit.core.variant import Changes
from edgekit.quantize.ptq import Config as PtqConfig
from edgekit.technique import Job, Link, Quantized, TechniqueConfig
from tests.support.benches import CountingBench, frames, uneven

PER_TENSOR = PtqConfig(weights="per-tensor", calibrator="minmax")


def climb(source: Path, slower: float = 0.0, refused: str = "", **settings: Any) -> tuple[Quantized, CompressReport]:
    bench = CountingBench(source, frames()[0], slower=slower, refused=refused)
    found = ladder.apply(Job(source, frames(), bench=bench), ladder.Config(**settings))
    report = TypeAdapter(CompressReport).validate_json(found.files["report.json"])
    assert json.loads(json.dumps(found.record)) == found.record
    return found, report


def test_stops_at_the_first_rung_that_holds(tmp_path: Path) -> None:
    found, report = climb(uneven(tmp_path / "m.onnx", bad=()), max_drop=0.2)
    assert [rung.name for rung in report.rungs] == ["fp32", "fp16", "ptq percentile"]
    assert [rung.verdict for rung in report.rungs] == ["control", "rejected", "meets"]
    assert report.chosen == found.record["rung"] == "ptq percentile"
    assert found.precision == "int8"
    assert "sensitivity.png" not in found.files


def test_climbs_to_mixed_precision_and_names_the_layers_to_blame(tmp_path: Path) -> None:
    found, report = climb(uneven(tmp_path / "m.onnx"), max_drop=0.1, ptq=PER_TENSOR)
    last = report.rungs[-1]
    assert (last.name, last.verdict, report.chosen) == ("mixed precision", "meets", "mixed precision")
    assert report.layers[0].node == "Conv_c2"
    assert report.excluded == ("Conv_c2",)
    assert "in float: Conv_c2 (Conv)" in last.reason
    assert found.files["sensitivity.png"].startswith(b"\x89PNG")
    rejected = [rung for rung in report.rungs if rung.name.startswith("ptq")]
    assert rejected
    for rung in rejected:
        assert rung.verdict == "rejected"
        assert "loses" in rung.reason
        assert "allowed 0.1" in rung.reason
        assert rung.latency_ms is not None
        assert rung.size_mib is not None


def test_int8_that_is_not_faster_is_rejected_and_said_so(tmp_path: Path) -> None:
    found, report = climb(uneven(tmp_path / "m.onnx", bad=()), slower=100.0, max_drop=0.9)
    assert report.chosen == "fp32"
    assert found.precision == "fp32"
    assert found.model == (tmp_path / "m.onnx").read_bytes()
    integer = [rung for rung in report.rungs if rung.precision == "int8"]
    assert integer
    assert all("not faster than the fp32 control" in rung.reason for rung in integer)


def test_an_engine_that_the_build_would_refuse_is_no_answer(tmp_path: Path) -> None:
    _, report = climb(uneven(tmp_path / "m.onnx", bad=()), refused="a layer does not compute", max_drop=0.2)
    assert report.chosen == "fp32"
    integer = [rung for rung in report.rungs if rung.precision == "int8"]
    assert integer
    assert all(rung.verdict == "rejected" and "a layer does not compute" in rung.reason for rung in integer)


def test_a_rung_that_the_processor_does_not_compute_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO refuses float16 where the processor has none."""

    def accuracy(self: CountingBench, model: bytes, real: Any = CountingBench.accuracy) -> float:
        weights = onnx.load_from_string(model).graph.initializer
        if any(weight.data_type == onnx.TensorProto.FLOAT16 for weight in weights):
            raise MissingRequirement("fp16 arithmetic", note="take another")
        found: float = real(self, model)
        return found

    monkeypatch.setattr(CountingBench, "accuracy", accuracy)
    _, report = climb(uneven(tmp_path / "m.onnx", bad=()), max_drop=0.2)
    assert report.chosen == "ptq percentile"
    half = report.rungs[1]
    assert (half.name, half.verdict, half.accuracy) == ("fp16", "rejected", None)
    assert "fp16 arithmetic is not available" in half.reason


def test_a_floor_that_nothing_holds_gives_the_control(tmp_path: Path) -> None:
    found, report = climb(uneven(tmp_path / "m.onnx"), max_drop=0.0, ptq=PER_TENSOR)
    assert (report.chosen, found.precision) == ("fp32", "fp32")
    assert report.rungs[-1].name == "mixed precision"
    assert report.excluded == ()


def test_without_a_bench(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"method auto measures on the target: give data\.validation"):
        ladder.apply(Job(uneven(tmp_path / "m.onnx"), frames()), ladder.Config(max_drop=0.1))


def test_a_training_rung_without_frames_is_refused_before_the_climb(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"the qat rung trains on data\.training, which is missing"):
        climb(uneven(tmp_path / "m.onnx"), max_drop=0.1, qat={"method": "qat"})


def behind(tmp_path: Path, settings: dict[str, Any], layers: dict[str, int], bad: tuple[int, ...] = ()) -> Any:
    """A climb whose steps leave networks of so many layers, of the seven that there are; and the links it took."""
    source, taken = uneven(tmp_path / "m.onnx", bad=bad, layers=7), []
    bench = CountingBench(source, frames()[0])
    bench.accuracy = lambda model: 1.0 if bad == () else 0.0  # type: ignore[method-assign]
    job = Job(source, frames(), bench=bench)

    def after(links: Sequence[Link]) -> Job:
        taken.append(tuple((link.kind, dict(link.chosen)) for link in links))
        return replace(job, source=uneven(tmp_path / "pruned.onnx", bad=(), layers=layers[links[-1].kind]))

    found = ladder.apply(replace(job, after=after), ladder.Config.model_validate(settings))
    return found, TypeAdapter(CompressReport).validate_json(found.files["report.json"]), taken


@pytest.fixture
def pruning(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Settings of a ladder that may prune, with a technique that is not here."""

    class Pruned(TechniqueConfig):
        changes: ClassVar[Changes] = "function"
        speedup: float

    module = SimpleNamespace(Config=Pruned, __name__="toy")
    monkeypatch.setattr("edgekit.core.plugins.names", lambda kind: ("toy",) if kind == "prune" else ("ptq",))
    monkeypatch.setattr("edgekit.core.plugins.load", lambda kind, name: module)
    return {"max_drop": 0.5, "prune": {"method": "toy"}}


def test_what_quantizing_does_not_reach_is_pruned_for(tmp_path: Path, pruning: dict[str, Any]) -> None:
    found, report, taken = behind(tmp_path, pruning | {"speedup": 10.0}, {"prune": 3})
    assert report.chosen == report.rungs[-1].name == "prune 2x + ptq percentile"  # 7 layers: 35 ms, 7 ms in INT8
    assert report.rungs[-1].verdict == "meets"
    assert found.links == (("prune", {"speedup": 2.0}),)
    assert taken == [(("prune", {"speedup": 2.0}),)] * 2  # in float, and in INT8: the steps themselves are kept
    assert report.waterfall == ("fp32", "prune 2x", "prune 2x + ptq percentile")


def test_pruned_again_for_what_the_first_chain_lacked(tmp_path: Path, pruning: dict[str, Any]) -> None:
    found, report, taken = behind(tmp_path, pruning | {"speedup": 10.0}, {"prune": 5})
    assert [factor["speedup"] for ((_, factor),) in taken[::2]] == [2.0, 2.86]
    assert report.chosen == "prune 2x + ptq percentile"  # the fastest that holds the floor, 7x
    assert "10x is wanted" in report.rungs[-1].reason
    assert found.precision == "int8"


def test_a_wanted_speedup_that_quantizing_reaches_prunes_nothing(tmp_path: Path, pruning: dict[str, Any]) -> None:
    _, report, taken = behind(tmp_path, pruning | {"speedup": 4.0}, {})
    assert (report.chosen, taken, report.waterfall) == ("ptq percentile", [], ("fp32", "ptq percentile"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prune": {"method": "channels"}}, "prune needs speedup"),
        ({"distill": TechniqueConfig(method="toy"), "speedup": 2.0}, "distill follows prune"),
    ],
)
def test_half_a_chain_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ladder.Config.model_validate({"max_drop": 0.1} | settings)
