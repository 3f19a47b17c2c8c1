"""What edgekit-run prints: percentiles, what a result holds in words, and the schema of its document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from edgekit.core.predictions import ClassScores, Detections, Embedding, LabelMap, Tensors, Values
from edgekit.core.reports import ProfileReport
from edgekit.stats.percentiles import summarise
from edgekit.tasks.antispoofing import Config as AntiSpoofing
from edgekit.tasks.classification import Config as Classification
from edgekit.tasks.detection import Config as Detection
from edgekit.tasks.embedding import Config as Embedded
from edgekit.tasks.multitask import Config as MultiTask
from edgekit.tasks.multitask import Predictions
from edgekit.tasks.outputs import Config as Outputs
from edgekit.tasks.regression import Config as Regression
from edgekit.tasks.segmentation import Config as Segmentation

_NAMES = ["car", "person", "bus", "tram", "bicycle", "sign", "tree"]


def _latencies(rng: np.random.Generator) -> list[dict[str, Any]]:
    rows = [rng.gamma(2.0, 3.0, size) for size in (1, 2, 7, 63, 64, 200, 661, 662, 6636)]
    return [{"times": row.tolist(), "latency": summarise(row).to_dict()} for row in rows]


def _tasks(rng: np.random.Generator) -> list[tuple[dict[str, Any], Any]]:
    segmentation = {"kind": "segmentation", "output": "dense", "classes": _NAMES}
    detection = {"kind": "detection", "family": "yolox", "output": "head", "classes": _NAMES[:3], "strides": [8]}
    classification = {"kind": "classification", "output": "vector", "classes": _NAMES}
    spoof = {"kind": "antispoofing", "output": "vector", "classes": ["paper", "live", "screen"], "live_class": 1}
    spoof |= {"threshold": 0.5, "attacks": ["paper", "screen"]}
    regression = {"kind": "regression", "output": "vector", "components": ["yaw", "pitch", "roll", "x", "y", "z"]}
    labels = rng.choice(len(_NAMES) + 1, (6, 8), p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.05, 0.025, 0.025]).astype(np.uint8)
    boxes = Detections(
        boxes=np.array([[1, 2, 3, 4], [2, 3, 4, 5.5], [0, 0, 1, 1], [5, 5, 9, 9]], np.float32),
        scores=np.array([0.9, 0.5, 0.3, 0.1], np.float32),
        labels=np.array([1, 0, 1, 2], np.int64),
    )
    no_boxes = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    scores = ClassScores(np.array([0.05, 0.4, 0.05, 0.2, 0.1, 0.15, 0.05], np.float32))
    vector = Embedding(rng.normal(size=9).astype(np.float32))
    values = Values(tuple(regression["components"]), rng.normal(size=6))
    multitask = {"kind": "multitask", "tasks": {"area": segmentation, "what": classification}}
    return [
        (segmentation, LabelMap(labels)),
        (detection, boxes),
        (detection | {"confidence": 0.75}, boxes),
        (detection, no_boxes),
        (classification, scores),
        (spoof, ClassScores(np.array([0.25, 0.5, 0.25], np.float32))),
        (spoof, ClassScores(np.array([0.5, 0.375, 0.125], np.float32))),
        ({"kind": "embedding", "output": "vector"}, vector),
        (regression, values),
        ({"kind": "outputs", "output": ["dense"]}, Tensors({"dense": np.zeros((1, 2, 3), np.float32)})),
        (multitask, Predictions(area=LabelMap(labels), what=scores)),
    ]


_CONFIGS = {
    "segmentation": Segmentation,
    "detection": Detection,
    "classification": Classification,
    "antispoofing": AntiSpoofing,
    "embedding": Embedded,
    "regression": Regression,
    "outputs": Outputs,
    "multitask": MultiTask,
}


def _result(prediction: Any) -> dict[str, Any]:
    """A prediction as the test reads it."""
    if isinstance(prediction, LabelMap):
        height, width = prediction.labels.shape
        return {"labels": prediction.labels.reshape(-1).tolist(), "height": height, "width": width}
    if isinstance(prediction, Detections):
        rows = (prediction.boxes, prediction.scores, prediction.labels)
        return dict(zip(("boxes", "scores", "ids"), (row.tolist() for row in rows), strict=True))
    if isinstance(prediction, ClassScores):
        return {"probabilities": prediction.probabilities.tolist()}
    if isinstance(prediction, Embedding):
        return {"vector": prediction.vector.tolist()}
    if isinstance(prediction, Values):
        return {"names": list(prediction.names), "values": prediction.values.tolist()}
    if isinstance(prediction, Tensors):
        return {"shapes": {name: list(value.shape) for name, value in prediction.values.items()}}
    return {"parts": [[name, _result(part)] for name, part in prediction.items()]}


def write(folder: Path) -> None:
    rng = np.random.default_rng(17)
    found = []
    for section, prediction in _tasks(rng):
        task = _CONFIGS[section["kind"]].model_validate(section).create()
        said = task.found(prediction).to_dict()
        found.append({"task": section, "result": _result(prediction), "found": said})
    (folder / "latency.json").write_text(json.dumps(_latencies(rng)))
    (folder / "found.json").write_text(json.dumps(found))
    (folder / "profile.schema.json").write_text(json.dumps(TypeAdapter(ProfileReport).json_schema()))
