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

from edgekit.core.errors import SpecError, TensorError
from edgekit.core.predictions import Geometry
from edgekit.core.spec import TaskSection
from edgekit.core.tensors import Array, TensorSpec
from edgekit.data.camvid import Config as CamVid
from edgekit.preprocess import place
from edgekit.tasks.segmentation import Config, Segmentation

CLASSES = ("road", "car", "sky")


def task(classes: tuple[str, ...] = CLASSES, ignore_index: int | None = None) -> Segmentation:
    return Config(output="logits", classes=classes, ignore_index=ignore_index).create()


def whole(height: int, width: int) -> Geometry:
    return place((height, width), (height, width), "stretch")


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
