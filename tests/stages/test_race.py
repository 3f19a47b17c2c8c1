"""INT8 against its control when it is built: over the simulated device, in the real runtime, and in what is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import edgekit
from edgekit.core.golden import Golden
from edgekit.core.progress import Silent
from edgekit.core.reports import ControlProfile, Interval, Latency, ProfileReport, Race, Settings
from edgekit.engine import ort, trt
from edgekit.stages import race as racing
from edgekit.stages.typed import TypedModel
from edgekit.stats.faster import EACH, OPENINGS, SETTLING
from tests.support import shell
from tests.support.fake_trt import VERSIONS
from tests.support.graphs import convnet
from tests.support.trt_bench import Bench, machine

X = np.arange(4, dtype=np.float32).reshape(1, 4)
GOLDEN = Golden(({"x": X},))
CONFIG = trt.Config(engine="trt")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return machine(VERSIONS[0], tmp_path, monkeypatch)


def engine_of(bench: Bench, precision: str) -> Path:
    made = bench.engine().path
    for file in (made, made.with_name(f"{made.name}.json")):
        file.rename(file.with_name(file.name.replace("model", precision)))
    return made.with_name(f"{precision}.engine")


def models(*precisions: str, golden: Golden = GOLDEN) -> list[TypedModel]:
    """What engines of these precisions were made from."""
    return [TypedModel(name, name, Path(f"{name}.onnx"), golden) for name in precisions]


def test_int8_and_its_control_run_in_turn_and_are_opened_anew(bench: Bench) -> None:
    engines = {precision: engine_of(bench, precision) for precision in ("int8", "fp16")}
    found = racing.race(trt.Backend(CONFIG), engines, models("int8", "fp16"), Silent())
    assert found is not None
    assert (found.by, found.control, found.queries, found.openings) == ("edgekit", "fp16", OPENINGS * EACH, OPENINGS)
    assert found.speedup_p50 == found.control_p50_ms / found.p50_ms
    assert bench.gpu.calls["cudaGraphLaunch"] == 2 * OPENINGS * (EACH + SETTLING)


def test_without_int8_there_is_nothing_to_race(bench: Bench) -> None:
    engine = engine_of(bench, "fp16")
    assert racing.race(trt.Backend(CONFIG), {"fp16": engine, "fp32": engine}, models("fp16", "fp32"), Silent()) is None


class Simulated(trt.Backend):
    """Its times say nothing."""

    int8_races = False


def test_where_times_say_nothing_nobody_races() -> None:
    never_opened = {precision: Path(f"{precision}.engine") for precision in ("int8", "fp16")}
    assert racing.race(Simulated(CONFIG), never_opened, models("int8", "fp16"), Silent()) is None


def test_the_cpu_races_too(tmp_path: Path) -> None:
    config = ort.Config(engine="ort")
    file = tmp_path / f"e{ort.Backend.suffix}"
    ort.Backend(config).build(convnet(tmp_path / "m.onnx"), file)
    golden = Golden(({"x": np.ones((1, 3, 16, 16), np.float32)},))
    found = racing.race(
        ort.Backend(config), {"int8": file, "fp32": file}, models("int8", "fp32", golden=golden), Silent()
    )
    assert found is not None
    assert found.verdict != "faster"  # than itself
    assert (found.control, found.openings) == ("fp32", OPENINGS)


@given(st.floats(0.1, 100), st.floats(0.1, 100))
def test_medians_alone_decide_nothing(candidate: float, control: float) -> None:
    found = racing.raced([candidate], [control], "fp16", "trtexec")
    assert (found.verdict, found.interval, found.queries, found.openings) == ("undecided", None, None, None)
    assert found.speedup_p50 == pytest.approx(control / candidate)


@pytest.mark.parametrize(
    ("gain", "spread", "verdict"), [(0.5, 0.01, "faster"), (0.02, 0.05, "undecided"), (-0.5, 0.01, "rejected")]
)
def test_chance_between_openings_is_no_gain(gain: float, spread: float, verdict: str) -> None:
    openings = np.random.default_rng(3).normal(0, spread, (2, OPENINGS)).repeat(EACH, axis=1)
    found = racing.raced((1 + openings[0]).tolist(), (1 + gain + openings[1]).tolist(), "fp32", "edgekit")
    assert found.verdict == verdict


def profile_with(interval: Interval | None) -> ProfileReport:
    def latency(p50: float) -> Latency:
        return Latency(p50, p50, p50, p50, 120)

    control = ControlProfile("fp32.ort", latency(12.0))
    settings = Settings(queries=120, loads=30)
    return ProfileReport("b", "int8.ort", latency(10.0), {}, {}, 1.0, control, 1.2, interval, settings=settings)


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(1.15, 1.25, "faster"), (1.0, 1.25, "undecided"), (1.0, 1.01, "rejected")]
)
def test_a_profile_runs_the_race_of_the_build_again(low: float, high: float, verdict: str) -> None:
    found = racing.run_again(race_with("undecided"), profile_with(Interval(low, high)))
    assert found == Race("fp32", 10.0, 12.0, 1.2, Interval(low, high), 120, "edgekit", verdict, 30)


def test_without_a_measured_speedup_the_race_is_that_of_the_build() -> None:
    built = race_with("rejected")
    assert racing.run_again(built, None) == built
    assert racing.run_again(built, profile_with(None)) == built
    assert racing.run_again(built, replace(profile_with(Interval(1, 2)), control=None)) == built
    assert racing.run_again(None, profile_with(Interval(1, 2))) is None


def race_with(verdict: Literal["faster", "rejected", "undecided"]) -> Race:
    return Race("fp32", 10.0, 9.2, 0.92, Interval(0.9, 0.94), 80, "edgekit", verdict, 10)


def test_one_line_says_that_int8_does_not_pay_and_what_to_try() -> None:
    assert race_with("faster").advice() == ""
    told = race_with("rejected").advice()
    assert told.startswith(
        "INT8 does not pay on this target: int8 p50 10.000 ms, its FP32 control 9.200 ms: 0.92x [0.90"
    )
    assert "- auto: {max_drop: 0.01} under compress" in told
    assert "precision: fp32" in told
    assert "\n" not in told
    assert race_with("undecided").advice().startswith("INT8 may not pay")
    old = replace(race_with("rejected"), openings=None)
    assert "(80 queries of each in turn): rejected" in old.line()  # a bundle of an earlier version


def test_only_where_int8_has_no_other_use_is_a_lost_race_a_failure() -> None:
    assert trt.Backend(CONFIG).slower_fails
    assert not ort.Backend(ort.Config(engine="ort")).slower_fails


def test_a_lost_race_on_the_cpu_makes_the_bundle_all_the_same(tiny_project: Path) -> None:
    """The tiny network is too small for INT8 to gain: told, in every document, and no failure."""
    made = shell.edgekit("build", tiny_project, "--target", "cpu", "--json")
    assert made.returncode == 0, made.stderr
    raced = json.loads(made.stdout)["race"]
    bundle = edgekit.open_bundle(tiny_project / "artifacts" / "tiny-cpu")
    assert bundle.race is not None
    assert bundle.race.to_dict() == raced
    assert (raced["control"], raced["by"], raced["openings"]) == ("fp32", "edgekit", OPENINGS)
    assert (bundle.race.advice() in made.stderr) or raced["verdict"] == "faster"
    assert json.loads((bundle.path / "parity.json").read_text())[0]["race"] == raced
