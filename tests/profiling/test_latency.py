"""The load generator's order and counts on recording engines."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit.core.errors import InputError
from edgekit.core.tensors import Array, Arrays, TensorSpec
from edgekit.data import Sample
from edgekit.engine import Chain, Engine
from edgekit.profiling import (
    ConstantStream,
    Load,
    Offline,
    SingleStream,
    Timed,
    drive,
    machine,
    measure_latency,
    minimum_queries,
    p50_ratio,
    summarise,
    time_inference,
)
from edgekit.profiling.latency import neighbours_correlation
from edgekit.profiling.scenarios import Scenario
from edgekit.stages.measure import ProfileOptions
from edgekit.stats.openings import percentile_interval


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


preprocess: Any = lambda images, frame="": Prepared  # noqa: E731
decoder: Any = Decoder()


class Accelerated(Recorder):
    def parts_ms(self) -> dict[str, float]:
        return {"enqueue": 0.5, "device": float(len(self.calls))}


def run(load: Load) -> tuple[list[str], Timed, int]:
    calls: list[str] = []
    rounds = 0

    def advance() -> None:
        nonlocal rounds
        rounds += 1

    @contextlib.contextmanager
    def opened() -> Iterator[dict[str, Chain]]:
        calls.append("open")
        with Recorder("a", calls) as a, Recorder("b", calls) as b:
            yield {"a": Chain(preprocess, a, decoder), "b": Chain(preprocess, b, decoder)}

    timed = measure_latency(opened, [Sample("s", {})], load, advance)
    return calls, timed, rounds


def test_parts_of_an_accelerator() -> None:
    calls: list[str] = []

    @contextlib.contextmanager
    def opened() -> Iterator[dict[str, Chain]]:
        with Accelerated("a", calls) as a, Recorder("b", []) as b:
            yield {"a": Chain(preprocess, a, decoder), "b": Chain(preprocess, b, decoder)}

    timed = measure_latency(opened, [Sample("s", {})], Load(100, 1, 1))
    assert list(timed.stages["a"]) == ["pre", "infer", "post", "total", "enqueue", "device"]
    assert list(timed.stages["b"]) == ["pre", "infer", "post", "total"]
    assert timed.stages["a"]["enqueue"].p50 == pytest.approx(0.5)
    assert timed.stages["a"]["device"].p50 == pytest.approx(np.median(np.arange(2, 102)))


def test_engines_take_turns_and_warm_up_does_not_count() -> None:
    load = Load(queries=100, warmup=3, openings=1)
    calls, timed, rounds = run(load)
    assert rounds == load.rounds == 103
    assert calls[:9] == ["open", "a", "b", "b", "a", "a", "b", "b", "a"]
    assert calls.count("a") == calls.count("b") == 103
    for name, stages in timed.stages.items():
        assert timed.infer_ms[name].shape == (100,)
        assert stages["infer"] == summarise(timed.infer_ms[name])
        assert set(stages) == {"pre", "infer", "post", "total"}
        assert all(stage.samples == 100 for stage in stages.values())
        parts = sum(stages[name].mean for name in ("pre", "infer", "post"))
        assert stages["total"].mean == pytest.approx(parts, rel=1e-6)


def test_engines_are_opened_again_and_settle_each_time() -> None:
    load = Load(queries=101, warmup=10, openings=7)
    calls, timed, rounds = run(load)
    assert load.each == 15
    assert rounds == load.rounds == 7 * 15 + 10 + 6 * 4
    assert calls.count("open") == timed.openings == 7
    assert calls.index("open", 1) == 1 + 2 * 25
    assert timed.infer_ms["a"].shape == (105,)
    ends = percentile_interval(timed.infer_ms["a"].tolist(), 0.5, 0.95, 7)
    assert timed.stages["a"]["infer"].intervals["p50"] == ends


def test_openings_go_on_until_p99_has_an_interval_or_there_are_enough() -> None:
    """100 to 300 queries never have one; 20 times as many of equal engines do."""
    few, fixed = Load(queries=100, warmup=1, openings=5, most=3), Load(queries=100, warmup=1, openings=5)
    assert run(few)[1].openings == 15
    assert run(fixed)[1].openings == 5
    calls, timed, _ = run(Load(queries=2000, warmup=1, openings=100, most=40))
    assert 100 <= timed.openings < 4000
    assert calls.count("open") == timed.openings
    assert timed.infer_ms["a"].shape == (20 * timed.openings,)
    p99 = timed.stages["a"]["infer"].intervals["p99"]
    assert None not in (p99.low, p99.high)


def test_load_has_a_bound_for_p99_by_default() -> None:
    assert Load().queries >= minimum_queries(0.99)


def test_inference_alone() -> None:
    calls: list[str] = []
    with Recorder("a", calls) as a, Recorder("b", calls) as b:
        latency = time_inference({"a": a, "b": b}, Prepared.feeds, queries=20, warmup=2)
    assert calls == ["a", "b", "b", "a"] * 11
    assert [latency[name].samples for name in ("a", "b")] == [20, 20]


@pytest.mark.parametrize("scenario", [SingleStream(40, 5), ConstantStream(200, 40, 5), Offline(40, 5)])
def test_drive_runs_the_whole_pipeline(scenario: Scenario) -> None:
    calls: list[str] = []
    with Recorder("a", calls) as engine:
        driven = drive(scenario, Chain(preprocess, engine, decoder), [Sample(str(i), {}) for i in range(3)])
    assert len(calls) == 40 + driven.traffic.warmup
    assert driven.infer_ms.shape == (40,)
    assert driven.stages["infer"] == summarise(driven.infer_ms)
    assert driven.stages["total"].mean >= sum(driven.stages[s].mean for s in ("pre", "infer", "post"))
    assert driven.traffic.queries == 40
    assert driven.traffic.throughput_hz > 0
    paced = scenario.name == "constant-stream"
    for name in ("rate_hz", "rate_kept_hz", "late", "late_share", "queueing_p50_ms", "queueing_p99_ms"):
        assert (getattr(driven.traffic, name) is not None) == paced
    if paced:
        assert driven.traffic.rate_hz == 200
        assert driven.traffic.late_share == driven.traffic.late / 40


def test_drive_counts_total_from_when_a_frame_was_due() -> None:
    def slow(images: object) -> type[Prepared]:
        time.sleep(0.004)
        return Prepared

    calls: list[str] = []
    slow_step: Any = slow
    with Recorder("a", calls) as engine:
        chain = Chain(slow_step, engine, decoder)
        driven = drive(ConstantStream(1000, 40, 1, max_warmup=20), chain, [Sample("s", {})])
    # 40 frames of at least 4 ms that come every millisecond: the last waits for at least 39 * 3 ms.
    assert driven.traffic.late == 39
    assert driven.traffic.rate_kept_hz < 250
    assert driven.traffic.queueing_p99_ms > 110
    assert driven.stages["total"].p99 > 110 > driven.stages["infer"].p50


def test_speedup_interval_is_of_control_over_candidate(tiny_bundle: Path) -> None:
    report = edgekit.profile(tiny_bundle, ProfileOptions(Load(100, 1, 10)))
    assert report.control is not None
    control, candidate = (report.times_ms[name] for name in (report.control.engine, report.engine))
    assert report.speedup_interval is not None
    expected = p50_ratio(control, candidate, 0.95, 10)  # from times to the microsecond
    assert report.speedup_interval.low == pytest.approx(expected.low, rel=1e-2)
    assert report.speedup_interval.high == pytest.approx(expected.high, rel=1e-2)
    assert report.speedup_p50 == pytest.approx(np.median(control) / np.median(candidate), rel=1e-2)
    assert report.noise is not None
    assert report.noise.low is not None
    assert report.noise.high is not None
    assert report.noise.low < report.noise.high


def test_percentiles() -> None:
    latency = summarise(np.arange(1.0, 102.0))
    assert (latency.p50, latency.p90, latency.p99, latency.mean, latency.samples) == (51.0, 91.0, 100.0, 51.0, 101)


@pytest.mark.parametrize(
    ("queries", "warmup", "words"),
    [(20, 5, "20 queries cannot show a 99th percentile; use at least 100"), (100, 0, "warmup is 0; at least 1")],
)
def test_too_little_load(queries: int, warmup: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Load(queries, warmup, 1)


def test_profile_of_a_bundle(tiny_bundle: Path) -> None:
    report = edgekit.profile(tiny_bundle, ProfileOptions(Load(100, 2, 5)))
    assert report.engine == "engines/int8.ort.onnx"
    assert report.control is not None
    assert report.control.engine == "engines/fp32.ort.onnx"
    assert report.speedup_p50 == pytest.approx(report.control.latency_ms.p50 / report.latency_ms.p50)
    assert report.latency_ms == report.stages_ms["infer"]
    assert report.size_mib == pytest.approx((tiny_bundle / report.engine).stat().st_size / 2**20)
    assert report.settings.queries == 100
    assert report.settings.provider == "CPUExecutionProvider"


def test_machine_is_described() -> None:
    facts = machine()
    assert facts.cpus is not None
    assert facts.cpus >= 1
    assert facts.cpu != ""


@pytest.mark.parametrize(
    ("late", "expected"),
    [
        ("000000", None),
        ("011111", None),
        ("010000", -0.2),
        ("00000000001111111111", 0.85),
    ],
)
def test_bursts_of_late_queries_show_as_correlation(late: str, expected: float | None) -> None:
    found = neighbours_correlation(np.array([letter == "1" for letter in late]))
    assert found == (expected if expected is None else pytest.approx(expected, abs=0.15))
