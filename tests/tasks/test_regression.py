"""Errors of angles, landmarks and any numbers, against values worked out by hand and by NumPy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

import edgekit
from edgekit.core.errors import DataError, SpecError, TensorError
from edgekit.core.predictions import Geometry
from edgekit.core.spec import TaskSection
from edgekit.core.tensors import Array, TensorSpec
from edgekit.preprocess import place
from edgekit.tasks.regression import Config, Regression

GEOMETRY = place((100, 200), (50, 50), "stretch")


def task(**keys: Any) -> Regression:
    return Config.model_validate({"output": "y", **keys}).create()


def scored(
    made: Regression, frames: list[tuple[Any, dict[str, Any]]], weights: Array | None = None
) -> dict[str, float]:
    total = made.accumulator()
    for i, (values, truth) in enumerate(frames):
        output = np.array(values, np.float32)[None]
        total.update(made.decode({"y": output}, GEOMETRY), truth, f"frame-{i}")
    return total.compute(weights)


class TestValues:
    def test_errors_by_hand(self) -> None:
        made = task(components=["a", "b"])
        found = scored(made, [([1, 10], {"a": 2, "b": 10}), ([3, 10], {"a": 0, "b": 14})])
        assert found["mae/a"] == 2
        assert found["mae/b"] == 2
        assert found["rmse/a"] == pytest.approx(np.sqrt((1 + 9) / 2))
        assert found["rmse/b"] == pytest.approx(np.sqrt(8))
        assert found["mae"] == 2
        assert found["rmse"] == pytest.approx(np.sqrt((5 + 8) / 2))
        assert (found["error_p50"], found["error_p90"]) == (0.5, 3.5)

    @pytest.mark.parametrize(
        ("found", "true", "error"),
        [(179, -179, 2), (-179, 179, 2), (0, 180, 180), (1, 361, 0), (-350, 5, 5), (90, -90, 180), (725, 0, 5)],
    )
    def test_angles_go_the_shorter_way_round(self, found: float, true: float, error: float) -> None:
        assert scored(task(components=["yaw"], period=360), [([found], {"yaw": true})])["mae"] == pytest.approx(error)

    def test_a_circle_for_one_component(self) -> None:
        made = task(components=["yaw", "z"], period={"yaw": 6.0})
        found = scored(made, [([5.5, 5.5], {"yaw": 0.5, "z": 0.5})])
        assert (found["mae/yaw"], found["mae/z"]) == (1.0, 5.0)

    def test_the_unit_of_the_labels(self) -> None:
        made = task(components=["a", "b"], scale=[10, 2], offset=1)
        found = scored(made, [([1, 1], {"a": 11, "b": 4})])
        assert (found["mae/a"], found["mae/b"]) == (0, 1)

    def test_missing_labels_count_nowhere(self) -> None:
        made = task(components=["a", "b"])
        frames = [([1, 1], {"a": 0, "b": None}), ([1, 1], {"a": float("nan"), "b": 3})]
        found = scored(made, frames)
        assert (found["mae/a"], found["mae/b"], found["mae"]) == (1, 2, 1.5)
        part = scored(made, frames, np.array([1.0, 0.0]))
        assert "mae/b" not in part
        assert part["mae"] == 1

    def test_labels_are_found_by_name(self) -> None:
        made = task(components=["pitch", "yaw"])
        assert scored(made, [([1, 2], {"yaw": 2, "roll": 9, "pitch": 1})])["mae"] == 0
        with pytest.raises(DataError, match=r"'frame-0': no label 'pitch', which task\.components needs; .*yaw"):
            scored(made, [([1, 2], {"yaw": 2})])

    def test_several_outputs_one_after_another(self) -> None:
        made = task(output=["yaw", "pitch"], components=["yaw", "pitch"])
        made.check_outputs([TensorSpec("pitch", (1, 1)), TensorSpec("yaw", (1,))])
        found = made.decode({"yaw": np.float32([[1]]), "pitch": np.float32([[2]])}, GEOMETRY)
        assert dict(zip(found.names, found.values.tolist(), strict=True)) == {"yaw": 1, "pitch": 2}


class TestLandmarks:
    POINTS = ("left", "right", "chin")
    TRUTH: ClassVar = {
        "left_x": 10,
        "left_y": 10,
        "right_x": 40,
        "right_y": 50,
        "chin_x": 30,
        "chin_y": 80,
    }  # 50 px apart

    def marks(self, **keys: Any) -> Regression:
        return task(points=list(self.POINTS), **keys)

    def test_distance_over_the_distance_of_two_points(self) -> None:
        made = self.marks(coordinates="original", normalise=["left", "right"])
        found = scored(made, [([13, 14, 40, 50, 30, 90], self.TRUTH)])
        assert (found["nme/left"], found["nme/right"], found["nme/chin"]) == (0.1, 0, 0.2)
        assert found["nme"] == pytest.approx(0.1)

    @pytest.mark.parametrize(("normalise", "size"), [(None, 1), (100, 100), ("box", np.sqrt(30 * 70))])
    def test_other_sizes(self, normalise: object, size: float) -> None:
        made = self.marks(coordinates="original", normalise=normalise)
        name = "mae" if normalise is None else "nme"
        assert made.metrics[0].name == name
        assert scored(made, [([13, 14, 40, 50, 30, 80], self.TRUTH)])[f"{name}/left"] == pytest.approx(5 / size)

    @pytest.mark.parametrize(
        ("coordinates", "geometry", "given", "pixels"),
        [
            ("original", GEOMETRY, (20, 30), (20, 30)),
            ("input-pixels", GEOMETRY, (25, 25), (100, 50)),
            ("input-share", GEOMETRY, (0.25, 0.75), (50, 75)),
            ("input-pixels", place((100, 200), (100, 100), "letterbox"), (50, 25), (100, 0)),
            ("input-share", place((100, 200), (100, 100), "letterbox"), (1, 0.75), (200, 100)),
        ],
    )
    def test_pixels_of_the_frame(
        self, coordinates: str, geometry: Geometry, given: tuple[float, float], pixels: tuple[float, float]
    ) -> None:
        made = task(points=["p"], coordinates=coordinates)
        assert made.decode({"y": np.float32([given])}, geometry).values.tolist() == pytest.approx(pixels)

    def test_planes(self) -> None:
        made = self.marks(coordinates="original", layout="planes")
        found = made.decode({"y": np.float32([[1, 2, 3, 10, 20, 30]])}, GEOMETRY)
        assert found.values.tolist() == [1, 10, 2, 20, 3, 30]
        assert found.names[:2] == ("left_x", "left_y")

    def test_counted_names(self) -> None:
        made = task(points={"mark": 2}, coordinates="original")
        assert made.labels == ("mark0_x", "mark0_y", "mark1_x", "mark1_y")

    @pytest.mark.parametrize("normalise", [["left", "right"], "box"])
    def test_no_size(self, normalise: object) -> None:
        made = self.marks(coordinates="original", normalise=normalise)
        with pytest.raises(DataError, match=r"'frame-0': .* is 0, and errors are divided by it"):
            scored(made, [([0] * 6, dict.fromkeys(self.TRUTH, 5))])

    def test_dots(self) -> None:
        made = self.marks(coordinates="original")
        image = np.zeros((100, 200, 3), np.uint8)
        picture = made.paint(image, self.TRUTH)
        assert picture[80, 30].any()
        assert not picture[80, 150].any()


class TestJudges:
    def test_labels_are_checked_before_a_build(self) -> None:
        made = task(components=["a"])
        made.check_truth({"a": 1, "b": 2}, "f")
        with pytest.raises(DataError, match="'f': no label 'a'"):
            made.check_truth({"b": 2}, "f")
        landmarks = task(points=["p", "q"], coordinates="original", normalise="box")
        with pytest.raises(DataError, match="'f': the box of the labels is 0"):
            landmarks.check_truth({"p_x": 1, "p_y": 1, "q_x": 1, "q_y": 5}, "f")

    def test_predictions_apart_go_the_shorter_way_round(self) -> None:
        made = task(components=["yaw", "pitch"], period={"yaw": 360})
        one, other = (made.decode({"y": np.float32([values])}, GEOMETRY) for values in ([-179, 0], [179, 0]))
        assert made.disagreement(one, other) == pytest.approx(2 / 179)
        assert made.disagreement(one, one) == 0

    def test_beside_a_task_without_labels(self) -> None:
        from edgekit.tasks import multitask

        parts = {
            "pose": {"kind": "regression", "output": "y", "components": ["yaw"]},
            "rest": {"kind": "outputs", "output": "z"},
        }
        both = multitask.Config.model_validate({"tasks": parts}).create()
        outputs = {"y": np.float32([[3]]), "z": np.float32([[1, 2]])}
        found, total = both.decode(outputs, GEOMETRY), both.accumulator()
        total.update(found, both.truth({"yaw": 1.0}, found), "f")
        assert (total.compute()["pose/mae"], total.compute()["rest/rel_l2"]) == (2, 0)
        both.check_truth({"yaw": 1.0}, "f")


class TestConfig:
    def test_survives_the_bundle(self, tmp_path: Path) -> None:
        (tmp_path / "points.json").write_text('["a", "b"]')
        section: TypeAdapter[Any] = TypeAdapter(TaskSection)
        keys = {"kind": "regression", "output": "y", "points": "points.json", "normalise": ["a", "b"]}
        config = section.validate_python({**keys, "coordinates": "input-share"}, context={"base": tmp_path})
        (tmp_path / "points.json").unlink()
        assert section.validate_python(json.loads(json.dumps(config.model_dump(mode="json")))) == config

    @pytest.mark.parametrize(
        ("keys", "message"),
        [
            ({}, "give one of the two"),
            ({"components": ["a"], "points": ["b"]}, "give one of the two"),
            ({"points": ["a"]}, "coordinates: is missing; .* input-share"),
            ({"components": ["a"], "coordinates": "original"}, "coordinates: belongs to points"),
            ({"components": ["a"], "normalise": "box"}, "components have a number as their size"),
            ({"components": ["a"], "normalise": ["a", "a"]}, "components have a number as their size"),
            ({"points": ["a"], "coordinates": "original", "period": 360}, "period: belongs to components"),
            ({"components": ["yaw"], "period": {"jaw": 360}}, "period: no component 'jaw'; did you mean 'yaw'"),
            ({"components": ["a"], "period": 0}, "greater than 0"),
            ({"components": ["a", "b"], "scale": [1, 2, 3]}, "scale: found 3 numbers for 2 values"),
            ({"points": ["a"], "coordinates": "original", "normalise": ["a", "c"]}, "no point 'c'"),
            ({"points": ["a", "b"], "coordinates": "original", "normalise": ["a", "a"]}, "two points are one"),
            ({"components": {"a": 0}}, "how many of a name"),
            ({"components": ["a", "a"]}, "'a' is there twice"),
        ],
    )
    def test_bad_keys(self, keys: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            task(**keys)

    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            (TensorSpec("z", (1, 2)), "no output 'y'"),
            (TensorSpec("y", (1, 3)), r"expected 2 values, those of task\.components; the model gives y: .*\[1, 3\]"),
            (TensorSpec("y", (2, 2)), "expected 2 values"),
            (TensorSpec("y", (1, 2), "float16"), "cast the output to float32"),
        ],
    )
    def test_misfits(self, spec: TensorSpec, message: str) -> None:
        with pytest.raises(SpecError, match=message):
            task(components=["a", "b"]).check_outputs([spec])

    def test_other_numbers_than_promised(self) -> None:
        made = task(components=["a", "b"])
        made.check_outputs([TensorSpec("y", (1, None))])
        with pytest.raises(TensorError, match="'y' has 3 values; expected 2"):
            made.decode({"y": np.zeros((1, 3), np.float32)}, GEOMETRY)


MODEL = """
import torch
from torch import nn


