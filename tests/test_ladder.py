from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from edgekit import ladder
from edgekit.core.errors import SpecError
from edgekit.core.reports import CompressReport
from edgekit.quantize.ptq import Config as PtqConfig
from edgekit.technique import Job, Quantized
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
