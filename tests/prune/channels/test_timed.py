"""Pruning for a wanted speed-up, on a bench that counts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edgekit.core.errors import ModelError, SpecError
from edgekit.prune import channels
from edgekit.technique import Changed, Job
from tests.support.counted_bench import CountedBench, counted_job

pytest.importorskip("torch_pruning", reason="torch-pruning is not installed")


def config(**given: Any) -> channels.Config:
    return channels.Config(**({"method": "channels", "round_to": 4, "engines": 8} | given))


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return counted_job("segmenter", tmp_path_factory.mktemp("segmenter"))


@pytest.fixture(scope="module")
def made(job: Job) -> Changed:
    return channels.apply(job, config(speedup=1.6))


def ms(job: Job, model: bytes) -> float:
    assert isinstance(job.bench, CountedBench)
    return job.bench.milliseconds(model)


def test_the_engine_is_as_fast_as_asked(job: Job, made: Changed) -> None:
    before, after = ms(job, job.source.read_bytes()), ms(job, made.model)
    record = made.change.record
    assert 1.6 <= before / after < 2.0
    assert record["speedup"] == pytest.approx(before / after, rel=1e-3)
    last = record["attempts"][-1]
    assert last["unpruned_ms"] == pytest.approx(before, rel=1e-3)
    assert abs(last["error"]) < 0.05
    assert record["table"]["median_error"] < 0.05
    assert record["table"]["engines"] >= 8
    assert json.loads(json.dumps(record)) == record


def test_each_group_has_its_milliseconds_and_cost(made: Changed) -> None:
    groups = made.change.record["groups"]
    assert sum(one["ms_after"] for one in groups) < sum(one["ms_before"] for one in groups)
    for one in groups:
        assert (one["cost"] > 0) is (one["after"] < one["before"])


class Cliff(CountedBench):
    """Engines below two thirds of the time take a tenth longer than their layers say."""

    def milliseconds(self, model: bytes) -> float:
        counted = super().milliseconds(model)
        return counted * (1.1 if counted < 11.5 * 2 / 3 else 1.0)


def test_a_choice_that_missed_is_made_again(job: Job) -> None:
    bench = Cliff()
    found = channels.apply(replace(job, scratch=None, bench=bench), config(speedup=1.6))
    record = found.change.record
    assert bench.milliseconds(job.source.read_bytes()) / bench.milliseconds(found.model) >= 1.6
    assert record["attempts"][0]["measured_ms"] > record["attempts"][0]["unpruned_ms"] / 1.6
    assert 2 <= len(record["attempts"]) <= 5


def test_a_group_of_one_step_stays(job: Job) -> None:
    found = channels.apply(replace(job, scratch=None, bench=CountedBench(block=16)), config(speedup=1.2, round_to=16))
    after = {one["layers"][0]: one["after"] for one in found.change.record["groups"]}
    assert (after["stem.0"], after["refine.0"]) == (16, 16)
    assert {after["down.0"], after["wide"]} <= {16, 24}
    assert min(after.values()) == 16


def test_int8_engines(job: Job) -> None:
    """The goal is that of the engines whose pairs are placed, and their table is another."""

    def placed(model: bytes) -> bytes:
        """One layer takes as long as ever in INT8, all others a quarter."""
        layers = json.loads(model)
        return json.dumps([[positions / 4, *rest] for positions, *rest in layers[:-1]] + layers[-1:]).encode()

    assert job.scratch is not None
    asked = replace(job, placed=placed, scratch=job.scratch.parent.parent / "int8" / "one")
    found = channels.apply(asked, config(speedup=1.4, precision="int8"))
    before, after = (ms(job, placed(model)) for model in (job.source.read_bytes(), found.model))
    assert 1.4 <= before / after < 1.75
    assert found.change.record["attempts"][-1]["unpruned_ms"] == pytest.approx(before, rel=1e-3)
    channels.apply(replace(asked, scratch=asked.scratch.parent / "two"), config(speedup=1.4))
    assert len(list(asked.scratch.parent.glob("latency-*.json"))) == 2


def test_a_budget(job: Job) -> None:
    found = channels.apply(replace(job, scratch=None), config(budget_ms=6.0))
    assert 5.0 < ms(job, found.model) <= 6.0


def test_the_table_is_measured_once_for_a_machine(job: Job, made: Changed) -> None:
    assert job.scratch is not None
    assert isinstance(job.bench, CountedBench)
    assert len(list(job.scratch.parent.glob("latency-*.json"))) == 1
    count = len(job.bench.timed)
    other = replace(job, scratch=job.scratch.parent / "two")
    channels.apply(other, config(speedup=1.6))
    assert len(job.bench.timed) - count <= 2 * 5, "only what is chosen is measured"
    count = len(job.bench.timed)
    channels.apply(replace(other, scratch=job.scratch.parent / "three", machine="other"), config(speedup=1.6))
    assert len(job.bench.timed) - count >= 2 * 8
    assert len(list(job.scratch.parent.glob("latency-*.json"))) == 2


def test_a_killed_step_goes_on_with_the_same_widths(job: Job, made: Changed) -> None:
    """Times are not the same twice: what was chosen is kept."""
    again = channels.apply(replace(job, bench=CountedBench(block=16)), config(speedup=1.6))
    assert again.change.weights == made.change.weights
    assert again.change.record == made.change.record


def test_out_of_reach(job: Job) -> None:
    message = r"speedup 30 is not reached: with every group at its narrowest \(max_ratio 0.75\).* 6.51x as fast"
    with pytest.raises(ModelError, match=message):
        channels.apply(replace(job, scratch=None), config(speedup=30.0))


def test_reached_already(job: Job) -> None:
    with pytest.raises(SpecError, match=r"budget_ms 100 asks for nothing: the engine takes 11.5 ms as it is"):
        channels.apply(replace(job, scratch=None), config(budget_ms=100.0))


def test_without_a_bench(job: Job) -> None:
    with pytest.raises(SpecError, match=r"speedup 2 measures on the target: give data\.validation"):
        channels.apply(replace(job, bench=None), config(speedup=2.0))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "give exactly one of ratio, speedup, budget_ms; found none"),
        ({"ratio": 0.5, "speedup": 2.0}, "found ratio, speedup"),
        (
            {"ratio": 0.5, "precision": "int8"},
            "precision: int8 is of engines that are timed; give speedup or budget_ms",
        ),
        ({"speedup": 1.0}, "greater than 1"),
        ({"budget_ms": 0.0}, "greater than 0"),
        ({"speedup": 2.0, "scope": "global"}, "scope: global goes with ratio; speedup chooses the width"),
        ({"speedup": 2.0, "engines": 4}, "greater than or equal to 8"),
    ],
)
def test_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config(**given)


def test_only_a_ratio_needs_no_bench() -> None:
    assert not config(ratio=0.5).measures
    assert config(speedup=2.0).measures
    assert config(budget_ms=2.0).measures


def test_iterations_end_on_the_chosen_widths(job: Job, made: Changed, tmp_path: Path) -> None:
    quick = {"steps": 1, "batch": 2, "validate_every": 1, "device": "cpu"}
    examples = [(feeds, None) for feeds in job.frames]
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    assert job.scratch is not None
    (scratch / "prune-choice.json").write_text((job.scratch / "prune-choice.json").read_text())
    found = channels.apply(
        replace(job, examples=examples, scratch=scratch),
        config(speedup=1.6, iterations=2, training=quick, loss="teacher"),
    )
    after = [one["after"] for one in found.change.record["groups"]]
    assert after == [one["after"] for one in made.change.record["groups"]]
    assert len(found.change.record["rounds"]) == 2
