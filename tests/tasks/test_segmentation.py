from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from pydantic import TypeAdapter, ValidationError
from torchmetrics import JaccardIndex
from torchmetrics.classification import MulticlassAccuracy

from edgekit.core.errors import DataError, SpecError, TensorError
from edgekit.core.predictions import Geometry, LabelMap
from edgekit.core.spec import TaskSection
from edgekit.core.tensors import Array, TensorSpec
from edgekit.data.camvid import Config as CamVid
from edgekit.preprocess import place
from edgekit.tasks import Accumulator
from edgekit.tasks.segmentation import Config, Segmentation

CLASSES = ("road", "car", "sky")


def task(classes: tuple[str, ...] = CLASSES, ignore_index: int | None = None) -> Segmentation:
    return Config(output="logits", classes=classes, ignore_index=ignore_index).create()


def whole(height: int, width: int) -> Geometry:
    return place((height, width), (height, width), "stretch")


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


class TestConfig:
    def test_inline_names(self) -> None:
        config = Config(output="logits", classes=["road", "car"], ignore_index=255)
        assert config.classes == ("road", "car")
        assert config.create().classes == ("road", "car")

    @pytest.mark.parametrize("document", [["road", "car"], {"names": ["road", "car"], "void": 11}])
    def test_names_of_a_file_beside_the_spec_end_up_in_the_bundle(self, tmp_path: Path, document: object) -> None:
        (tmp_path / "classes.json").write_text(json.dumps(document))
        section: TypeAdapter[Any] = TypeAdapter(TaskSection)
        spec = {"kind": "segmentation", "output": "logits", "classes": "classes.json", "ignore_index": 11}
        config = section.validate_python(spec, context={"base": tmp_path})
        (tmp_path / "classes.json").unlink()
        stored = json.loads(json.dumps(config.model_dump(mode="json")))
        assert stored == spec | {"classes": ["road", "car"], "threshold": None}
        assert section.validate_python(stored) == config

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (None, r'classes\.json: no such file; expected a JSON file with a list of names or \{"names": \[...\]\}'),
            (b'["road",\n "car"', r"classes\.json:2: not valid JSON: Expecting ',' delimiter; expected a list"),
            (b"\xff", r"classes\.json: cannot be read as UTF-8 text"),
            (b'{"classes": ["road"]}', r"classes\.json: expected a list of names or"),
            (b'["road", 3]', r"classes\.json: expected a list of names or .*, each name a text that is not empty"),
            (b'["road", " "]', r"each name a text that is not empty"),
            (
                b'["road"]',
                r"classes: expected 2 to 256 class names, found 'road' alone; a background counts as a class",
            ),
            (b'["road", "car", "road"]', r"classes\.json: the class name 'road' is there twice"),
        ],
    )
    def test_bad_class_files(self, tmp_path: Path, content: bytes | None, message: str) -> None:
        path = tmp_path / "classes.json"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ValidationError, match=message) as caught:
            Config.model_validate({"output": "logits", "classes": str(path)})
        assert "\n" not in caught.value.errors()[0]["msg"]

    @pytest.mark.parametrize("options", [{"classes": 3}, {"ignore_index": -1}, {"ignore_index": 256}, {"extra": 1}])
    def test_bad_options(self, options: dict[str, object]) -> None:
        with pytest.raises(ValidationError, match=next(iter(options))):
            Config.model_validate({"output": "logits", "classes": ["a", "b"], **options})

    def test_json_schema_allows_a_path_and_a_list(self) -> None:
        kinds = {choice["type"] for choice in Config.model_json_schema()["properties"]["classes"]["anyOf"]}
        assert kinds == {"string", "array"}


class TestCheckOutputs:
    @pytest.mark.parametrize("shape", [(1, 3, 8, 8), (None, None, None, None), (1, 3, 2, 2)])
    def test_fitting(self, shape: tuple[int | None, ...]) -> None:
        task().check_outputs([TensorSpec("other", (1,)), TensorSpec("logits", shape)])

    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            (TensorSpec("logit", (1, 3, 8, 8)), "no output 'logits'; did you mean 'logit'\\? allowed: logit$"),
            (TensorSpec("logits", (1, 8, 8)), r"the model gives logits: float32\[1, 8, 8\], which has 3 dimensions"),
            (TensorSpec("logits", (1, 4, 8, 8)), r"float32\[1, 3, h, w\].*with 4 channels: correct task\.classes"),
            (TensorSpec("logits", (2, 3, 8, 8)), "a batch of 2"),
            (TensorSpec("logits", (1, 3, 8, 8), "float16"), "cast the output to float32"),
        ],
    )
    def test_misfits(self, spec: TensorSpec, message: str) -> None:
        with pytest.raises(SpecError, match=message):
            task().check_outputs([spec])


def interpolated(logits: Array, size: tuple[int, int]) -> Array:
    resized = torch.nn.functional.interpolate(torch.from_numpy(logits), size, mode="bilinear", align_corners=False)
    return resized.numpy()


