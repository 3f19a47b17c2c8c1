"""Baselines by name: a run whose bundle the history keeps is measured again, in turn with the candidate."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import edgekit
from edgekit.bundle import Bundle, open_bundle, pack
from edgekit.core.artifacts import sha256_of
from edgekit.core.errors import InputError, SpecError
from edgekit.core.reports import GateReport
from edgekit.core.spec import Kpi
from edgekit.history import BUNDLE, History
from edgekit.stages import measure
from edgekit.stages.gate import GateOptions
from tests.stages.test_gate import with_kpis

LENIENT = Kpi(baseline_ratio=1000.0)


@pytest.fixture(scope="module")
def _gated(_tiny_built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("history")
    passed = with_kpis(open_bundle(_tiny_built / "artifacts" / "tiny-cpu"), latency_p50_ms=Kpi(max=1e6))
    assert edgekit.gate(passed, options=GateOptions(history=folder / "h.db")).verdict == "pass"
    return folder


@pytest.fixture
def book(_gated: Path, tmp_path: Path) -> Path:
    """A history of one run, that of the tiny bundle, which passed."""
    return Path(shutil.copytree(_gated, tmp_path / "history")) / "h.db"


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The baselines that were measured in turn."""
    found: list[str] = []
    real = measure.compare

    def compare(bundle: Bundle, baseline: Bundle, *rest: Any) -> measure.Compared:
        found.append(baseline.digest)
        return real(bundle, baseline, *rest)

    monkeypatch.setattr(measure, "compare", compare)
    return found


def against(bundle: Bundle, book: Path, reference: str = "last-good") -> GateReport:
    return edgekit.gate(bundle, options=GateOptions(against=reference, history=book))


def kept(book: Path) -> list[Path]:
    return sorted(book.parent.rglob(BUNDLE))


def test_the_run_that_passed_keeps_its_bundle_once(book: Path, tiny_bundle: Path, compared: list[str]) -> None:
    bundle = open_bundle(tiny_bundle)
    (file,) = kept(book)
    assert open_bundle(file).digest == bundle.digest
    report = against(with_kpis(bundle, latency_p50_ms=LENIENT), book)
    assert compared == [bundle.digest]
    assert (report.verdict, report.warnings) == ("pass", ())
    assert report.baseline is not None
    assert report.baseline.startswith("run ")
    assert "another run" not in report.kpis[0].reason
    assert kept(book) == [file]


