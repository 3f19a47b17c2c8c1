"""What `edgekit run` says of a frame: in words, and as numbers by name."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.core.predictions import ClassScores, Detections, Embedding, Geometry, LabelMap, Objects, Tensors, Values
from edgekit.tasks import Found, Task
from edgekit.tasks.antispoofing import Config as AntiSpoofing
from edgekit.tasks.detection import Config as Detection
from edgekit.tasks.multitask import Config as MultiTask
from edgekit.tasks.multitask import Predictions
from edgekit.tasks.segmentation import Config as Segmentation

DETECTION = {"kind": "detection", "output": "out", "classes": ["car", "person"], "family": "yolox", "confidence": 0.3}
SEGMENTATION = {"kind": "segmentation", "output": "logits", "classes": ["road", "sky", "tree"]}


def detections(scores: list[float], labels: list[int]) -> Detections:
    boxes = np.tile(np.array([0, 0, 4, 4], np.float32), (len(scores), 1))
    return Detections(boxes, np.array(scores, np.float32), np.array(labels, np.int64), (8, 8))


@pytest.mark.parametrize(
    ("scores", "labels", "text", "numbers"),
    [
        (
            [0.9, 0.5, 0.3, 0.1],
            [1, 1, 0, 0],
            "3 boxes: 2 person, 1 car (1 below confidence 0.3)",
            {"person": 2, "car": 1},
        ),
        ([0.9], [0], "1 box: 1 car", {"car": 1}),
        ([0.1], [0], "no boxes (1 below confidence 0.3)", {}),
        ([], [], "no boxes", {}),
    ],
)
def test_boxes_that_are_drawn_are_counted(
    scores: list[float], labels: list[int], text: str, numbers: dict[str, int]
) -> None:
    task = Detection.model_validate(DETECTION).create()
    assert task.found(detections(scores, labels)) == Found("boxes", text, numbers)


def test_a_detector_notes_from_which_scores_its_metrics_count() -> None:
    task = Detection.model_validate(DETECTION | {"score_threshold": 0.05, "max_detections": 30}).create()
    (note,) = task.notes
    assert "at least 0.05 (score_threshold), at most 30 a frame; confidence 0.3 decides which boxes are drawn" in note
    several = MultiTask.model_validate({"kind": "multitask", "tasks": {"a": SEGMENTATION, "b": DETECTION}}).create()
    assert [line.partition(":")[0] for line in several.notes] == ["b"]


@pytest.mark.parametrize("confidence", [0.0, 0.95])
def test_confidence_moves_no_metric_of_a_detector(confidence: float) -> None:
    task = Detection.model_validate(DETECTION | {"confidence": confidence}).create()
    found, made = detections([0.9, 0.4], [1, 1]), task.accumulator()
    truth = Objects(found.boxes[:1], found.labels[:1], np.zeros(1, bool), np.full(1, 16, np.float32))
    made.update(found, truth, "f")
    assert made.compute()["map"] == pytest.approx(1.0)


def test_pixels_by_class() -> None:
    task = Segmentation.model_validate(SEGMENTATION).create()
    found = task.found(LabelMap(np.array([[1, 1, 1, 0]], np.uint8)))
    assert found == Found("pixels", "sky 75.0%, road 25.0%", {"sky": 0.75, "road": 0.25})


def test_antispoofing_says_its_verdict() -> None:
    section = {"kind": "antispoofing", "output": "out", "classes": ["spoof", "live"], "live_class": 1}
    task = AntiSpoofing.model_validate(section | {"threshold": 0.6, "attacks": ["print"]}).create()
    found = task.found(ClassScores(np.array([0.25, 0.75], np.float32)))
    assert found == Found("probabilities", "bona fide: liveness 0.75 >= 0.60", {"live": 0.75, "spoof": 0.25})


def test_each_part_of_several_tasks() -> None:
    task = MultiTask.model_validate(
        {"kind": "multitask", "tasks": {"objects": DETECTION, "area": SEGMENTATION}}
    ).create()
    found = task.found(Predictions(objects=detections([0.9], [1]), area=LabelMap(np.array([[0, 1]], np.uint8))))
    assert found.text == "objects: 1 box: 1 person; area: road 50.0%, sky 50.0%"
    assert found.numbers == {"objects/person": 1, "area/road": 0.5, "area/sky": 0.5}


class Plain(Task):
    """A task that says nothing of its own."""

    metrics = ()
    class_names = ("cat", "dog")

    def check_outputs(self, outputs: object) -> None: ...

    def decode(self, outputs: object, geometry: Geometry) -> None: ...

    def accumulator(self) -> None: ...  # type: ignore[override]


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        (
            ClassScores(np.array([0.25, 0.75], np.float32)),
            Found("probabilities", "dog 0.75, cat 0.25", {"dog": 0.75, "cat": 0.25}),
        ),
        (
            LabelMap(np.array([[7, 0]], np.uint8)),
            Found("pixels", "cat 50.0%, class 7 50.0%", {"cat": 0.5, "class 7": 0.5}),
        ),
        (detections([0.1], [0]), Found("boxes", "1 box: 1 cat", {"cat": 1})),
        (
            Values(("yaw", "pitch"), np.array([3.25, -1.0])),
            Found("values", "yaw 3.25, pitch -1", {"yaw": 3.25, "pitch": -1.0}),
        ),
        (Embedding(np.array([3, 4], np.float32)), Found("length", "2 values of length 5", {"length": 5.0})),
        (Tensors({"depth": np.zeros((1, 2, 3))}), Found("elements", "depth [1, 2, 3]", {"depth": 6})),
        (
            Tensors({c: np.zeros(1) for c in "abcdefg"}),
            Found("elements", "a [1], b [1], c [1], d [1], e [1] and 2 more", dict.fromkeys("abcdefg", 1)),
        ),
        ("words", Found("unknown", "a str")),
    ],
)
def test_predictions_of_every_kind(prediction: object, expected: Found) -> None:
    assert Plain().found(prediction) == expected
