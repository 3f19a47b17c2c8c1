"""The load generator's order and counts on recording engines; memory in real processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit.bundle import open_bundle
from edgekit.core.errors import CheckFailed, InputError
from edgekit.core.tensors import Array, Arrays, TensorSpec
from edgekit.data import Sample
from edgekit.engine import Engine, ort
from edgekit.profiling import Load, machine, measure_latency, measure_memory, summarise
from tests.graphs import node, write


class Recorder(Engine):
    """Writes its name into a shared list at every query."""

    def __init__(self, name: str, calls: list[str]) -> None:
        self.name, self.calls = name, calls

    def activate(self) -> None:
        self.inputs = self.outputs = (TensorSpec("x", (1,)),)

    def infer_impl(self, feeds: Arrays) -> dict[str, Array]:
        self.calls.append(self.name)
        return dict(feeds)

    def deactivate(self) -> None:
        pass

    def describe(self) -> dict[str, Any]:
        return {}


class Prepared:
    feeds = {"x": np.zeros(1, np.float32)}  # noqa: RUF012
    geometry = None


class Decoder:
    def decode(self, outputs: Arrays, geometry: object) -> Arrays:
        return outputs


def run(queries: int, warmup: int) -> tuple[list[str], Any, int]:
    calls: list[str] = []
    rounds = 0

    def advance() -> None:
        nonlocal rounds
        rounds += 1

    with Recorder("a", calls) as a, Recorder("b", calls) as b:
        samples = [Sample("s", {})]
        preprocess: Any = lambda images: Prepared  # noqa: E731
        decoder: Any = Decoder()
        latency = measure_latency({"a": a, "b": b}, samples, preprocess, decoder, Load(queries, warmup), advance)
    return calls, latency, rounds


def test_engines_take_turns_and_warm_up_does_not_count() -> None:
    calls, latency, rounds = run(queries=100, warmup=3)
    assert rounds == 103
    assert calls[:8] == ["a", "b", "b", "a", "a", "b", "b", "a"]
    assert calls.count("a") == calls.count("b") == 103
    for stages in latency.values():
        assert set(stages) == {"pre", "infer", "post", "total"}
        assert all(stage.samples == 100 for stage in stages.values())
        parts = sum(stages[name].mean for name in ("pre", "infer", "post"))
        assert stages["total"].mean == pytest.approx(parts, rel=1e-6)


def test_percentiles() -> None:
    latency = summarise(np.arange(1.0, 102.0))
    assert (latency.p50, latency.p90, latency.p99, latency.mean, latency.samples) == (51.0, 91.0, 100.0, 51.0, 101)


@pytest.mark.parametrize(
    ("queries", "warmup", "words"),
    [(20, 5, "20 queries cannot show a 99th percentile; use at least 100"), (100, 0, "warmup is 0; at least 1")],
)
def test_too_little_load(queries: int, warmup: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Load(queries, warmup)


def test_memory_of_an_engine(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    config = bundle.contents.engine.model_dump(mode="json")
    feeds = {"image": np.zeros((1, 3, 32, 48), np.float32)}
    memory = measure_memory("ort", bundle.path / bundle.contents.candidate.file, config, feeds)
    assert memory["peak_rss"] == pytest.approx(memory["imports"] + memory["engine"])
    assert memory["imports"] > 20  # Python, NumPy and ONNX Runtime
    assert 0 < memory["engine"] < 100


def test_memory_of_an_engine_counts_its_weights(tmp_path: Path) -> None:
    weight = np.ones((2048, 6144), np.float32)
    nodes = [node("MatMul", "x w", "y")]
    inputs, outputs = [("x", (1, 2048), "float32")], [("y", (1, 6144), "float32")]
    engine = tmp_path / "big.ort.onnx"
    ort.build(write(tmp_path / "m.onnx", nodes, inputs, outputs, {"w": weight}), engine, ort.Config(engine="ort"))
    memory = measure_memory("ort", engine, {"engine": "ort"}, {"x": np.ones((1, 2048), np.float32)}, queries=2)
    assert 0.9 * weight.nbytes / 2**20 < memory["engine"] < 4 * weight.nbytes / 2**20


def test_memory_process_that_dies_is_reported(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    config = bundle.contents.engine.model_dump(mode="json")
    with pytest.raises(CheckFailed, match=r"memory of int8.ort.onnx ended with 1: .*missing input 'image'"):
        measure_memory("ort", bundle.path / bundle.contents.candidate.file, config, {})


def test_profile_of_a_bundle(tiny_bundle: Path) -> None:
    report = edgekit.profile(tiny_bundle, Load(100, 2))
    assert report.engine == "engines/int8.ort.onnx"
    assert report.control is not None
    assert report.control["engine"] == "engines/fp32.ort.onnx"
    assert report.speedup_p50 == pytest.approx(report.control["latency_ms"]["p50"] / report.latency_ms.p50)
    assert report.latency_ms == report.stages_ms["infer"]
    assert report.size_mib == pytest.approx((tiny_bundle / report.engine).stat().st_size / 2**20)
    assert report.settings["queries"] == 100
    assert report.settings["provider"] == "CPUExecutionProvider"


def test_machine_is_described() -> None:
    facts = machine()
    assert facts["cpus"] >= 1
    assert facts["cpu"] != ""