class Brightness(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 2)

    def forward(self, image):
        return self.head(torch.relu(self.convolution(image)).mean((2, 3)))


def build():
    return Brightness()
"""


def test_from_a_table_to_a_report(tiny_project: Path) -> None:
    from edgekit.data.image_values import Config as Table

    (tiny_project / "model.py").write_text(MODEL)
    lines = ["file,bright,dark,light", *(f"f{i}.png,{i / 10},{-i / 10},{'lit' if i % 2 else 'dim'}" for i in range(8))]
    (tiny_project / "labels.csv").write_text("\ufeff" + "\r\n".join(lines))
    spec = (tiny_project / "edgekit.yaml").read_text()
    for old, new in (
        ("{kind: segmentation, output: logits, classes: [floor, red, green], ignore_index: 255}",
         "{kind: regression, output: logits, components: [dark, bright]}"),
        ("format: image_mask, images: data/images, masks: data/masks",
         "format: image_values, root: data/images, labels: labels.csv"),
        ("miou: {min: 0.6, max_drop: 0.05}", "mae: {max: 5, max_drop: 0.1}"),
        ("  weights: weights.pth\n", ""),
    ):  # fmt: skip
        assert old in spec
        spec = spec.replace(old, new)
    (tiny_project / "edgekit.yaml").write_text(spec)
    bundle = edgekit.build(tiny_project, "cpu")
    report = edgekit.evaluate(bundle)
    errors = []
    preprocess = bundle.preprocess()
    frames = Table(format="image_values", root=tiny_project / "data/images", labels=tiny_project / "labels.csv").open()
    with bundle.engine() as engine:
        for i, sample in enumerate(frames):
            values = engine.infer(preprocess(sample.images).feeds)["logits"][0]
            errors.append(np.abs(values - np.array([-i / 10, i / 10])))
    assert report.metrics["mae/dark"] == pytest.approx(np.mean(errors, axis=0)[0], abs=1e-6)
    assert report.metrics["mae"] == pytest.approx(np.mean(errors), abs=1e-6)
    assert {(part.column, part.value) for part in report.slices} == {("light", "dim"), ("light", "lit")}
