"""What a bundle holds of the golden frames, and what verify and rebuild make of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import edgekit
from edgekit.bundle import MANIFEST, open_bundle
from edgekit.bundle.contents import PREDICTIONS
from edgekit.core import golden as golden_module
from edgekit.core.artifacts import sha256_file, sha256_of
from edgekit.core.errors import BundleError, CheckFailed, DataError, SpecError
from edgekit.engine import ort
from tests.support.shell import edgekit as run


def forge(bundle: Path, change: Callable[[dict[str, Any]], object] = lambda manifest: None) -> None:
    """Make the manifest's hashes and sizes those of the files, as a forger could."""
    manifest = json.loads((bundle / MANIFEST).read_text())
    del manifest["digest"]
    manifest["files"] = {name: sha256_file(bundle / name) for name in manifest["files"]}
    manifest["sizes"] = {name: (bundle / name).stat().st_size for name in manifest["files"]}
    change(manifest)
    (bundle / MANIFEST).write_text(json.dumps(manifest | {"digest": sha256_of(manifest)}))


def edit(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))


def test_two_frames_and_their_predictions(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    document = bundle.predictions()
    assert document is not None
    assert (document.task, document.reference, len(document.frames)) == ("segmentation", "int8", 2)
    assert [frame.id for frame in document.frames] == bundle.manifest["golden"]["ids"] == ["f0", "f4"]
    assert bundle.manifest["golden"]["kept"] == 2
    assert bundle.manifest["golden"]["dataset_hash"] == bundle.manifest["inputs"]["calibration"]
    picture = cv2.imread(str(tiny_bundle / "golden" / "1.image.png"))
    frames = bundle.contents.evaluation.images
    np.testing.assert_array_equal(picture, cv2.imread(str(frames / "f4.png")))
    labels = bundle.golden().output(1, "logits", "int8")[0].argmax(axis=0)
    record = document.frames[1].prediction.model_dump()
    assert np.repeat(record["runs"][::2], record["runs"][1::2]).tolist() == labels.reshape(-1).tolist()


def test_verify_proves_them(tiny_bundle: Path) -> None:
    proof = edgekit.verify(tiny_bundle).golden_frames
    assert proof is not None
    assert (proof.preprocessing.distance, proof.postprocessing.distance) == (0, 0)
    said = run("verify", tiny_bundle)
    assert said.returncode == 0, said.stderr
    assert "preprocessing, raw golden frames to golden inputs: pass (0 relative L2" in said.stdout
    assert "postprocessing, golden outputs to golden predictions: pass" in said.stdout


def test_verify_and_rebuild_name_the_preprocessing(tiny_bundle: Path) -> None:
    edit(tiny_bundle / "bundle.json", lambda d: d["preprocess"]["image"].update(scale=0.004))
    forge(tiny_bundle)
    report = edgekit.verify(tiny_bundle)
    assert report.golden_frames is not None
    assert (report.verdict, report.golden_frames.postprocessing.verdict) == ("fail", "pass")
    said = run("verify", tiny_bundle)
    assert (said.returncode, "golden inputs: fail (0.02 relative L2 at input 'image'" in said.stdout) == (1, True)
    forge(tiny_bundle, lambda manifest: manifest["device"].update(onnxruntime="1.0.0"))
    before = (tiny_bundle / MANIFEST).read_bytes()
    with pytest.raises(CheckFailed, match="preprocessing departs on this machine"):
        edgekit.rebuild(tiny_bundle)
    assert (tiny_bundle / MANIFEST).read_bytes() == before


def test_verify_names_the_postprocessing(tiny_bundle: Path) -> None:
    edit(tiny_bundle / PREDICTIONS, lambda d: d["frames"][1]["prediction"].update(runs=[1, 32 * 48]))
    forge(tiny_bundle)
    report = edgekit.verify(tiny_bundle)
    assert report.golden_frames is not None
    steps = report.golden_frames.preprocessing, report.golden_frames.postprocessing
    assert [step.verdict for step in steps] == ["pass", "fail"]
    assert report.verdict == "fail"
    assert steps[1].where == "frame 1"


def test_predictions_that_are_no_such_document(tiny_bundle: Path) -> None:
    edit(tiny_bundle / PREDICTIONS, lambda d: d.pop("reference"))
    forge(tiny_bundle)
    with pytest.raises(BundleError, match=r"golden/predictions\.json: .*build it again"):
        edgekit.verify(tiny_bundle)


def test_raw_frames_are_left_out_on_request(tiny_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And large outputs are kept in part: the typed model, run here, gives the rest."""
    spec = tiny_project / "edgekit.yaml"
    spec.write_text(spec.read_text() + "golden: {frames: 0}\n")
    monkeypatch.setattr(golden_module, "WHOLE", 1000)
    monkeypatch.setattr(golden_module, "KEPT", 500)
    bundle = edgekit.build(spec, "cpu")
    assert {name for name in bundle.manifest["files"] if name.startswith("golden")} == {"golden.npz", PREDICTIONS}
    assert (bundle.manifest["golden"]["format"], bundle.manifest["golden"]["kept"]) == ("image_mask", 0)
    golden = bundle.golden()
    assert not golden.whole(0)
    assert golden.output(0, "logits", "int8").shape == (500,)
    assert bundle.contents.outputs == golden.interface("output")
    report = edgekit.verify(bundle)
    assert report.golden_frames is not None
    assert (report.verdict, report.golden_frames.preprocessing.verdict) == ("pass", "not checked")
    assert (report.golden_frames.postprocessing.verdict, report.golden_frames.postprocessing.distance) == ("pass", 0)
    assert "golden: {frames: 0}" in str(report.golden_frames.preprocessing)
    assert 0 < report.outputs[0].rel_l2_fp32 < 0.2
    wrong = [{"logits": 1.5 * golden.output(i, "logits", "int8")} for i in range(2)]
    golden.with_reference("int8", wrong).write(bundle.path / "golden.npz")
    forge(bundle.path)
    assert edgekit.verify(bundle.path).outputs[0].verdict == "fail"


@pytest.mark.parametrize(
    ("given", "words"), [("3", "expected 2 or less; found 3"), ("-1", "expected 0 or more; found -1")]
)
def test_how_many_frames_can_be_kept(given: str, words: str, tiny_project: Path) -> None:
    spec = tiny_project / "edgekit.yaml"
    spec.write_text(spec.read_text() + f"golden: {{frames: {given}}}\n")
    with pytest.raises(SpecError, match=rf"golden\.frames: .*{words}"):
        edgekit.read_spec(spec)


def test_frames_that_changed_meanwhile(tiny_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ort.Backend.build

    def build(*given: Any) -> None:
        cv2.imwrite(str(tiny_project / "data" / "images" / "f4.png"), np.zeros((32, 48, 3), np.uint8))
        made(*given)

    monkeypatch.setattr(ort.Backend, "build", build)
    with pytest.raises(DataError, match="frame 'f4' changed while the bundle was built"):
        edgekit.build(tiny_project, "cpu")