def agrees(labels: Array, scores: Array) -> bool:
    """Each label's score is the highest, up to float32 rounding of two bilinear implementations."""
    chosen = np.take_along_axis(scores, labels[None].astype(np.int64), axis=0)[0]
    return bool((chosen >= scores.max(axis=0) - 1e-5).all())


class TestDecode:
    few = st.sampled_from([-np.inf, -2.5, -1.0, -0.0, 0.0, 1.0, 1.5, np.inf])

    @settings(deadline=None)
    @given(
        npst.arrays(
            np.float32, st.tuples(st.just(1), st.integers(2, 5), st.integers(1, 9), st.integers(1, 9)), elements=few
        )
    )
    def test_is_argmax_also_for_ties_and_infinities(self, logits: Array) -> None:
        count, height, width = logits.shape[1:]
        before = logits.copy()
        made = task(tuple(f"class {i}" for i in range(count))).decode({"logits": logits}, whole(height, width))
        np.testing.assert_array_equal(made.labels, logits[0].argmax(axis=0))
        np.testing.assert_array_equal(logits, before)

    def test_256_classes(self) -> None:
        logits = np.random.default_rng(0).standard_normal((1, 256, 40, 40)).astype(np.float32)
        made = task(tuple(map(str, range(256)))).decode({"logits": logits}, whole(40, 40))
        np.testing.assert_array_equal(made.labels, logits[0].argmax(axis=0))
        assert made.labels.max() > 250

    def test_ties_go_to_the_lowest_class(self) -> None:
        made = task().decode({"logits": np.zeros((1, 3, 4, 4), np.float32)}, whole(4, 4))
        assert not made.labels.any()

    @pytest.mark.parametrize("original", [(60, 90), (13, 17), (24, 32)])
    def test_stretch_resizes_logits(self, original: tuple[int, int]) -> None:
        logits = np.random.default_rng(1).standard_normal((1, 3, 24, 32)).astype(np.float32)
        made = task().decode({"logits": logits}, place(original, (24, 32), "stretch"))
        assert made.labels.shape == original
        assert agrees(made.labels, interpolated(logits, original)[0])

    @pytest.mark.parametrize("mode", ["letterbox", "letterbox-topleft"])
    @pytest.mark.parametrize("stride", [1, 4])
    def test_letterbox_border_is_cropped(self, mode: str, stride: int) -> None:
        geometry = place((90, 160), (64, 64), mode)  # the content is 36 rows
        top = 14 if mode == "letterbox" else 0
        assert geometry.content == (top, 0, 36, 64)
        logits = np.random.default_rng(2).standard_normal((1, 3, 64 // stride, 64 // stride)).astype(np.float32)
        made = task().decode({"logits": logits}, geometry)
        full = logits if stride == 1 else interpolated(logits, (64, 64))
        expected = interpolated(full[:, :, top : top + 36], (90, 160))[0]
        if (stride, mode) == (4, "letterbox-topleft"):  # 9 whole rows of logits: cropped before they are resized
            expected = interpolated(logits[:, :, :9], (90, 160))[0]
        assert agrees(made.labels, expected)

    def test_nothing_of_the_border_is_left(self) -> None:
        geometry = place((50, 100), (64, 64), "letterbox")
        logits = np.zeros((1, 3, 64, 64), np.float32)
        logits[:, 1] = 100
        logits[:, 1, 16:48], logits[:, 2, 16:48] = 0, 1
        assert (task().decode({"logits": logits}, geometry).labels == 2).all()

    def test_labels_come_back_to_their_place(self, camvid_root: Path) -> None:
        sample = CamVid(root=camvid_root, split="test", limit=1).open()[0]
        classes = tuple(map(str, range(12)))
        for tensor, mode in (((360, 480), "stretch"), ((384, 640), "letterbox"), ((416, 512), "letterbox-topleft")):
            geometry = place((360, 480), tensor, mode)
            one_hot = (sample.truth[None] == np.arange(12)[:, None, None]).astype(np.float32)[None]
            top, left, rows, columns = geometry.content
            logits = np.zeros((1, 12, *tensor), np.float32)
            logits[:, :, top : top + rows, left : left + columns] = interpolated(one_hot, (rows, columns))
            made = task(classes).decode({"logits": logits}, geometry)
            assert (made.labels == sample.truth).mean() > 0.985

    @pytest.mark.parametrize("plane", [0, 1, 2])
    def test_nan(self, plane: int) -> None:
        logits = np.ones((1, 3, 8, 8), np.float32)
        logits[0, plane, 3, 5] = np.nan
        for geometry in (whole(8, 8), place((20, 20), (8, 8), "stretch")):
            with pytest.raises(TensorError, match="output 'logits' holds NaN"):
                task().decode({"logits": logits}, geometry)

    @pytest.mark.parametrize(
        ("outputs", "message"),
        [
            ({"logit": np.zeros(3)}, "no output 'logits'; did you mean 'logit'"),
            ({"logits": np.zeros((1, 4, 8, 8), np.float32)}, r"has shape \[1, 4, 8, 8\]; expected \[1, 3, h, w\]"),
            ({"logits": np.zeros((2, 3, 8, 8), np.float32)}, r"has shape \[2, 3, 8, 8\]"),
            ({"logits": np.zeros((1, 3, 0, 8), np.float32)}, r"has shape \[1, 3, 0, 8\]"),
            ({"logits": np.zeros((1, 3, 8, 8), np.float64)}, "is float64; expected float32"),
        ],
    )
    def test_bad_outputs(self, outputs: dict[str, Array], message: str) -> None:
        with pytest.raises(TensorError, match=message):
            task().decode(outputs, whole(8, 8))


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


class TestOneChannel:
    """A model with one channel and a sigmoid, or raw logits: a threshold tells its two classes apart."""

    @staticmethod
    def binary(**options: Any) -> Segmentation:
        return Config.model_validate({"output": "logits", "classes": ["background", "road"], **options}).create()

    @pytest.mark.parametrize("classes", [["road"], ["background", "road"]])
    def test_a_class_alone_stands_beside_the_background(self, classes: list[str]) -> None:
        config = Config.model_validate({"output": "logits", "classes": classes, "threshold": 0.5})
        assert config.classes == ("background", "road")
        assert Config.model_validate(config.model_dump(mode="json")) == config

    def test_a_class_alone_from_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "classes.json").write_text('["road"]')
        config = Config.model_validate({"output": "o", "classes": str(tmp_path / "classes.json"), "threshold": 0})
        assert config.classes == ("background", "road")

    @pytest.mark.parametrize("batch", [(1, 1), (1,)])
    @pytest.mark.parametrize(("threshold", "raw"), [(0.5, False), (0.0, True), (0.3, False), (-1.2, True)])
    def test_above_the_threshold(self, batch: tuple[int, ...], threshold: float, raw: bool) -> None:
        logits = np.random.default_rng(3).normal(0, 2, (6, 10)).astype(np.float32)
        values = logits if raw else 1 / (1 + np.exp(-logits))
        found = self.binary(threshold=threshold).decode({"logits": values.reshape(*batch, 6, 10)}, whole(6, 10))
        assert found.labels.dtype == np.uint8
        np.testing.assert_array_equal(found.labels, np.where(values > threshold, 1, 0))

    def test_a_value_at_the_threshold_is_below_it(self) -> None:
        value = np.array([[[[0.5, np.nextafter(np.float32(0.5), np.float32(1))]]]], np.float32)
        assert self.binary(threshold=0.5).decode({"logits": value}, whole(1, 2)).labels.tolist() == [[0, 1]]

    def test_values_not_labels_are_resized(self) -> None:
        values = np.array([[[[0.0, 1.0]]]], np.float32)
        found = self.binary(threshold=0.2).decode({"logits": values}, place((1, 8), (1, 2), "stretch"))
        expected = interpolated(values, (1, 8))[0, 0] > 0.2
        np.testing.assert_array_equal(found.labels, expected)
        assert found.labels.sum() == 5

    @pytest.mark.parametrize("shape", [(1, 1, 4, 4), (1, 4, 4), (None, None, None, None)])
    def test_fitting(self, shape: tuple[int | None, ...]) -> None:
        self.binary(threshold=0.5).check_outputs([TensorSpec("logits", shape)])

    @pytest.mark.parametrize("shape", [(1, 1, 4, 4), (1, 4, 4)])
    def test_without_a_threshold_the_message_says_which(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(
            SpecError, match=r"one channel: give task\.threshold, .* is road: 0\.5 .* sigmoid, 0 for raw"
        ):
            self.binary().check_outputs([TensorSpec("logits", shape)])

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"classes": ["road"]}, r"found 'road' alone; .* one channel give task\.threshold, .* 0\.5 .* 0 for raw"),
            ({"threshold": 0.5, "classes": ["a", "b", "c"]}, r"threshold: tells 2 classes apart, found 3"),
            ({"threshold": 0.5, "classes": ["background"]}, r"threshold: tells 2 classes apart, found 1"),
            ({"threshold": float("nan")}, r"threshold"),
        ],
    )
    def test_bad_options(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            self.binary(**options)

    @pytest.mark.parametrize(
        ("shape", "message"),
        [
            ((1, 2, 4, 4), "with 2 channels: remove task.threshold when it has a channel for each class"),
            ((2, 1, 4, 4), "a batch of 2"),
            ((1, 4), "2 dimensions instead of 4"),
        ],
    )
    def test_misfits(self, shape: tuple[int, ...], message: str) -> None:
        with pytest.raises(SpecError, match=message):
            self.binary(threshold=0.5).check_outputs([TensorSpec("logits", shape)])

    def test_nan(self) -> None:
        with pytest.raises(TensorError, match="NaN"):
            self.binary(threshold=0.5).decode({"logits": np.full((1, 1, 2, 2), np.nan, np.float32)}, whole(2, 2))
