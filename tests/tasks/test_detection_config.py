"""The section of the spec, and the outputs of a model that fit it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from edgekit.core.errors import SpecError
from edgekit.core.spec import TaskSection
from edgekit.core.tensors import TensorSpec
from edgekit.tasks.detection import Config
from tests.support.detectors import ANCHORS, config, task


class TestConfig:
    def test_a_preset_and_what_overrides_it(self) -> None:
        family = config(family="yolox", strides=[8, 16], nms={"mode": "soft-linear"}).resolved()
        assert (family.box_coding, family.objectness, family.iou) == ("grid-exp", True, 0.65)
        assert (family.strides, family.nms) == ((8, 16), "soft-linear")
        assert config(family="yolox", nms={"iou": 0.4}).resolved().nms == "class-aware"

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"family": "yolo"}, "'yolo' is no family; did you mean 'yolox'"),
            ({"family": "ssd"}, r"strides: boxes coded as anchor-variance need them, e.g. strides: \[8, 16, 32\]"),
            ({"family": "ssd", "strides": [8, 16]}, "anchors: found lists for 0 of 2 strides; give one for each"),
            ({"family": "yolov5", "anchors": ANCHORS}, "anchors: found lists for 2 of 3 strides"),
            ({"family": "yolov5"}, "output: head has 1 names; the layout maps needs 3, one a stride"),
            ({"family": "yolox", "output": ["a", "b"]}, "output: head has 2 names; the layout rows needs 1, one name"),
            ({"family": "yolox", "anchors": ANCHORS}, "anchors: boxes coded as grid-exp have none"),
            ({"family": "detr", "priors": [[0.5, 0.5, 1, 1]]}, "priors: boxes coded as cxcywh have no reference"),
            ({"family": "yolox", "priors": [[0.5, 0.5, 1, 1]]}, "priors: only for anchor-variance"),
            ({"family": "yolox", "layout": "final"}, r"box_coding: grid-exp needs reference points, which lists of"),
            ({"family": "detr", "layout": "maps", "output": []}, "strides: the layout maps has an output for each"),
            (
                {"family": "fcos", "output": list("abcde"), "background": "last"},
                "background: sigmoid scores have no such",
            ),
            ({"family": "yolox", "score_powers": [-1, 1]}, "greater than or equal to 0"),
            (
                {"family": "detr", "column_order": "objectness-first"},
                "column_order: belongs to one output that holds box, objectness and classes",
            ),
            ({"family": "detr", "box_coding": "cxcywh-sigmoid", "unit": "pixels"}, "unit: sigmoids are shares"),
            ({"family": "yolox", "score_coding": "softmax"}, "objectness: softmax scores have none"),
            (
                {"family": "end2end", "output": {"boxes": "b", "scores": "s"}},
                r"output\.labels: is missing; a model that suppresses inside gives boxes, scores and labels",
            ),
            (
                {"family": "detr", "output": {"boxes": "b", "scores": "s", "labels": "l"}},
                "labels and count belong to family end2end",
            ),
            ({"family": "yolox", "output": {"boxes": "b", "scores": "s"}}, r"output\.objectness: is missing"),
            ({"family": "yolox", "score_threshold": 1.5}, "less than 1"),
            ({"family": "yolox", "nms": {"mode": "fast"}}, "class-aware"),
            ({"family": "yolox", "nms": {"overlap": 0.5}}, "Extra inputs are not permitted"),
            ({"family": "yolox", "classes": []}, "expected 1 to 4096 class names, found 0"),
        ],
    )
    def test_mistakes(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            config(**options)

    def test_priors_of_a_file_end_up_in_the_bundle(self, tmp_path: Path) -> None:
        (tmp_path / "priors.json").write_text(json.dumps([[0.5, 0.5, 0.2, 0.1]]))
        section: TypeAdapter[Any] = TypeAdapter(TaskSection)
        spec = {"kind": "detection", "output": {"boxes": "b", "scores": "s"}, "classes": ["a"], "family": "ssd"}
        made = section.validate_python(spec | {"priors": "priors.json"}, context={"base": tmp_path})
        (tmp_path / "priors.json").unlink()
        stored = json.loads(json.dumps(made.model_dump(mode="json")))
        assert stored["priors"] == [[0.5, 0.5, 0.2, 0.1]]
        assert section.validate_python(stored) == made
        with pytest.raises(ValidationError, match=r"priors\.json: expected a JSON file with a list of \[x, y, width"):
            section.validate_python(spec | {"priors": "priors.json"}, context={"base": tmp_path})

    def test_families_are_in_the_schema(self) -> None:
        assert "yolox" in Config.model_json_schema()["properties"]["family"]["enum"]


class TestCheckOutputs:
    @pytest.mark.parametrize(
        ("options", "shapes"),
        [
            ({"family": "yolox"}, {"out": (1, None, 8)}),
            ({"family": "yolov8"}, {"out": (1, 67, 8400)}),
            ({"family": "yolov5", "output": ["a", "b", "c"]}, dict.fromkeys("abc", (1, 24, None, None))),
            ({"family": "yolov5", "output": ["a", "b", "c"]}, dict.fromkeys("abc", (1, 3, 10, 10, 8))),
            ({"family": "detr", "output": {"boxes": "b", "scores": "s"}}, {"b": (1, 100, 4), "s": (1, 100, 4)}),
            ({"family": "end2end"}, {"out": (1, 300, 6)}),
        ],
    )
    def test_fitting(self, options: dict[str, Any], shapes: dict[str, tuple[int | None, ...]]) -> None:
        task(**options).check_outputs([TensorSpec(name, shape) for name, shape in shapes.items()])

    def test_of_a_model_that_suppresses_inside(self) -> None:
        names = {"boxes": "b", "scores": "s", "labels": "l", "count": "n"}
        outputs = [
            TensorSpec("b", (None, 4)), TensorSpec("s", (None,)), TensorSpec("l", (None,), "int64"),
            TensorSpec("n", (1, 1), "int32"),
        ]  # fmt: skip
        task(family="end2end", output=names).check_outputs(outputs)
        with pytest.raises(SpecError, match=r"l: float16.*expected int64 or int32 or float32: cast it"):
            task(family="end2end", output=names).check_outputs([*outputs[:2], TensorSpec("l", (9,), "float16")])

    @pytest.mark.parametrize(
        ("family", "spec", "message"),
        [
            ("yolox", TensorSpec("output", (1, 9, 8)), r"task\.output: the model has no output 'out'; .*'output'"),
            ("yolox", TensorSpec("out", (1, 9, 85)), r"expected head \[1, N, 8\].*correct task\.classes \(now 3\)"),
            ("yolox", TensorSpec("out", (1, 7, 9)), r"set task\.family to one that has this shape \(yolov8-decoded\)"),
            (
                "yolov8",
                TensorSpec("out", (1, 9, 8)),
                r"\[1, 67, N\].* \(yolox, yolox-decoded, yolov5-decoded, ssd, detr",
            ),
            ("yolox", TensorSpec("out", (2, 9, 8)), r"expected head \[1, N, 8\]"),
            ("yolox", TensorSpec("out", (1, 8)), r"expected head \[1, N, 8\]"),
            ("yolox", TensorSpec("out", (1, 9, 8), "float16"), "expected float32: cast it in the model"),
        ],
    )
    def test_misfits(self, family: str, spec: TensorSpec, message: str) -> None:
        with pytest.raises(SpecError, match=message):
            task(family=family).check_outputs([spec])
