"""Predictions as one JSON document, of every task: what golden frames are decoded to, for readers in any language.

The document is a bundle's ``golden/predictions.json``; ``edgekit schema --of predictions`` prints its schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from edgekit.core.errors import BundleError
from edgekit.core.predictions import (
    ClassScores,
    Detections,
    Embedding,
    Geometry,
    LabelMap,
    Tensors,
    Values,
)
from edgekit.core.tensors import Array

FORMAT, VERSION = "edgekit-predictions", 1
Size = tuple[int, int]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


class LabelMapRecord(_Record):
    """A class id for each pixel of the original image, row by row from the top left."""

    kind: Literal["label_map"] = "label_map"
    height: int
    width: int
    runs: tuple[int, ...] = Field(description="class id, how many pixels in a row have it, the next class id, ...")


class DetectionsRecord(_Record):
    """Objects, in any order."""

    kind: Literal["detections"] = "detections"
    boxes: tuple[tuple[float, float, float, float], ...] = Field(
        description="left, top, right, bottom in pixels of the original image; pixel i reaches from i to i + 1"
    )
    scores: tuple[float, ...] = Field(description="0 to 1, one a box")
    labels: tuple[int, ...] = Field(description="class ids, one a box")
    size: Size | None = Field(None, description="height and width of the original image")


class ClassScoresRecord(_Record):
    """The probability of each class."""

    kind: Literal["class_scores"] = "class_scores"
    probabilities: tuple[float, ...]


class EmbeddingRecord(_Record):
    """What identifies the subject, compared by cosine."""

    kind: Literal["embedding"] = "embedding"
    vector: tuple[float, ...]


class ValuesRecord(_Record):
    """Numbers by name, in the unit of the labels."""

    kind: Literal["values"] = "values"
    values: dict[str, float]


class TensorsRecord(_Record):
    """Outputs that are taken as they are: their values are those of ``golden.npz``."""

    kind: Literal["tensors"] = "tensors"
    names: tuple[str, ...]


class SeveralRecord(_Record):
    """The predictions of several tasks on one frame, by the task's name."""

    kind: Literal["several"] = "several"
    parts: dict[str, Prediction]


class OtherRecord(_Record):
    """A prediction that has no form here, such as that of a task from another package."""

    kind: Literal["other"] = "other"
    type: str = Field(description="its class in Python")


_OneTask = LabelMapRecord | DetectionsRecord | ClassScoresRecord | EmbeddingRecord | ValuesRecord
Prediction = Annotated[_OneTask | TensorsRecord | SeveralRecord | OtherRecord, Field(discriminator="kind")]


class Source(_Record):
    """An image or array of a frame, as it was read."""

    file: str = Field(description="path inside the bundle")
    kind: Literal["png", "npz"] = Field(description="npz: the array has the name of the source")
    shape: tuple[int, ...] = Field(description="an RGB image in three equal channels is a PNG of one channel")
    dtype: str


class GeometryRecord(_Record):
    """How the image went into the tensor."""

    original: Size = Field(description="height and width of the image in pixels")
    tensor: Size = Field(description="height and width of the model input")
    content: tuple[int, int, int, int] = Field(description="top, left, height, width of the part that the image fills")


class Frame(_Record):
    """One golden frame; its place in the list is its number in ``golden.npz``."""

    id: str = Field(description="in the data set")
    sources: dict[str, Source] | None = Field(description="by name; null: the bundle keeps no raw frame")
    geometry: GeometryRecord
    prediction: Prediction


class PredictionsDocument(_Record):
    """What the task makes of the golden outputs of one reference."""

    format: Literal["edgekit-predictions"] = "edgekit-predictions"
    version: Literal[1] = 1
    task: str = Field(description="kind of the task in bundle.json")
    reference: str = Field(description="whose outputs were decoded: a precision; fp32 is the model as it was loaded")
    frames: tuple[Frame, ...]


