"""The whole pipeline through the Python API: results, reuse, damage, reproducibility."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import TypeAdapter

import edgekit
from edgekit.bundle import open_bundle
from edgekit.core.artifacts import tree_hashes
from edgekit.core.errors import CheckFailed, DataError, SpecError, TensorError
from edgekit.core.golden import Golden
from edgekit.core.reports import DOCUMENTS, CompressReport
from edgekit.data.images import Config as Images
from edgekit.profiling import Load
from edgekit.stages.measure import ProfileOptions
from tests.support.projects import CLASSES, HEIGHT, SPEC, WIDTH, timeless


@pytest.fixture(scope="module")
def built(_tiny_built: Path) -> Path:
    """The project's folder with everything built; only read it."""
    return _tiny_built


@pytest.fixture
def project(built: Path, tmp_path: Path) -> Path:
    """A copy of the built project, cache included, that a test may change."""
    return Path(shutil.copytree(built, tmp_path / "project"))


def _stages(project: Path) -> dict[str, tuple[str, ...]]:
    """Stage name to its keys in the cache."""
    found: dict[str, tuple[str, ...]] = {}
    for folder in sorted(path for path in (project / ".edgekit").iterdir() if path.is_dir()):
        name, _, key = folder.name.rpartition("-")
        found[name] = (*found.get(name, ()), key)
    return found


def _times(project: Path) -> dict[str, int]:
    """Of the files of results; the lists of what a stage used, which are beside them, grow."""
    return {str(p): p.stat().st_mtime_ns for p in (project / ".edgekit").glob("*/**/*") if p.is_file()}


def _change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


# --- results -----------------------------------------------------------------


def test_compress_writes_typed_models_golden_and_calibration(built: Path) -> None:
    folder = built / "artifacts" / "tiny-compressed"
    names = ["calibration.json", "export.json", "fp32.onnx", "golden.npz", "int8.onnx", "variants.json"]
    assert sorted(p.name for p in folder.iterdir()) == names
    exported = json.loads((folder / "export.json").read_text())
    assert exported == {"denormals": {"zeroed": 0, "tensors": 0, "constants": []}}
    assert open_bundle(built / "artifacts" / "tiny-cpu").manifest["export"] == exported
    golden = Golden.read(folder / "golden.npz")
    assert (golden.frames, set(golden.references)) == (2, {"fp32", "int8"})
    assert golden.feeds(0)["image"].shape == (1, 3, HEIGHT, WIDTH)
    assert golden.output(0, "logits").shape == (1, len(CLASSES), HEIGHT, WIDTH)
    assert not np.array_equal(golden.feeds(0)["image"], golden.feeds(1)["image"])
    record = json.loads((folder / "calibration.json").read_text())
    assert record["data"]["limit"] == 6
    assert len(record["fingerprint"]) == 64


def test_golden_outputs_are_pytorchs(built: Path) -> None:
    from edgekit.model.load import load_model

    model = load_model(edgekit.read_spec(built).model)
    golden = Golden.read(built / "artifacts" / "tiny-compressed" / "golden.npz")
    for frame in range(2):
        expected = model.run(golden.feeds(frame))["logits"]
        np.testing.assert_allclose(golden.output(frame, "logits"), expected, rtol=1e-5, atol=1e-5)


def test_the_bundle_holds_what_a_target_needs(built: Path) -> None:
    bundle = edgekit.open_bundle(built / "artifacts" / "tiny-cpu")
    assert bundle.name == "tiny-cpu"
    assert set(bundle.manifest["files"]) == {
        "bundle.json", "calibration.json", "golden.npz", "parity.json", "engines/fp32.ort.onnx",
        "engines/int8.ort.onnx", "models/fp32.onnx", "models/int8.onnx",
        "golden/0.image.png", "golden/1.image.png", "golden/predictions.json",
    }  # fmt: skip
    assert set(bundle.manifest["inputs"]) == {"code", "weights", "calibration"}
    assert bundle.manifest["device"]["engine"] == "ort"
    assert bundle.manifest["command"] == "edgekit build edgekit.yaml --target cpu"
    assert bundle.contents.candidate.precision == "int8"
    assert bundle.contents.control is not None
    assert bundle.contents.control.precision == "fp32"
    assert bundle.size_mib() == (bundle.path / "engines/int8.ort.onnx").stat().st_size / 2**20
    parity = json.loads((bundle.path / "parity.json").read_text())
    assert [(report["engine"], report["verdict"]) for report in parity] == [("int8", "pass"), ("fp32", "pass")]


