"""Metrics of segmentation against torchmetrics and by hand; truths and predictions that cannot be."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from torchmetrics import JaccardIndex
from torchmetrics.classification import MulticlassAccuracy

from edgekit.core.errors import DataError, TensorError
from edgekit.core.predictions import LabelMap
from edgekit.core.tensors import Array
from edgekit.data.camvid import Config as CamVid
from edgekit.tasks import Accumulator
from edgekit.tasks.segmentation import Config, Segmentation

CLASSES = ("road", "car", "sky")


def task(classes: tuple[str, ...] = CLASSES, ignore_index: int | None = None) -> Segmentation:
    return Config(output="logits", classes=classes, ignore_index=ignore_index).create()


def scored(classes: tuple[str, ...], ignore_index: int | None, frames: list[tuple[Array, Array]]) -> dict[str, float]:
    accumulator = task(classes, ignore_index).accumulator()
    for i, (prediction, truth) in enumerate(frames):
        accumulator.update(LabelMap(prediction), truth, f"frame-{i}")
    return accumulator.compute()


def peer(count: int, ignore_index: int | None, frames: list[tuple[Array, Array]], average: str | None) -> Any:
    """torchmetrics, frame by frame."""
    options: dict[str, Any] = {"num_classes": count, "average": average, "ignore_index": ignore_index}
    metric = JaccardIndex(task="multiclass", validate_args=False, **options)  # the check takes a second a frame
    for prediction, truth in frames:
        metric.update(torch.from_numpy(prediction.astype(np.int64)), torch.from_numpy(truth.astype(np.int64)))
    return metric.compute()


@st.composite
def labelled(draw: st.DrawFn) -> tuple[int, int | None, list[tuple[Array, Array]]]:
    """Frames of 2 to 7 classes of which some are absent; the void id lies inside or outside of them."""
    count = draw(st.integers(2, 7))
    ignore_index = draw(st.sampled_from([None, 0, count - 1, count, 255]))
    ids = st.sampled_from(draw(st.lists(st.integers(0, count - 1), min_size=1, unique=True)))
    truths = ids if ignore_index is None else ids | st.just(ignore_index)
    frames = []
    for _ in range(draw(st.integers(1, 3))):
        shape = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
        prediction = draw(npst.arrays(np.uint8, shape, elements=ids))
        frames.append((prediction, draw(npst.arrays(np.uint8, shape, elements=truths))))
    return count, ignore_index, frames


class TestMetrics:
    @settings(deadline=None, max_examples=150)
    @given(labelled())
    def test_equals_torchmetrics(self, case: tuple[int, int | None, list[tuple[Array, Array]]]) -> None:
        count, ignore_index, frames = case
        classes = tuple(f"c{i}" for i in range(count))
        if all((truth == ignore_index).all() for _, truth in frames):
            with pytest.raises(DataError, match="no labelled pixel to score"):
                scored(classes, ignore_index, frames)
            return
        made = scored(classes, ignore_index, frames)
        assert made["miou"] == pytest.approx(float(peer(count, ignore_index, frames, "macro")), abs=1e-6)
        for i, value in enumerate(peer(count, ignore_index, frames, None).tolist()):
            assert made.get(f"iou/c{i}", 0.0) == pytest.approx(value, abs=1e-6)
        metric = MulticlassAccuracy(num_classes=count, average="micro", ignore_index=ignore_index)
        for prediction, truth in frames:
            metric.update(torch.from_numpy(prediction.astype(np.int64)), torch.from_numpy(truth.astype(np.int64)))
        assert made["pixel_accuracy"] == pytest.approx(float(metric.compute()), abs=1e-6)

    def test_by_hand(self) -> None:
        truth = np.array([[0, 0, 1, 1, 255]], np.uint8)
        prediction = np.array([[0, 1, 1, 1, 2]], np.uint8)
        # road 1 of 2, car 2 of 3; sky is predicted on void only, so nothing was measured for it
        made = scored(CLASSES, 255, [(prediction, truth)])
        assert made == pytest.approx(
            {"miou": (1 / 2 + 2 / 3) / 2, "pixel_accuracy": 0.75, "iou/road": 0.5, "iou/car": 2 / 3}
        )

    def test_a_class_that_is_only_predicted_counts_as_zero(self) -> None:
        made = scored(CLASSES, None, [(np.array([[0, 2]], np.uint8), np.array([[0, 0]], np.uint8))])
        assert made == {"miou": 0.25, "pixel_accuracy": 0.5, "iou/road": 0.5, "iou/sky": 0.0}

    def test_names_and_directions(self) -> None:
        metrics = task(ignore_index=1).metrics
        assert [m.name for m in metrics] == ["miou", "pixel_accuracy", "iou/road", "iou/sky"]
        assert all(m.higher for m in metrics)
        everything = (np.array([[0, 1, 2]], np.uint8), np.array([[0, 1, 2]], np.uint8))
        assert set(scored(CLASSES, 1, [everything])) == {m.name for m in metrics}
        assert set(scored(CLASSES, 9, [everything])) == {m.name for m in task(ignore_index=9).metrics}

    @pytest.mark.parametrize("ignore_index", [11, 1])
    def test_real_masks_shifted(self, camvid_root: Path, ignore_index: int) -> None:
        names = tuple(json.loads((camvid_root / "classes.json").read_text())["names"])
        frames = []
        for shift, sample in enumerate(CamVid(root=camvid_root, split="test", limit=6).open(), start=1):
            truth = np.where(sample.truth == 11, ignore_index, sample.truth)
            prediction = np.roll(np.minimum(sample.truth, 10), (shift, 3 * shift), axis=(0, 1))
            frames.append((prediction, truth))
        made = scored(names, ignore_index, frames)
        assert made["miou"] == pytest.approx(float(peer(11, ignore_index, frames, "macro")), abs=1e-6)
        assert 0.3 < made["miou"] < 0.9
        for name, value in zip(names, peer(11, ignore_index, frames, None).tolist(), strict=True):
            assert made.get(f"iou/{name}", 0.0) == pytest.approx(value, abs=1e-6)

    def test_counts_do_not_lose_precision(self) -> None:
        """A float32 sum of ones stops at 2**24."""
        accumulator = task().accumulator()
        for prediction in (0, 1):
            accumulator.update(LabelMap(np.array([[prediction]], np.uint8)), np.array([[0]], np.uint8), "a")
        assert accumulator.compute(np.array([2.0**40, 1]))["pixel_accuracy"] == 2**40 / (2**40 + 1)

    def test_memory_is_twelve_bytes_a_class_and_frame(self) -> None:
        accumulator = task().accumulator()
        for i in range(1000):
            accumulator.update(LabelMap(np.zeros((9, 9), np.uint8)), np.zeros((9, 9), np.uint8), f"f{i}")
        assert accumulator.counts.all().nbytes == 1000 * 3 * 3 * 4

    @pytest.mark.parametrize(
        ("truth", "ignore_index", "message"),
        [
            (None, None, "sample 'f7': has no truth; evaluate on a dataset with masks"),
            ([[0]], None, r"sample 'f7': truth is list; expected a mask uint8\[H, W\]"),
            (np.zeros((2, 2), np.int64), None, r"truth is int64\[2, 2\]; expected a mask uint8\[H, W\]"),
            (np.zeros((2, 3), np.uint8), None, r"sample 'f7': truth is \[2, 3\], but the prediction is \[2, 2\]"),
            (
                np.array([[0, 3], [3, 9]], np.uint8),
                None,
                r"sample 'f7': truth has the class id 3 in 2 pixels; allowed: 0\.\.2 \(ignore_index is not set\)",
            ),
            (
                np.array([[0, 255], [255, 3]], np.uint8),
                255,
                r"truth has the class id 3 in 1 pixels; allowed: 0\.\.2 \(ignore_index 255\)",
            ),
        ],
    )
    def test_truth_that_cannot_belong(self, truth: Any, ignore_index: int | None, message: str) -> None:
        accumulator = task(ignore_index=ignore_index).accumulator()
        with pytest.raises(DataError, match=message):
            accumulator.update(LabelMap(np.zeros((2, 2), np.uint8)), truth, "f7")
        assert len(accumulator) == 0

    def test_prediction_that_is_no_class(self) -> None:
        with pytest.raises(TensorError, match=r"sample 'f7': the prediction has an id outside 0\.\.2"):
            task().accumulator().update(LabelMap(np.array([[3]], np.uint8)), np.array([[0]], np.uint8), "f7")

    @settings(deadline=None)
    @given(st.data())
    def test_two_pixels_at_once_count_as_one_after_the_other(self, data: st.DataObject) -> None:
        """Also what is no class, which only the long way names."""
        count, void = data.draw(st.integers(2, 17)), data.draw(st.sampled_from([None, 0, 1, 11, 14, 15, 31, 200, 255]))
        ids = st.sampled_from([*range(count), *range(count), *([] if void is None else [void]), 16, 31, 255])
        shape = data.draw(npst.array_shapes(min_dims=2, max_dims=2, max_side=5))
        truth, labels = (data.draw(npst.arrays(np.uint8, shape, elements=ids)) for _ in range(2))
        accumulator = task(tuple(f"c{i}" for i in range(count)), void).accumulator()
        found = accumulator._joint_of_few(labels, truth)
        valid = np.full(shape, True) if void is None else truth != void
        good = bool((truth[valid] < count).all() and (labels[valid] < count).all())
        if not good:
            assert found is None
            with pytest.raises((DataError, TensorError)):
                accumulator.update(LabelMap(labels), truth, "f")
        elif found is not None:
            np.testing.assert_array_equal(found, accumulator._joint(labels, truth, "f")[:16, :16])
        else:
            assert count > 15 or truth.max() > 14 or labels.max() > 15

    def test_every_frame_alone(self) -> None:
        rng = np.random.default_rng(0)
        accumulator = task(ignore_index=2).accumulator()
        for i in range(70):
            accumulator.update(
                LabelMap(rng.integers(0, 3, (3, 3), np.uint8)), rng.integers(i % 3, 3, (3, 3), np.uint8), "f"
            )
        for name in ("miou", "iou/car"):
            np.testing.assert_array_equal(accumulator.alone(name), Accumulator.alone(accumulator, name))
        assert np.isnan(accumulator.alone("miou")[2::3]).all()

    def test_nothing_to_score(self) -> None:
        with pytest.raises(DataError, match="no labelled pixel to score; evaluate frames"):
            task().accumulator().compute()
