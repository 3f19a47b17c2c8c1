"""Predictions of every task as JSON, and back."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from edgekit.core.decoded import (
    Frame,
    PredictionsDocument,
    geometry_of,
    geometry_record,
    recorded,
    recorded_kind,
    restored,
)
from edgekit.core.errors import BundleError
from edgekit.core.predictions import ClassScores, Detections, Embedding, Geometry, LabelMap, Tensors, Values
from edgekit.tasks import apart
from edgekit.tasks.multitask import Predictions

RANDOM = np.random.default_rng(0)
PREDICTIONS: dict[str, Any] = {
    "label_map": LabelMap(np.array([[0, 0, 1], [1, 255, 7]], np.uint8)),
    "detections": Detections(
        RANDOM.normal(size=(3, 4)).astype(np.float32), np.float32([0.1, 1 / 3, 1]), np.array([4, 0, 79]), (32, 48)
    ),
    "class_scores": ClassScores(np.float32([0.25, 1 / 3, 0.4])),
    "embedding": Embedding(RANDOM.normal(size=7).astype(np.float32)),
    "values": Values(("speed", "angle", "none"), np.array([12.5, -1 / 3, np.nan])),
    "tensors": Tensors({"x": np.ones((2, 2), np.float32)}),
    "several": Predictions(
        boxes=Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)),
        road=LabelMap(np.zeros((2, 3), np.uint8)),
    ),
}


@pytest.mark.parametrize("kind", PREDICTIONS)
def test_every_prediction_comes_back_as_it_was(kind: str) -> None:
    given = PREDICTIONS[kind]
    geometry = Geometry((2, 3), (4, 6), (0, 0, 4, 6))
    frame = Frame(id="a", sources=None, geometry=geometry_record(geometry), prediction=recorded(given))
    text = PredictionsDocument(task="any", reference="int8", frames=(frame,)).model_dump_json()
    read = PredictionsDocument.model_validate_json(text).frames[0]
    assert recorded_kind(given) == read.prediction.kind == kind
    assert geometry_of(read.geometry) == geometry
    found = restored(read.prediction, given)
    assert type(found) is type(given)
    assert apart(found, given) == 0


def test_runs_of_a_label_map() -> None:
    assert json.loads(recorded(PREDICTIONS["label_map"]).model_dump_json()) == {
        "kind": "label_map", "height": 2, "width": 3, "runs": [0, 2, 1, 2, 255, 1, 7, 1],
    }  # fmt: skip
    wrong = recorded(PREDICTIONS["label_map"]).model_copy(update={"runs": (0, 2, 1, 3)})
    with pytest.raises(BundleError, match="runs of a label map give 5 pixels, not 2 x 3"):
        restored(wrong, PREDICTIONS["label_map"])


def test_a_prediction_of_another_kind() -> None:
    with pytest.raises(BundleError, match="a prediction is 'embedding', and the task makes 'label_map'"):
        restored(recorded(PREDICTIONS["embedding"]), PREDICTIONS["label_map"])


def test_what_has_no_form() -> None:
    class Strange: ...

    assert recorded(Strange()).type.endswith("Strange")


def test_keys_that_nobody_knows_are_refused() -> None:
    with pytest.raises(ValidationError, match="extra"):
        PredictionsDocument.model_validate({"task": "a", "reference": "b", "frames": [], "more": 1})