def test_evaluate_measures_engine_and_control(built: Path) -> None:
    report = edgekit.evaluate(built / "artifacts" / "tiny-cpu")
    assert report.frames == 8
    assert report.engine == "engines/int8.ort.onnx"
    assert set(report.metrics) == {"miou", "pixel_accuracy", *(f"iou/{name}" for name in CLASSES)}
    assert report.control is not None
    assert 0.9 < report.metrics["miou"] <= 1
    assert abs(report.metrics["miou"] - report.control["miou"]) < 0.05
    assert report.metrics["miou"] == pytest.approx(np.mean([report.metrics[f"iou/{name}"] for name in CLASSES]))


def test_evaluate_agrees_with_a_count_of_our_own(built: Path) -> None:
    bundle = edgekit.open_bundle(built / "artifacts" / "tiny-cpu")
    preprocess, hits, pixels = bundle.preprocess(), 0, 0
    with bundle.engine() as engine:
        for sample in bundle.dataset():
            logits = engine.infer(preprocess(sample.images).feeds)["logits"][0]
            judged = sample.truth != 255
            hits += int((logits.argmax(0) == sample.truth)[judged].sum())
            pixels += int(judged.sum())
    assert edgekit.evaluate(bundle).metrics["pixel_accuracy"] == pytest.approx(hits / pixels)


def test_profile_times_every_stage_and_the_control(built: Path) -> None:
    report = edgekit.profile(built / "artifacts" / "tiny-cpu", ProfileOptions(Load(queries=100, warmup=2, openings=5)))
    assert report.latency_ms == report.stages_ms["infer"]
    assert report.latency_ms.samples == 100
    assert 0 < report.latency_ms.p50 <= report.latency_ms.p90 <= report.latency_ms.p99
    assert report.stages_ms["total"].mean == pytest.approx(
        sum(report.stages_ms[stage].mean for stage in ("pre", "infer", "post")), rel=1e-6
    )
    assert report.control is not None
    assert report.control.engine == "engines/fp32.ort.onnx"
    assert report.speedup_p50 == pytest.approx(report.control.latency_ms.p50 / report.latency_ms.p50)
    assert report.memory_mib["peak_rss"] == pytest.approx(report.memory_mib["imports"] + report.memory_mib["engine"])
    assert report.settings.queries == 100
    assert report.settings.frames == 8


def test_gate_judges_the_specs_kpis(built: Path) -> None:
    bundle = edgekit.open_bundle(built / "artifacts" / "tiny-cpu")
    evaluated, profiled = edgekit.evaluate(bundle), edgekit.profile(bundle, ProfileOptions(Load(700, 1, 10)))
    report = edgekit.gate(bundle, evaluated, profiled)
    assert report.verdict == "pass"
    found = {(k.name, k.limit.kind): (k.value, k.limit.value, k.verdict) for k in report.kpis}
    assert found == {
        ("miou", "min"): (evaluated.metrics["miou"], 0.6, "pass"),
        ("miou", "max_drop"): (evaluated.metrics["miou"], 0.05, "pass"),
        ("latency_p50_ms", "max"): (profiled.latency_ms.p50, 1000.0, "pass"),
    }


def test_documents_are_json_and_read_back_equal(built: Path, tmp_path: Path) -> None:
    bundle = edgekit.open_bundle(built / "artifacts" / "tiny-cpu")
    evaluated, profiled = edgekit.evaluate(bundle), edgekit.profile(bundle, ProfileOptions(Load(700, 1, 10)))
    documents = {
        "evaluate": evaluated,
        "profile": profiled,
        "verify": edgekit.verify(bundle),
        "gate": edgekit.gate(bundle, evaluated, profiled),
        "sensitivity": edgekit.sensitivity(built, out=tmp_path),
        "compress": CompressReport("cpu", "miou", 0.1, "fp32", ()),  # a real one: tests/stages/test_job.py
    }
    assert set(documents) == set(DOCUMENTS)
    for name, document in documents.items():
        text = json.dumps(document.to_dict(), allow_nan=False)
        adapter = TypeAdapter(DOCUMENTS[name])
        assert adapter.validate_json(text) == document
        assert set(adapter.json_schema()["properties"]) == set(json.loads(text))
        assert json.loads(text)["schema_version"] == 1


