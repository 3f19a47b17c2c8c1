"""What a gate asks of its data and profiles before it judges, on a real bundle."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import edgekit
from edgekit import pipeline
from edgekit.bundle import Bundle, EvaluationData, open_bundle
from edgekit.core.artifacts import sha256_of
from edgekit.core.errors import DataError, InputError, SpecError
from edgekit.core.spec import Kpi
from edgekit.profiling import ConstantStream, Load
from edgekit.stages import gate
from edgekit.stages.gate import GateOptions
from edgekit.stages.measure import ProfileOptions
from tests.support.shell import edgekit as run
from tests.support.shell import error_of

QUICK = ProfileOptions(Load(700, 1, 10))


@pytest.fixture
def built(tiny_project: Path) -> Path:
    """A bundle whose evaluation data may be changed; those of calibration, which decide the export, are others."""
    shutil.copytree(tiny_project / "data", tiny_project / "test")
    spec = tiny_project / "edgekit.yaml"
    old, new = (
        f"evaluation: {{format: image_mask, images: {at}/images, masks: {at}/masks}}" for at in ("data", "test")
    )
    assert spec.read_text().count(old) == 1
    spec.write_text(spec.read_text().replace(old, new))
    edgekit.build(tiny_project, "cpu")
    return tiny_project


def shorten(project: Path) -> None:
    for folder in ("images", "masks"):
        (project / "test" / folder / "f7.png").unlink()


def repaint(project: Path) -> None:
    """A mask that says something else, under the same name."""
    (project / "test" / "masks" / "f0.png").write_bytes((project / "test" / "masks" / "f1.png").read_bytes())


CHANGED = {"shortened": (shorten, "7 instead of 8"), "repainted": (repaint, "their content or names differ")}


@pytest.mark.parametrize("case", CHANGED)
def test_a_changed_test_set_warns_and_is_not_judged(case: str, built: Path, tmp_path: Path) -> None:
    change, expected = CHANGED[case]
    bundle = built / "artifacts" / "tiny-cpu"
    profiled = edgekit.profile(bundle, QUICK)
    assert edgekit.evaluate(bundle).warnings == ()
    change(built)
    report = edgekit.evaluate(bundle)
    (warning,) = report.warnings
    assert warning.startswith(
        f"the evaluation data are not those that the bundle was built for: {expected} (fingerprint "
    )
    assert f"warning: {warning}" in run("evaluate", bundle).stdout
    document = tmp_path / "evaluate.json"
    document.write_text(json.dumps(report.to_dict()))
    for words in ((), ("--evaluation", document)):
        message = error_of(run("gate", bundle, *words, "--json"), 2)
        assert message.startswith(warning)
        assert message.endswith("build the bundle again with it: edgekit build edgekit.yaml --target cpu")
    assert open_bundle(bundle).digest != edgekit.build(built, "cpu").digest
    again = edgekit.evaluate(bundle)
    assert again.warnings == ()
    gated = edgekit.gate(bundle, again, replace(profiled, bundle=again.bundle))
    assert gated.warnings == ()


def test_the_data_may_move(built: Path, tmp_path: Path) -> None:
    """Their fingerprint is of names and contents below the root."""
    bundle = open_bundle(built / "artifacts" / "tiny-cpu")
    (built / "test").rename(tmp_path / "elsewhere")
    config = bundle.contents.evaluation.model_copy(
        update={"images": tmp_path / "elsewhere" / "images", "masks": tmp_path / "elsewhere" / "masks"}
    )
    assert EvaluationData.of(config.format, config.open()) == bundle.evaluation_data


def test_a_bundle_from_before_is_judged_with_a_warning(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = open_bundle(tiny_bundle)
    manifest = {key: value for key, value in old.manifest.items() if key not in ("evaluation", "digest")}
    (tiny_bundle / "manifest.json").write_text(json.dumps(manifest | {"digest": sha256_of(manifest)}))
    bundle = open_bundle(tiny_bundle)
    assert bundle.evaluation_data is None
    expected = "the bundle does not record which evaluation data it was built for; build it again"
    report = edgekit.evaluate(bundle)
    assert report.warnings == (expected,)
    assert edgekit.gate(bundle, report, edgekit.profile(bundle, QUICK)).warnings == (expected,)


def test_a_bundle_without_evaluation_data_records_none(tiny_project: Path) -> None:
    spec = tiny_project / "edgekit.yaml"
    lines = spec.read_text().splitlines(keepends=True)
    spec.write_text("".join(line for line in lines if not line.startswith("  evaluation:")))
    bundle = edgekit.build(tiny_project, "cpu")
    assert bundle.manifest["evaluation"] is None
    assert bundle.evaluation_data is None


def test_evaluation_data_that_are_missing_stop_a_build_before_its_work(bare_project: Path) -> None:
    spec = bare_project / "edgekit.yaml"
    spec.write_text(
        spec.read_text().replace(
            "evaluation: {format: image_mask, images: data", "evaluation: {format: image_mask, images: gone"
        )
    )
    with pytest.raises(DataError, match="gone"):
        edgekit.build(bare_project, "cpu")
    assert not (bare_project / ".edgekit").exists()


def with_kpis(bundle: Bundle, **kpis: Kpi) -> Bundle:
    return replace(bundle, contents=bundle.contents.model_copy(update={"kpis": kpis}))


def test_kpis_of_traffic_are_judged_from_a_further_profile(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = with_kpis(open_bundle(tiny_bundle), late_share=Kpi(max=0.9), speedup_p50=Kpi(min=0.01))
    report, turns = edgekit.evaluate(bundle), edgekit.profile(bundle, QUICK)
    with pytest.raises(SpecError, match=r"kpis\.late_share: late_share was not measured; .*--scenario constant-stream"):
        edgekit.gate(bundle, report, turns)
    alone = edgekit.profile(bundle, ProfileOptions(scenario=ConstantStream(100.0, queries=100)))
    assert alone.traffic is not None
    assert alone.traffic.late is not None
    with pytest.raises(SpecError, match=r"kpis\.speedup_p50: speedup_p50 was not measured; .*without --scenario"):
        edgekit.gate(bundle, report, alone)
    gated = edgekit.gate(bundle, report, turns, GateOptions(beside=(alone,)))
    late, speedup = gated.kpis
    assert (late.value, late.limit.under) == (alone.traffic.late_share, "constant-stream at 100 Hz")
    assert speedup.value == turns.speedup_p50


@pytest.mark.parametrize(
    ("kpis", "options", "expected"),
    [
        ({"miou": Kpi(min=0.0)}, {}, (True, False)),
        ({"latency_p50_ms": Kpi(max=1000)}, {}, (False, True)),
        ({"miou": Kpi(min=0.0), "other": Kpi(max=1, metric="latency_p50_ms", target="orin")}, {}, (True, False)),
        ({"miou": Kpi(min=0.0), "quick": Kpi(max=1000, metric="latency_p50_ms")}, {}, (True, True)),
        ({"miou": Kpi(min=0.0)}, {"documents": "documents"}, (True, True)),
        ({"miou": Kpi(min=0.0)}, {"history": "history.db"}, (True, True)),
    ],
)
def test_only_what_the_kpis_are_about_is_measured(
    kpis: dict[str, Kpi], options: dict[str, str], expected: tuple[bool, bool], tiny_bundle: Path, tmp_path: Path
) -> None:
    """A run that is recorded, or kept as documents, is measured whole."""
    bundle = with_kpis(open_bundle(tiny_bundle), **kpis)
    kept = {name: tmp_path / value for name, value in options.items()}
    found = pipeline.gated(bundle, options=GateOptions(load=QUICK.load, **kept))
    assert (found.evaluation is not None, found.profile is not None) == expected
    assert found.gate.verdict == "pass"


def test_nothing_is_measured_for_a_kpi_that_cannot_be(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = with_kpis(open_bundle(tiny_bundle), leak_kib_per_1000=Kpi(max=64))
    monkeypatch.setattr(Bundle, "engine", lambda *_: pytest.fail("an engine was opened"))
    with pytest.raises(SpecError, match=r"measure it with: edgekit profile BUNDLE --leak --json"):
        edgekit.gate(bundle)


def test_a_profile_of_the_control_is_not_judged(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    assert bundle.contents.control is not None
    profiled = replace(edgekit.profile(bundle, QUICK), engine=bundle.contents.control.file)
    for given, options in ((profiled, GateOptions()), (None, GateOptions(beside=(profiled,)))):
        with pytest.raises(InputError, match=r"the profile is of engines/fp32\S+, and engines/int8\S+ is judged"):
            edgekit.gate(bundle, None, given, options)


def test_two_profiles_on_the_command_line(tiny_bundle: Path, tmp_path: Path) -> None:
    names = {"turns": ("--queries", 700, "--loads", 5), "alone": ("--rate", 200, "--queries", 100)}
    for name, options in names.items():
        found = run("profile", tiny_bundle, *options, "--json")
        (tmp_path / f"{name}.json").write_text(found.stdout)
    words = ("--profile", tmp_path / "turns.json", "--profile", tmp_path / "alone.json")
    gated = run("gate", tiny_bundle, *words, "--json", "--allow-undecided")
    assert gated.returncode == 0, gated.stderr
    latency = json.loads((tmp_path / "turns.json").read_text())["latency_ms"]
    (judged,) = [k for k in json.loads(gated.stdout)["kpis"] if k["name"].startswith("latency_")]
    assert judged["value"] == latency[judged["name"].split("_")[1]]
    other = json.loads((tmp_path / "alone.json").read_text()) | {"bundle": "another"}
    (tmp_path / "alone.json").write_text(json.dumps(other))
    assert "measured on bundle 'another'" in error_of(run("gate", tiny_bundle, *words), 2)


def test_the_baseline_must_see_the_same_data_still(built: Path) -> None:
    bundle = open_bundle(built / "artifacts" / "tiny-cpu")
    repaint(built)
    with pytest.raises(InputError, match="not those that the bundle was built for"):
        edgekit.gate(bundle, options=GateOptions(against=str(bundle.path)))


@pytest.mark.parametrize(("judged", "measured"), [("a.onnx", "b.onnx"), ("b.onnx", "a.onnx")])
def test_a_profile_of_another_engine(judged: str, measured: str) -> None:
    bundle = SimpleNamespace(contents=SimpleNamespace(candidate=SimpleNamespace(file=judged)))
    with pytest.raises(InputError, match=f"the profile is of {measured}, and {judged} is judged"):
        gate._require_candidate(cast("Any", bundle), (cast("Any", SimpleNamespace(engine=measured)),))