def recorded(prediction: Any) -> Prediction:
    """A prediction as it stands in the document."""
    if isinstance(prediction, LabelMap):
        height, width = prediction.labels.shape
        return LabelMapRecord(height=height, width=width, runs=_runs(prediction.labels.reshape(-1)))
    if isinstance(prediction, Detections):
        boxes, scores, labels = (x.tolist() for x in (prediction.boxes, prediction.scores, prediction.labels))
        return DetectionsRecord(boxes=tuple(map(tuple, boxes)), scores=scores, labels=labels, size=prediction.size)
    if isinstance(prediction, ClassScores):
        return ClassScoresRecord(probabilities=prediction.probabilities.tolist())
    if isinstance(prediction, Embedding):
        return EmbeddingRecord(vector=prediction.vector.tolist())
    if isinstance(prediction, Values):
        return ValuesRecord(values=dict(zip(prediction.names, prediction.values.tolist(), strict=True)))
    if isinstance(prediction, Tensors):
        return TensorsRecord(names=tuple(prediction.values))
    if isinstance(prediction, Mapping):
        return SeveralRecord(parts={str(name): recorded(part) for name, part in prediction.items()})
    return OtherRecord(type=f"{type(prediction).__module__}.{type(prediction).__qualname__}")


def restored(record: Prediction, like: Any) -> Any:
    """The prediction that was recorded.

    Args:
        record: of the document.
        like: a prediction of the same task on the same frame: what the document leaves to others is taken from it.

    Raises:
        BundleError: the task makes predictions of another kind.
    """
    if recorded_kind(like) != record.kind:
        raise BundleError(
            f"golden/predictions.json: a prediction is {record.kind!r}, and the task makes {recorded_kind(like)!r}; "
            "build the bundle again"
        )
    if isinstance(record, LabelMapRecord):
        return LabelMap(_labels(record))
    if isinstance(record, DetectionsRecord):
        boxes = np.asarray(record.boxes, np.float32).reshape(-1, 4)
        return Detections(
            boxes, np.asarray(record.scores, np.float32).reshape(-1), np.array(record.labels, np.int64), record.size
        )
    if isinstance(record, ClassScoresRecord):
        return ClassScores(np.asarray(record.probabilities, np.float32))
    if isinstance(record, EmbeddingRecord):
        return Embedding(np.asarray(record.vector, np.float32))
    if isinstance(record, ValuesRecord):
        return Values(tuple(record.values), np.asarray(list(record.values.values()), np.float64))
    if isinstance(record, SeveralRecord):
        return type(like)({name: restored(part, like[name]) for name, part in record.parts.items()})
    return like


def recorded_kind(prediction: Any) -> str:
    """The ``kind`` that a prediction has in the document."""
    kinds: dict[type, str] = {
        LabelMap: "label_map",
        Detections: "detections",
        ClassScores: "class_scores",
        Embedding: "embedding",
        Values: "values",
        Tensors: "tensors",
    }
    return kinds.get(type(prediction), "several" if isinstance(prediction, Mapping) else "other")


def geometry_record(geometry: Geometry) -> GeometryRecord:
    """A geometry as it stands in the document."""
    return GeometryRecord(original=geometry.original, tensor=geometry.tensor, content=geometry.content)


def geometry_of(record: GeometryRecord) -> Geometry:
    """The geometry that was recorded."""
    return Geometry(record.original, record.tensor, record.content)


def _runs(labels: Array) -> tuple[int, ...]:
    if not labels.size:
        return ()
    starts = np.flatnonzero(np.concatenate([[True], labels[1:] != labels[:-1]]))
    lengths = np.diff(np.append(starts, labels.size))
    return tuple(np.stack([labels[starts].astype(np.int64), lengths], axis=1).reshape(-1).tolist())


def _labels(record: LabelMapRecord) -> Array:
    ids, lengths = np.asarray(record.runs[::2], np.int64), np.asarray(record.runs[1::2], np.int64)
    if len(ids) != len(lengths) or lengths.sum() != record.height * record.width:
        raise BundleError(
            f"golden/predictions.json: the runs of a label map give {lengths.sum():,} pixels, not "
            f"{record.height} x {record.width}; build the bundle again"
        )
    return np.repeat(ids, lengths).astype(np.uint8).reshape(record.height, record.width)