def test_run_draws_every_frame(built: Path, tmp_path: Path) -> None:
    frames = Images(root=built / "data" / "images", limit=3).open()
    written = edgekit.run(built / "artifacts" / "tiny-cpu", frames, tmp_path / "out")
    assert [one.picture.name for one in written] == [f"{one.id}.png" for one in written]
    assert [one.id for one in written] == [sample.id for sample in frames]
    for one in written:
        picture = cv2.imread(str(one.picture))
        assert picture.shape[1] == WIDTH
        assert picture.shape[0] > HEIGHT  # the legend is below


def test_verify_notices_an_engine_that_computes_something_else(built: Path) -> None:
    bundle = edgekit.open_bundle(built / "artifacts" / "tiny-cpu")
    golden = bundle.golden()
    from edgekit.verification.parity import compare, require

    louder = {"logits": golden.output(1, "logits", "int8") * 1.2}
    golden = golden.with_reference("int8", [golden.outputs(0, "int8"), louder])
    with bundle.engine() as engine:
        report = compare(engine, golden, "int8")
    assert report.verdict == "fail"
    assert report.outputs[0].rel_l2 == pytest.approx(1 / 6, rel=0.05)
    with pytest.raises(
        CheckFailed, match=r"engine int8: output 'logits' is 0\.1\d* \(relative L2\) from its typed ONNX"
    ):
        require(report)


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        (
            {"image": np.zeros((1, 3, 16, 16), np.float32)},
            r"shape \[1, 3, 16, 16\]; expected image: float32\[1, 3, 32, 48\]",
        ),
        ({"image": np.zeros((1, 3, 32, 48), np.uint8)}, "dtype uint8; expected float32"),
        ({"picture": np.zeros((1, 3, 32, 48), np.float32)}, "missing input 'image', unknown input 'picture'"),
        ({"image": [[0.0]]}, "is list; expected a numpy array"),
    ],
)
def test_an_engine_refuses_feeds_that_do_not_fit(built: Path, feeds: dict[str, np.ndarray], message: str) -> None:
    with (
        edgekit.open_bundle(built / "artifacts" / "tiny-cpu").engine() as engine,
        pytest.raises(TensorError, match=message),
    ):
        engine.infer(feeds)


# --- reuse -------------------------------------------------------------------


def test_a_second_run_reuses_every_stage(project: Path) -> None:
    edgekit.build(project / "edgekit.yaml", "cpu")  # the copy's data have another folder, so this may redo stages
    before, stages = _times(project), _stages(project)
    digest = edgekit.open_bundle(project / "artifacts" / "tiny-cpu").digest
    assert edgekit.compress(project).reused is True
    assert edgekit.build(project, "cpu").digest == digest
    assert _times(project) == before
    assert _stages(project) == stages


def _calibrator(project: Path) -> None:
    _change(project / "edgekit.yaml", "{method: ptq}", "{method: ptq, calibrator: minmax}")


def _code(project: Path) -> None:
    _change(project / "model.py", "torch.relu(self.body(x))", "torch.relu(self.body(x)) * 1.0")


def _weights(project: Path) -> None:
    import torch

    state = torch.load(project / "weights.pth", weights_only=True)
    state["head.bias"] += 0.01
    torch.save(state, project / "weights.pth")


