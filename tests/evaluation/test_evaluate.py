"""Evaluation equals the task's metric on directly computed predictions."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import edgekit
from edgekit import evaluation
from edgekit.bundle import Bundle, open_bundle
from edgekit.core.errors import DataError, SpecError
from edgekit.core.predictions import LabelMap
from edgekit.core.spec import Kpi
from edgekit.data import Dataset, Sample
from edgekit.data.images import Config as ImagesConfig
from edgekit.evaluation.class_names import Agreed
from edgekit.profiling import Load
from edgekit.stages.measure import ProfileOptions
from edgekit.tasks.segmentation import Config as Segmentation


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


def test_the_report_of_a_bundle(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    report = edgekit.evaluate(bundle)
    assert report.dataset_hash == bundle.dataset().fingerprint()
    assert report.preprocess_hash == evaluation.section_hash(bundle.contents.preprocess)
    assert set(report.intervals) == set(report.differences) == set(report.metrics)
    assert report.bootstrap is not None
    assert (report.bootstrap.unit, report.bootstrap.units) == ("frame", 8)
    low, high = report.intervals["miou"].low, report.intervals["miou"].high
    assert low is not None
    assert high is not None
    assert low <= report.metrics["miou"] <= high
    assert {frame.id for frame in report.worst} <= {sample.id for sample in bundle.dataset()}
    scores = [frame.score for frame in report.worst]
    assert scores == sorted(scores)


def test_a_measurement_keeps_ids_and_metadata(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    frames = bundle.dataset()

    class Some(Drive):
        def __getitem__(self, index: int) -> Sample:
            return replace(self.frames[index], metadata={"late": str(index)} if index in (3, 6) else {})

    with bundle.engine() as engine:
        found = evaluation.measure({"e": engine}, bundle.preprocess(), bundle.task(), Some(frames))
    assert found.frames == tuple(sample.id for sample in frames)
    assert found.columns == {"late": (None, None, None, "3", None, None, "6", None)}
    assert found.summary == ("miou", "pixel_accuracy", "flicker", "flicker_excess")


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
    from edgekit.model.load import load_model
    from edgekit.pipeline import build

    example = Path(__file__).parents[2] / "examples" / "camvid"
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


# --- flicker --------------------------------------------------------------------


def flicker(frames: Sequence[tuple[str | None, int]]) -> dict[str, float]:
    """Frames of four pixels, of which so many are predicted as the second class; truth is the first everywhere."""
    task = Segmentation(output="logits", classes=("floor", "red")).create()
    total, truth = evaluation.Flicker(task), np.zeros((1, 4), np.uint8)
    for i, (sequence, count) in enumerate(frames):
        labels = np.array([[1] * count + [0] * (4 - count)], np.uint8)
        metadata = {} if sequence is None else {"sequence": sequence}
        total.update(LabelMap(labels), Sample(f"f{i}", {}, truth, metadata))
    return total.compute()


@pytest.mark.parametrize(
    ("frames", "mean"),
    [
        ([("a", 0), ("a", 1), ("a", 3)], (0.25 + 0.5) / 2),
        ([("a", 0), ("a", 1), ("b", 4), ("b", 4)], (0.25 + 0) / 2),  # from a to b is a cut
        ([("a", 0), ("b", 4), ("a", 0), ("a", 4)], 1),  # the second a is no neighbour of the first
        ([("a", 0), (None, 4), ("a", 4)], None),
        ([(None, 0), (None, 4)], None),
        ([("a", 0), ("b", 1), ("c", 2)], None),
        ([("a", 0)], None),
    ],
)
def test_flicker_is_the_mean_over_neighbours_of_one_sequence(
    frames: list[tuple[str | None, int]], mean: float | None
) -> None:
    assert flicker(frames) == ({} if mean is None else {"flicker": mean, "flicker_excess": mean})


def test_flicker_counts_a_pair_as_often_as_its_later_frame() -> None:
    task, rng = Segmentation(output="logits", classes=("floor", "red")).create(), np.random.default_rng(0)
    counts, names = rng.integers(0, 5, 12), [f"s{i // 4}" for i in range(12)]

    def filled(order: Sequence[int]) -> evaluation.Flicker:
        made = evaluation.Flicker(task)
        for copy in order:
            for i in range(4 * copy, 4 * copy + 4):
                labels = LabelMap((np.arange(4) < counts[i]).astype(np.uint8)[None])
                made.update(labels, Sample("f", {}, np.zeros((1, 4), np.uint8), {"sequence": names[i]}))
            made.sequence = None  # the copies of a sequence are sequences of their own
        return made

    whole = filled(range(3))
    weights = np.repeat([2.0, 0, 1], 4)
    assert whole.compute(weights) == pytest.approx(filled([0, 0, 2]).compute())
    assert whole.compute_many(np.stack([weights, np.zeros(12)]))["flicker"][0] == whole.compute(weights)["flicker"]
    assert whole.compute(np.zeros(12)) == {}
    with pytest.raises(DataError, match="for 12 frames"):
        whole.compute(np.ones(11))


def test_flicker_keeps_one_frame() -> None:
    task = Segmentation(output="logits", classes=("floor", "red")).create()
    total, alive = evaluation.Flicker(task), []
    for i in range(10):
        prediction = LabelMap(np.zeros((1, 4), np.uint8))
        alive.append(weakref.ref(prediction))
        total.update(prediction, Sample(f"f{i}", {}, np.zeros((1, 4), np.uint8), {"sequence": "a"}))
    del prediction
    gc.collect()
    assert [reference() is None for reference in alive] == [True] * 9 + [False]


def test_frames_that_cannot_follow_each_other_are_named() -> None:
    task = Segmentation(output="logits", classes=("floor", "red")).create()
    total = evaluation.Flicker(task)
    total.update(LabelMap(np.zeros((1, 4), np.uint8)), Sample("f0", {}, None, {"sequence": "a"}))
    with pytest.raises(DataError, match=r"frame 'f1' of sequence 'a': two frames of one sequence are \[1, 4\] and"):
        total.update(LabelMap(np.zeros((2, 4), np.uint8)), Sample("f1", {}, None, {"sequence": "a"}))


class Drive(Dataset):
    """Frames of another dataset as two drives of four."""

    def __init__(self, frames: Dataset) -> None:
        self.frames = frames

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Sample:
        return replace(self.frames[index], metadata={"sequence": f"drive {index // 4}"})

    def fingerprint(self) -> str:
        return self.frames.fingerprint()


def test_a_kpi_on_flicker(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = open_bundle(tiny_bundle)
    plain, original = edgekit.evaluate(bundle), bundle.dataset()
    assert not any("flicker" in name for name in plain.metrics)
    monkeypatch.setattr(Bundle, "agreed_data", lambda self, root=None: Agreed(Drive(original), self.task(), ()))
    report = edgekit.evaluate(bundle)
    assert report.control is not None
    preprocess, task, labels = bundle.preprocess(), bundle.task(), []
    with bundle.engine() as engine:
        for sample in original:
            prepared = preprocess(sample.images)
            labels.append(task.decode(engine.infer(prepared.feeds), prepared.geometry).labels)
    pairs = [(labels[i] != labels[i + 1]).mean() for i in (0, 1, 2, 4, 5, 6)]
    assert report.metrics["flicker"] == pytest.approx(np.mean(pairs), rel=1e-12)
    assert 0 <= report.metrics["flicker_excess"] < report.metrics["flicker"]  # the squares truly move
    assert set(report.control) == set(report.metrics)

    profiled = edgekit.profile(bundle, ProfileOptions(Load(700, 1, 10)))
    limit = Kpi(max=1, max_drop=1)
    judged = replace(bundle, contents=bundle.contents.model_copy(update={"kpis": {"flicker": limit}}))
    verdicts = edgekit.gate(judged, report, profiled)
    assert [(k.name, k.limit.kind, k.verdict) for k in verdicts.kpis] == [
        ("flicker", "max", "pass"), ("flicker", "max_drop", "pass"),
    ]  # fmt: skip
    with pytest.raises(SpecError, match=r"kpis\.flicker: .*not measured"):
        edgekit.gate(judged, plain, profiled)
    wrong = bundle.contents.model_copy(update={"kpis": {"flicker": Kpi(min=0.1)}})
    with pytest.raises(SpecError, match=r"min contradicts .*lower is better"):
        edgekit.gate(replace(bundle, contents=wrong), report, profiled)