def test_what_did_not_pass_is_not_kept(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = with_kpis(open_bundle(tiny_bundle), latency_p50_ms=Kpi(max=1e-6))
    assert edgekit.gate(bundle, options=GateOptions(history=tmp_path / "h.db")).verdict == "fail"
    assert kept(tmp_path / "h.db") == []
    (entry,) = History.open(tmp_path / "h.db").entries()
    assert entry.artifacts == ()


def test_a_bundle_that_was_deleted_is_compared_by_figures(book: Path, tiny_bundle: Path, compared: list[str]) -> None:
    (file,) = kept(book)
    file.unlink()
    report = against(with_kpis(open_bundle(tiny_bundle), latency_p50_ms=LENIENT), book)
    assert compared == []
    (warning,) = report.warnings
    assert "the history does not keep its bundle; it was compared by its recorded figures" in warning
    assert report.verdict == "pass"


def test_a_bundle_of_another_machine_is_compared_by_figures(
    book: Path, tiny_bundle: Path, tmp_path: Path, compared: list[str]
) -> None:
    manifest = json.loads((tiny_bundle / "manifest.json").read_text())
    manifest["device"]["onnxruntime"] = "1.0"
    manifest["digest"] = sha256_of({key: value for key, value in manifest.items() if key != "digest"})
    foreign = Path(shutil.copytree(tiny_bundle, tmp_path / "foreign"))
    (foreign / "manifest.json").write_text(json.dumps(manifest))
    history = History.open(book, writing=True)
    run = history.find("last-good")
    packed = {BUNDLE: pack(open_bundle(foreign), tmp_path / "foreign.edgekit")}
    entry, digest = run.entry, manifest["digest"]
    assert run.gate is not None
    history.record(run.evaluation, run.profile, run.gate, entry.name, entry.target, digest, None, packed)
    report = against(with_kpis(open_bundle(tiny_bundle), latency_p50_ms=LENIENT), book)
    assert compared == []
    (warning,) = report.warnings
    assert "its bundle does not run here (" in warning
    assert "the engine was built for onnxruntime '1.0'" in warning


def test_another_file_in_its_place_is_not_taken(
    book: Path, tiny_project: Path, tiny_bundle: Path, tmp_path: Path, compared: list[str]
) -> None:
    spec = tiny_project / "edgekit.yaml"
    spec.write_text(spec.read_text().replace("name: tiny", "name: other"))
    (file,) = kept(book)
    pack(open_bundle(Path(edgekit.build(tiny_project, "cpu").path)), file)
    report = against(with_kpis(open_bundle(tiny_bundle), latency_p50_ms=LENIENT), book)
    assert compared == []
    assert "holds other-cpu@" in report.warnings[0]


@pytest.mark.parametrize("key", ["dataset_hash", "preprocess_hash"])
def test_other_data_are_refused_before_anything_is_measured(
    key: str, book: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History.open(book, writing=True)
    run = history.find("last-good")
    assert run.gate is not None
    evaluation, entry = replace(run.evaluation, **{key: "f" * 64}), run.entry
    history.record(evaluation, run.profile, run.gate, entry.name, entry.target, entry.digest, None)
    monkeypatch.setattr(measure, "compare", lambda *_: pytest.fail("measured"))
    bundle = with_kpis(open_bundle(tiny_bundle), latency_p50_ms=LENIENT)
    with pytest.raises(InputError, match=rf"baseline run \w+: {key} is ffffffffffff, the candidate's is "):
        against(bundle, book)


def test_documents_are_judged_by_figures_without_a_word(book: Path, tiny_bundle: Path, compared: list[str]) -> None:
    run = History.open(book).find("last-good")
    bundle = with_kpis(open_bundle(tiny_bundle), latency_p50_ms=LENIENT)
    how = GateOptions(against="last-good", history=book)
    report = edgekit.gate(bundle, run.evaluation, run.profile, how)
    assert compared == []
    assert report.warnings == ()


def test_no_history(tiny_bundle: Path) -> None:
    with pytest.raises(InputError, match="--against last-good: no such bundle, and no history to look it up in"):
        edgekit.gate(tiny_bundle, options=GateOptions(against="last-good"))


def test_the_first_night(tiny_bundle: Path, tmp_path: Path, compared: list[str]) -> None:
    """Nothing has passed yet: what can be judged is, the rest is named, and the run is the next one's baseline."""
    book = tmp_path / "h.db"
    kpis = {"latency_p50_ms": Kpi(max=1e6, baseline_ratio=1000.0), "size_mib": Kpi(baseline_ratio=1.5)}
    bundle = with_kpis(open_bundle(tiny_bundle), **kpis)
    first = against(bundle, book)
    assert (first.verdict, first.baseline, compared) == ("pass", None, [])
    assert [(k.name, k.limit.kind) for k in first.kpis] == [("latency_p50_ms", "max")]
    (warning,) = first.warnings
    assert warning == (
        "no run of tiny-cpu has passed its gate yet, so there is no last-good; "
        "not judged this time: latency_p50_ms (baseline_ratio), size_mib (baseline_ratio)"
    )
    second = against(bundle, book)
    assert len(compared) == 1
    assert second.baseline == f"run {str(first.run)[:8]}"
    assert len(second.kpis) == 3
    assert second.warnings == ()


def test_a_first_night_with_nothing_to_judge_passes(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = with_kpis(open_bundle(tiny_bundle), latency_p50_ms=LENIENT)
    report = against(bundle, tmp_path / "h.db")
    assert (report.verdict, report.kpis) == ("pass", ())
    assert len(report.warnings) == 1


def test_a_missing_baseline_is_refused_before_anything_is_measured(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bundle, "engine", lambda *_: pytest.fail("an engine was opened"))
    bundle = with_kpis(open_bundle(tiny_bundle), latency_p50_ms=LENIENT)
    with pytest.raises(
        SpecError, match=r"kpis\.latency_p50_ms: baseline_ratio needs a baseline; .*--against last-good"
    ):
        edgekit.gate(bundle)


def test_documents_that_are_judged_again_are_no_new_run(book: Path, tiny_bundle: Path) -> None:
    history = History.open(book)
    run = history.find("last-good")
    bundle = with_kpis(open_bundle(tiny_bundle), latency_p50_ms=Kpi(max=1e6))
    again = [edgekit.gate(bundle, run.evaluation, run.profile, GateOptions(history=book)).run for _ in range(2)]
    assert again == [run.entry.id, run.entry.id]
    failing = with_kpis(bundle, latency_p50_ms=Kpi(max=1e-6))
    assert edgekit.gate(failing, run.evaluation, run.profile, GateOptions(history=book)).run != run.entry.id
    assert len(history.entries()) == 2


def test_a_report_without_a_baseline_leaves_its_kpis_out(tiny_bundle: Path, book: Path, tmp_path: Path) -> None:
    run = History.open(book).find("last-good")
    bundle = with_kpis(open_bundle(tiny_bundle), latency_p50_ms=Kpi(max=1e6, baseline_ratio=2.0))
    content = edgekit.report(bundle, tmp_path / "r.html", run.evaluation, run.profile, pictures=False)
    assert [k.limit.kind for k in content.gate.kpis] == ["max"]
    assert content.gate.warnings == ("no baseline was named; not judged this time: latency_p50_ms (baseline_ratio)",)
