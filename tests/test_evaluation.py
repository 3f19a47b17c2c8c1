"""Evaluation equals the task's metric on directly computed predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgekit
from edgekit import evaluation
from edgekit.bundle import open_bundle
from edgekit.core.errors import DataError
from edgekit.data.images import Config as ImagesConfig


def test_metrics_equal_a_direct_computation(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    report = edgekit.evaluate(bundle)
    confusion = np.zeros((3, 3), np.int64)
    preprocess = bundle.preprocess()
    with bundle.engine() as engine:
        for sample in bundle.dataset():
            labels = engine.infer(preprocess(sample.images).feeds)["logits"][0].argmax(0)
            valid = sample.truth != 255
            np.add.at(confusion, (sample.truth[valid], labels[valid]), 1)
    hits = np.diag(confusion)
    iou = hits / (confusion.sum(0) + confusion.sum(1) - hits)
    assert report.metrics["miou"] == pytest.approx(iou.mean(), abs=1e-12)
    assert report.metrics["iou/red"] == pytest.approx(iou[1], abs=1e-12)
    assert report.frames == 8
    assert report.control is not None
    assert set(report.control) == set(report.metrics)


def test_every_engine_sees_the_same_frames_once(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    steps = []
    with bundle.engine() as first, bundle.engine() as second:
        engines = {"first": first, "second": second}
        found = evaluation.evaluate(
            engines, bundle.preprocess(), bundle.task(), bundle.dataset(), lambda: steps.append(1)
        )
    assert len(steps) == 8
    assert found["first"] == found["second"]


def test_frames_without_truth_are_refused(tiny_bundle: Path, tiny_project: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    frames = ImagesConfig(format="images", root=tiny_project / "data/images").open()
    with (
        bundle.engine() as engine,
        pytest.raises(DataError, match=r"frame 'f0' has no truth; evaluate needs a labelled"),
    ):
        evaluation.evaluate({"e": engine}, bundle.preprocess(), bundle.task(), frames)


def test_camvid_engine_against_pytorch(camvid_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight real frames: the FP32 engine's mIoU is PyTorch's, and INT8 stays near it."""
    import shutil

    from edgekit.core.specfile import read_spec
    from edgekit.load import load_model
    from edgekit.pipeline import build

    example = Path(__file__).parents[1] / "examples" / "camvid"
    for name in ("edgekit.yaml", "model.py", "weights.pth"):
        shutil.copyfile(example / name, tmp_path / name)
    text = (tmp_path / "edgekit.yaml").read_text().replace("limit: 128", "limit: 12")
    (tmp_path / "edgekit.yaml").write_text(text.replace("split: test}", "split: test, limit: 8}"))
    monkeypatch.setenv("CAMVID", str(camvid_root))
    spec = read_spec(tmp_path / "edgekit.yaml")
    bundle = build(spec, "cpu")
    report = edgekit.evaluate(bundle)
    model, preprocess, task = load_model(spec.model), bundle.preprocess(), bundle.task()
    total = task.accumulator()
    for sample in bundle.dataset():
        prepared = preprocess(sample.images)
        total.update(task.decode(model.run(prepared.feeds), prepared.geometry), sample.truth, sample.id)
    assert report.control is not None
    assert report.control["miou"] == pytest.approx(total.compute()["miou"], abs=1e-4)
    assert report.metrics["miou"] == pytest.approx(report.control["miou"], abs=0.02)
    assert report.control["miou"] > 0.55