def _frame(project: Path) -> None:
    path = str(project / "data" / "images" / "f0.png")
    cv2.imwrite(path, cv2.imread(path) // 2)


def _threads(project: Path) -> None:
    _change(project / "edgekit.yaml", "threads: 1", "threads: 2")


def _kpi(project: Path) -> None:
    _change(project / "edgekit.yaml", "max: 1000", "max: 900")


CHANGES: dict[str, tuple[Callable[[Path], None], set[str]]] = {
    "calibrator": (_calibrator, {"quantize", "engine-cpu"}),
    "model code": (_code, {"export"}),
    "weights": (_weights, {"export", "quantize", "engine-cpu"}),
    "calibration frame": (_frame, {"labels", "export", "quantize", "engine-cpu"}),
    "engine threads": (_threads, {"engine-cpu"}),
    "kpi": (_kpi, set()),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_change_redoes_what_depends_on_it(case: str, project: Path) -> None:
    change, redone = CHANGES[case]
    edgekit.build(project, "cpu")
    before, times = _stages(project), _times(project)
    digest = edgekit.open_bundle(project / "artifacts" / "tiny-cpu").digest
    change(project)
    bundle = edgekit.build(project, "cpu")
    after = _stages(project)
    changed = {name for name in after if after[name] != before[name]}
    assert redone <= changed
    assert "export" in redone or "export" not in changed
    assert case == "model code" or changed == redone
    assert {path: when for path, when in _times(project).items() if path in times} == times
    assert bundle.digest != digest


@pytest.mark.parametrize("stage", ["export", "quantize", "engine-cpu"])
def test_a_damaged_stage_is_made_again_and_the_result_is_the_same(stage: str, project: Path) -> None:
    bundle = edgekit.build(project, "cpu")
    result = timeless(bundle.path)
    (folder,) = (path for path in (project / ".edgekit").glob(f"{stage}-*") if path.is_dir())
    good = timeless(folder)
    for file in folder.glob("*.onnx"):
        file.write_bytes(file.read_bytes()[:-50])
    assert timeless(folder) != good
    assert timeless(edgekit.build(project, "cpu").path) == result
    assert timeless(folder) == good


def test_an_edited_result_is_written_again(project: Path) -> None:
    digest = edgekit.build(project, "cpu").digest
    (project / "artifacts" / "tiny-cpu" / "golden.npz").unlink()
    (project / "artifacts" / "tiny-compressed" / "int8.onnx").write_bytes(b"x")
    assert edgekit.build(project, "cpu").digest == digest


def test_the_same_inputs_in_two_folders_give_the_same_bytes(tiny_project: Path, built: Path) -> None:
    edgekit.compress(tiny_project)
    changed, first = (tree_hashes(root / "artifacts" / "tiny-compressed") for root in (tiny_project, built))
    for name in ("fp32.onnx", "int8.onnx", "golden.npz"):
        assert changed[name] == first[name], name


# --- other shapes of a spec ----------------------------------------------------


def test_without_a_quantize_step_the_engine_is_fp32_and_has_no_control(tiny_project: Path) -> None:
    _change(tiny_project / "edgekit.yaml", "compress:\n  - quantize: {method: ptq}\n", "")
    _change(tiny_project / "edgekit.yaml", "{min: 0.6, max_drop: 0.05}", "{min: 0.6}")
    bundle = edgekit.build(tiny_project, "cpu", out=tiny_project / "elsewhere")
    assert bundle.path == tiny_project / "elsewhere" / "tiny-cpu"
    assert not (tiny_project / "artifacts").exists()
    assert bundle.contents.candidate.precision == "fp32"
    assert bundle.contents.control is None
    assert edgekit.evaluate(bundle).control is None
    _change(tiny_project / "edgekit.yaml", "threads: 1", "threads: 1, precision: int8")
    with pytest.raises(SpecError, match=r"targets\.cpu: precision int8 cannot be built: the spec has no quantize step"):
        edgekit.build(tiny_project, "cpu")


def test_a_relative_spec_path_works_from_its_folder(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    bundle = edgekit.build(Path("edgekit.yaml"), "cpu")
    assert bundle.path.resolve() == project.resolve() / "artifacts" / "tiny-cpu"


def test_evaluation_data_may_be_elsewhere_or_absent(project: Path) -> None:
    _change(
        project / "edgekit.yaml", "  evaluation: {format: image_mask, images: data/images, masks: data/masks}\n", ""
    )
    bundle = edgekit.build(project, "cpu")
    with pytest.raises(DataError, match=r"the spec named no data\.evaluation; add it and run edgekit build again"):
        edgekit.evaluate(bundle)


def test_the_tiny_spec_is_the_one_on_disk(built: Path) -> None:
    assert (built / "edgekit.yaml").read_text() == SPEC
