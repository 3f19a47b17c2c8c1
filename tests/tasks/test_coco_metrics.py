"""The metrics equal pycocotools, which is the definition."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from edgekit.core.errors import DataError, TensorError
from edgekit.core.predictions import Detections, Objects
from edgekit.core.tensors import Array
from edgekit.tasks import Accumulator
from edgekit.tasks.detection import precision
from edgekit.tasks.detection.coco import NAMES, CocoMetrics

Frame = tuple[Detections, Objects]


def detections(boxes: Any, scores: Any, labels: Any) -> Detections:
    made = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections(made, np.array(scores, np.float32), np.array(labels, np.int64))


def objects(boxes: Any, labels: Any, crowd: Any = None, areas: Any = None) -> Objects:
    made = np.array(boxes, np.float32).reshape(-1, 4)
    crowd = np.zeros(len(made), bool) if crowd is None else np.array(crowd, bool)
    own = (made[:, 2] - made[:, 0]) * (made[:, 3] - made[:, 1])
    return Objects(made, np.array(labels, np.int64), crowd, np.array(own if areas is None else areas, np.float32))


def scored(frames: list[Frame], classes: int, order: Any = None) -> dict[str, float]:
    accumulator = CocoMetrics([f"c{i}" for i in range(classes)])
    for i in range(len(frames)) if order is None else order:
        accumulator.update(*frames[i], f"frame-{i}")
    return accumulator.compute()


def as_rows(found: Detections | Objects, image: int) -> list[dict[str, Any]]:
    rows = []
    for box, label in zip(found.boxes.astype(float).tolist(), found.labels.tolist(), strict=True):
        left, top, right, bottom = box
        rows.append({"image_id": image, "category_id": label + 1, "bbox": [left, top, right - left, bottom - top]})
    return rows


def reference(frames: list[Frame], classes: int) -> dict[str, float]:
    """What pycocotools finds, without what it could not measure (-1)."""
    truths: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image, (prediction, truth) in enumerate(frames):
        for row, crowd, area in zip(as_rows(truth, image), truth.crowd.tolist(), truth.areas.tolist(), strict=True):
            truths.append(row | {"id": len(truths) + 1, "iscrowd": int(crowd), "area": area})
        for row, score in zip(as_rows(prediction, image), prediction.scores.astype(float).tolist(), strict=True):
            results.append(row | {"score": score})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": i} for i in range(len(frames))],
            "categories": [{"id": i + 1} for i in range(classes)],
            "annotations": truths,
            "info": {},
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results) if results else COCO(), "bbox")
        evaluation.params.imgIds = list(range(len(frames)))
        evaluation.params.catIds = [i + 1 for i in range(classes)]
        if not results:
            evaluation.cocoDt.createIndex()
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    made = dict(zip(NAMES, evaluation.stats.tolist(), strict=True))
    for label in range(classes):
        precision = evaluation.eval["precision"][:, :, label, 0, 2]
        made[f"ap/c{label}"] = float(precision[precision > -1].mean()) if (precision > -1).any() else -1.0
    return {name: value for name, value in made.items() if value > -1}


def boxes_of(rng: np.random.Generator, count: int) -> Array:
    """Small, medium and large boxes; some on whole pixels, so that overlaps are equal."""
    corners = rng.uniform(0, 200, (count, 2))
    sizes = rng.choice([8.0, 32.0, 60.0, 96.0, 150.0], (count, 1)) * rng.uniform(0.7, 1.3, (count, 2))
    boxes = np.concatenate([corners, corners + sizes], axis=1)
    return np.round(boxes) if rng.random() < 0.5 else boxes


def case(seed: int) -> tuple[list[Frame], int]:
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(1, 4))
    crowded, tied, silent = rng.random(3) < [0.4, 0.5, 0.05]
    frames = []
    for _ in range(int(rng.integers(1, 5))):
        count = int(rng.choice([0, 1, 3, 6], p=[0.15, 0.25, 0.3, 0.3]))
        true_boxes, labels = boxes_of(rng, count), rng.integers(0, classes, count)
        if rng.random() < 0.3:
            labels[:] = 0  # the other classes have no truth
        crowd = (rng.random(count) < 0.3) & crowded
        areas = None if rng.random() < 0.5 else rng.choice([10, 1024, 2000, 9216, 20000], count)
        near = rng.integers(0, count, 2 * count) if count else np.empty(0, int)
        found = np.concatenate([true_boxes[near] + rng.normal(0, 4, (len(near), 4)), boxes_of(rng, 3)])
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        if rng.random() < 0.3:
            found = np.concatenate([found, true_boxes])
        near_labels = np.concatenate([labels[near], rng.integers(0, classes, len(found) - len(near))])
        scores = rng.choice([0.1, 0.5, 0.9], len(found)) if tied else rng.random(len(found))
        kept = rng.random(len(found)) < (0 if silent else 0.8)
        truth = objects(true_boxes, labels, crowd, areas)
        frames.append((detections(found[kept], scores[kept], near_labels[kept]), truth))
    return frames, classes


class TestAgainstPycocotools:
    def test_a_thousand_cases(self) -> None:
        measured = empty = 0
        for seed in range(1060):
            frames, classes = case(seed)
            expected = reference(frames, classes)
            if not expected:
                empty += 1
                with pytest.raises(DataError, match="no true object to score"):
                    scored(frames, classes)
                continue
            made = scored(frames, classes)
            assert made.keys() == expected.keys(), f"seed {seed}"
            assert made == pytest.approx(expected, abs=1e-6), f"seed {seed}"
            measured += 1
        assert measured >= 1000
        assert empty > 10

    def test_more_than_a_hundred_detections_of_a_class(self) -> None:
        rng = np.random.default_rng(3)
        truth = objects(boxes_of(rng, 40), rng.integers(0, 2, 40))
        found = np.repeat(truth.boxes, 8, axis=0) + rng.normal(0, 3, (320, 4))
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        frames = [(detections(found, rng.random(320), np.repeat(truth.labels, 8)), truth)]
        assert scored(frames, 2) == pytest.approx(reference(frames, 2), abs=1e-6)

    def test_ties_between_ten_frames_and_more(self) -> None:
        """The order of names as text would put frame 10 before frame 2."""
        frames = []
        for i in range(12):
            truth = objects([[10, 10, 60, 60]], [0])
            shift = 0 if i % 3 else 100
            frames.append((detections([[10 + shift, 10, 60 + shift, 60]], [0.5], [0]), truth))
        assert scored(frames, 1) == pytest.approx(reference(frames, 1), abs=1e-6)


class TestWeights:
    def test_equals_pycocotools_on_repeated_frames(self) -> None:
        rng, measured = np.random.default_rng(0), 0
        for seed in range(150):
            frames, classes = case(seed)
            for found, _ in frames:  # the order of equal scores of one frame is not that of its copies
                found.scores[:] = rng.permutation(len(found)) / 8 + rng.random() / 8
            weights = rng.integers(0, 4, len(frames))
            weights[0] = max(weights[0], 1)
            expected = reference([frame for frame, w in zip(frames, weights, strict=True) for _ in range(w)], classes)
            if not expected:
                continue
            accumulator = CocoMetrics([f"c{i}" for i in range(classes)])
            for i, frame in enumerate(frames):
                accumulator.update(*frame, f"frame-{i}")
            made = accumulator.compute(weights.astype(np.float64))
            assert made == pytest.approx(expected, abs=1e-9), f"seed {seed}"
            measured += 1
        assert measured > 100

    def test_both_ways_to_interpolate(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rng = np.random.default_rng(1)
        for seed in (5, 8, 13):
            frames, classes = case(seed)
            accumulator = CocoMetrics([f"c{i}" for i in range(classes)])
            for i in range(40):
                accumulator.update(*frames[i % len(frames)], f"frame-{i}")
            rows = rng.integers(0, 3, (20, 40)).astype(np.float64)
            rows[0, 1:] = 0
            results = []
            for many in (0, 1 << 20):
                monkeypatch.setattr(precision, "_WHOLE", many)
                results.append(accumulator.compute_many(rows))
            for name, values in results[0].items():
                np.testing.assert_allclose(values, results[1][name], rtol=1e-12)

    def test_metrics_that_are_not_asked_for_are_left_out(self) -> None:
        frames, classes = case(5)
        accumulator = CocoMetrics([f"c{i}" for i in range(classes)])
        for i, frame in enumerate(frames):
            accumulator.update(*frame, f"frame-{i}")
        rows = np.eye(len(frames))
        every, some = accumulator.compute_many(rows), accumulator.compute_many(rows, ("map",))
        assert not [name for name in some if name.endswith(("small", "medium", "large"))]
        for name, values in some.items():
            np.testing.assert_array_equal(values, every[name])

    def test_long_curves_are_summed_up_between_recalls(self, monkeypatch: pytest.MonkeyPatch) -> None:
        accumulator, weights = random_frames(100), np.random.default_rng(2).integers(0, 3, (30, 100)).astype(float)
        results = []
        for many, block in ((0, 1 << 18), (10**9, 1 << 18), (0, 1)):
            monkeypatch.setattr(precision, "_MANY", many)
            monkeypatch.setattr(precision, "_BLOCK", block)
            results.append(accumulator.compute_many(weights))
        for name, values in results[0].items():
            np.testing.assert_allclose(values, results[1][name], rtol=1e-12)
            np.testing.assert_array_equal(values, results[2][name])

    def test_parts_of_weights_scale_nothing(self) -> None:
        """Average precision and recall are shares, so half of every weight changes nothing."""
        accumulator, weights = random_frames(60), np.random.default_rng(2).integers(0, 3, (5, 60)).astype(float)
        whole, halves = accumulator.compute_many(weights), accumulator.compute_many(weights / 2)
        for name, values in whole.items():
            np.testing.assert_allclose(values, halves[name], rtol=1e-12)

    def test_every_frame_alone(self) -> None:
        accumulator = random_frames(80)
        for name in ("map", "ap/c0", "ap_small"):
            np.testing.assert_allclose(accumulator.alone(name), Accumulator.alone(accumulator, name), rtol=1e-12)
        assert np.isnan(accumulator.alone("map")).any()

    @given(st.integers(1, 3000))
    def test_recalls_that_are_reached(self, total: int) -> None:
        """Equal to the division of pycocotools, ties included."""
        hits = np.arange(total + 1)[None]
        expected = np.searchsorted(precision.RECALLS, hits[0] / total, "right")
        np.testing.assert_array_equal(precision._reached(np.array([float(total)]), True)(hits)[0], expected)


def random_frames(count: int) -> CocoMetrics:
    accumulator = CocoMetrics(["c0", "c1", "c2"])
    frames = [frame for seed in range(count) for frame in case(seed)[0]]
    for i, (found, truth) in enumerate(frames[:count]):
        accumulator.update(found, truth, f"frame-{i}")
    return accumulator


class TestAccumulator:
    def test_order_of_frames_does_not_matter(self) -> None:
        for seed in (1, 2, 4, 10):
            frames, classes = case(seed)
            assert scored(frames, classes) == scored(frames, classes, reversed(range(len(frames))))

    def test_what_was_added_does_not_change_with_its_arrays(self) -> None:
        frames, classes = case(5)
        accumulator = CocoMetrics([f"c{i}" for i in range(classes)])
        expected = scored(frames, classes)
        for i, (found, truth) in enumerate(frames):
            accumulator.update(found, truth, f"frame-{i}")
            for array in (found.boxes, found.scores, truth.boxes, truth.areas, truth.crowd):
                array[:] = 0
        assert accumulator.compute() == expected

    def test_by_hand(self) -> None:
        """One of two found, after one mistake: precision 1/2 up to recall 1/2, which 51 of 101 recalls reach."""
        truth = objects([[0, 0, 20, 20], [50, 50, 70, 70]], [0, 0])
        found = detections([[0, 0, 20, 20], [100, 100, 120, 120]], [0.5, 0.9], [0, 0])
        made = scored([(found, truth)], 1)
        assert made["map"] == pytest.approx(0.5 * 51 / 101)
        assert made["ar100"] == pytest.approx(0.5)
        assert made["ar1"] == 0.0
        assert "ap_large" not in made
        assert set(made) == {"map", "ap50", "ap75", "ap_small", "ar1", "ar10", "ar100", "ar_small", "ap/c0"}

    def test_a_perfect_model_scores_exactly_one(self) -> None:
        truth = objects([[0, 0, 20, 20], [50, 50, 90, 90], [0, 0, 200, 200]], [0, 0, 1])
        made = scored([(detections(truth.boxes, [1, 1, 1], truth.labels), truth)], 3)
        assert made.pop("ar1") == 0.75  # the first class has two objects
        assert set(made.values()) == {1.0}
        assert "ap/c2" not in made

    def test_memory_is_a_few_bytes_a_detection(self) -> None:
        accumulator = CocoMetrics(["a"])
        boxes = np.tile(np.array([0, 0, 9, 9], np.float32), (100, 1))
        found = detections(boxes, np.linspace(1, 0, 100), np.zeros(100))
        accumulator.update(found, objects(boxes[:5], np.zeros(5)), "a")
        assert accumulator.frames["a"].nbytes == 1700

    @pytest.mark.parametrize(
        ("truth", "message"),
        [
            (None, "sample 'f': truth is missing; evaluate on a dataset with boxes"),
            ("text", "sample 'f': truth is str, no objects"),
            (objects([[0, 0, 1, 1]], [2]), r"sample 'f': truth has the class id 2; allowed: 0\.\.1"),
            (objects([[0, 0, 1, 1]], [-1]), r"truth has the class id -1"),
            (objects([[5, 0, 1, 1]], [0], areas=[4]), r"true object 0 has the box \[5\.0, 0\.0, 1\.0, 1\.0\]"),
            (objects([[0, 0, np.nan, 1]], [0], areas=[1]), "true object 0"),
            (objects([[0, 0, 1, 1]], [0], areas=[np.nan]), "the area nan"),
        ],
    )
    def test_bad_truth(self, truth: Any, message: str) -> None:
        accumulator = CocoMetrics(["a", "b"])
        with pytest.raises(DataError, match=message):
            accumulator.update(detections([], [], []), truth, "f")
        assert not accumulator.frames
        assert not accumulator.objects

    def test_a_sample_twice(self) -> None:
        accumulator = CocoMetrics(["a"])
        frame = detections([], [], []), objects([[0, 0, 1, 1]], [0])
        accumulator.update(*frame, "f")
        with pytest.raises(DataError, match="sample 'f': was added before; every frame needs a name of its own"):
            accumulator.update(*frame, "f")
        assert len(accumulator) == len(accumulator.objects) == 1

    def test_prediction_of_an_unknown_class(self) -> None:
        with pytest.raises(TensorError, match=r"sample 'f': the prediction has the class id 1; allowed: 0\.\.0"):
            CocoMetrics(["a"]).update(detections([[0, 0, 1, 1]], [1], [1]), objects([], []), "f")
