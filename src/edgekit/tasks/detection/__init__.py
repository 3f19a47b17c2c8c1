"""Object detection: boxes with a class and a score.

The heads of most detectors are described by data: a ``family`` names the usual values, and every value
can be given (see :class:`edgekit.tasks.detection.families.Family`).  Metrics are COCO's
(:mod:`edgekit.tasks.detection.coco`).
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from typing_extensions import Self

from edgekit.core import suggest
from edgekit.core.classes import ObjectNames
from edgekit.core.errors import DataError, TensorError
from edgekit.core.predictions import Detections, Geometry, Objects
from edgekit.core.reports import Metric
from edgekit.core.spec import Misfit, SpecPath
from edgekit.core.tensors import Array, Arrays, TensorSpec
from edgekit.core.textfile import read_text
from edgekit.inputs import InputConfig
from edgekit.inputs.frame_size import Config as FrameSize
from edgekit.tasks import Found, Labelled, Task, TaskConfig, _found
from edgekit.tasks._drawing import boxed, colours, text_scale
from edgekit.tasks._nms import suppress
from edgekit.tasks._temporal import changed_boxes, changed_objects
from edgekit.tasks.detection import families as boxes_
from edgekit.tasks.detection.coco import NAMES, CocoMetrics, check_objects
from edgekit.tasks.detection.families import CODINGS, FAMILIES, Family
from edgekit.tasks.detection.heads import Candidates, Head

_FAR = 1e6  # pixels: boxes that reach further do so because a number overflowed


def _family(name: str) -> str:
    if name not in FAMILIES:
        raise ValueError(f"{name!r} is no family; {suggest.allowed(name, tuple(FAMILIES))}")
    return name


_PATH: TypeAdapter[Path] = TypeAdapter(SpecPath)


def _priors(value: Any, info: ValidationInfo) -> Any:
    """Boxes from the JSON file a path names: a bundle then holds the boxes, not a path."""
    if not isinstance(value, str | Path):
        return value
    path = _PATH.validate_python(value, context=info.context)
    try:
        return json.loads(read_text(path))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: expected a JSON file with a list of [x, y, width, height]: {error}") from error


Power = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
_Names = str | tuple[str, ...]


class Outputs(BaseModel):
    """Outputs that are apart; each is a name, or one name a stride."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    boxes: _Names
    scores: _Names
    objectness: _Names | None = None
    labels: str | None = Field(None, description="class ids, of a model that suppresses inside")
    count: str | None = Field(None, description="how many of the rows are objects, of such a model")


class Nms(BaseModel):
    """Non-maximum suppression; what is not given is the family's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: boxes_.NmsMode | None = None
    iou: float | None = Field(None, gt=0, lt=1, description="two boxes that overlap more show one object")
    sigma: float | None = Field(None, gt=0, description="of soft-gaussian")


class Config(TaskConfig):
    """``output`` names the output that holds everything, or one per stride, or boxes, scores ... apart.

    ``family`` is a kind of model; the keys from ``layout`` to ``nms`` override its values.  At most
    ``candidates`` boxes with a score of at least ``score_threshold``, the surest, go into the suppression
    and ``max_detections`` come out.  Those of at least ``confidence`` are drawn, and count for flicker.
    """

    kind: Literal["detection"] = "detection"
    output: str | tuple[str, ...] | Outputs
    classes: ObjectNames
    family: Annotated[str, AfterValidator(_family), WithJsonSchema({"type": "string", "enum": list(FAMILIES)})]
    score_threshold: float = Field(0.01, ge=0, lt=1)
    candidates: int = Field(1000, ge=1, description="boxes before the suppression")
    max_detections: int = Field(100, ge=1)
    confidence: float = Field(0.3, ge=0, le=1)
    layout: boxes_.Layout | None = None
    box_coding: boxes_.BoxCoding | None = None
    unit: boxes_.Unit | None = None
    score_coding: boxes_.ScoreCoding | None = None
    objectness: bool | None = None
    score_powers: tuple[Power, Power] | None = Field(None, description="[a, b] of objectness^a * class^b")
    column_order: boxes_.ColumnOrder | None = None
    background: boxes_.Background | None = None
    multi_label: bool | None = None
    strides: tuple[Annotated[int, Field(ge=1)], ...] | None = None
    anchors: tuple[tuple[tuple[Positive, Positive], ...], ...] | None = Field(
        None, description="(width, height) in pixels of the input, a list for each stride"
    )
    anchor_order: boxes_.AnchorOrder | None = None
    priors: Annotated[
        tuple[tuple[float, float, Positive, Positive], ...] | None,
        BeforeValidator(_priors, json_schema_input_type=str | list[list[float]] | None),
    ] = Field(None, description="anchor boxes as (centre x, y, width, height) in shares of the input; or a JSON file")
    variances: tuple[Positive, Positive] | None = None
    bins: int | None = Field(None, ge=2)
    nms: Nms = Nms()
    clip: bool | None = Field(None, description="cut boxes at the borders of the image; default: the family's")

    def resolved(self) -> Family:
        """The family with what the spec overrides."""
        given = {
            field.name: value
            for field in dataclasses.fields(Family)
            if field.name != "nms" and (value := getattr(self, field.name, None)) is not None
        }
        suppression = {"nms": self.nms.mode, "iou": self.nms.iou, "sigma": self.nms.sigma}
        given |= {name: value for name, value in suppression.items() if value is not None}
        return dataclasses.replace(FAMILIES[self.family], **given)

    @property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """Output names by what they hold."""
        given = self.output
        named = given.model_dump(exclude_none=True) if isinstance(given, Outputs) else {"head": given}
        return {part: (names,) if isinstance(names, str) else tuple(names) for part, names in named.items()}

    @model_validator(mode="after")
    def _fits(self) -> Self:
        family, parts = self.resolved(), self.parts
        problem = (
            _reference_problem(family, self.priors is not None)
            or _output_problem(family, parts)
            or _score_problem(family, parts)
        )
        if problem:
            raise ValueError(problem)
        return self

    def check_inputs(self, inputs: Mapping[str, InputConfig]) -> None:
        """Refuse a model that takes the frame's size: it scales boxes itself, so they would be scaled twice."""
        sizes = [(name, section) for name, section in inputs.items() if isinstance(section, FrameSize)]
        for name, section in sizes:
            if section.of != "resized":
                same = "the input's own size (width, height or height, width)" if section.of == "frame" else "ones"
                raise Misfit(
                    f"{name}.of",
                    "the model would give boxes in pixels of the frame, but this task reads pixels of the input and "
                    f"brings them back itself: give {{kind: constant, value: ...}} with {same}",
                )

    def create(self) -> Detection:
        return Detection(self)


def _reference_problem(family: Family, has_priors: bool) -> str:
    """What is wrong with strides, anchors and priors, or nothing."""
    needs = CODINGS[family.box_coding].needs
    if family.box_coding == "cxcywh-sigmoid" and family.unit == "pixels":
        return "unit: sigmoids are shares of the input; set unit: normalised"
    if needs == "nothing":
        extra = "priors" if has_priors else "anchors" if family.anchors else ""
        return f"{extra}: boxes coded as {family.box_coding} have no reference; remove {extra}" if extra else ""
    if family.layout == "final":
        return (
            f"box_coding: {family.box_coding} needs reference points, which lists of objects (layout final) do not have"
        )
    if has_priors:
        if needs == "strides" or family.layout == "maps":
            return "priors: only for anchor-variance boxes in rows or columns; give strides and anchors"
        return ""
    if not family.strides:
        return f"strides: boxes coded as {family.box_coding} need them, e.g. strides: [8, 16, 32]"
    if needs == "anchors" and len(family.anchors) != len(family.strides):
        return f"anchors: found lists for {len(family.anchors)} of {len(family.strides)} strides; give one for each"
    if needs == "strides" and family.anchors:
        return f"anchors: boxes coded as {family.box_coding} have none; remove them"
    if family.layout == "maps" and len({len(sizes) for sizes in family.anchors}) > 1:
        return "anchors: each stride needs the same number of them when outputs are maps"
    return "anchors: a stride has none" if any(not sizes for sizes in family.anchors) else ""


def _output_problem(family: Family, parts: dict[str, tuple[str, ...]]) -> str:
    """What is wrong with the names of the outputs, or nothing."""
    if family.layout == "maps" and not family.strides:
        return "strides: the layout maps has an output for each; give them, e.g. strides: [8, 16, 32]"
    wanted = len(family.strides) if family.layout == "maps" else 1
    for part, names in parts.items():
        if len(names) != wanted:
            what = "one a stride" if wanted > 1 else "one name"
            return f"output: {part} has {len(names)} names; the layout {family.layout} needs {wanted}, {what}"
    if family.layout == "final" and "head" not in parts and "labels" not in parts:
        return "output.labels: is missing; a model that suppresses inside gives boxes, scores and labels"
    if family.layout != "final" and parts.keys() & {"labels", "count"}:
        return f"output: labels and count belong to family end2end, not to the layout {family.layout}"
    if family.layout != "final" and family.objectness and "head" not in parts and "objectness" not in parts:
        return "output.objectness: is missing; name the output, or set objectness: false"
    return ""


def _score_problem(family: Family, parts: dict[str, tuple[str, ...]]) -> str:
    """What is wrong with the columns of the scores, or nothing."""
    counts_from_one = family.layout == "final" and family.background == "first"
    if family.background != "none" and family.score_coding == "sigmoid" and not counts_from_one:
        return "background: sigmoid scores have no such column; set score_coding: softmax or probability"
    if family.score_coding == "softmax" and family.objectness:
        return "objectness: softmax scores have none; set objectness: false"
    if "objectness" in parts and not family.objectness:
        return "output.objectness: is not used; set objectness: true, or leave the output out"
    if family.column_order != "box-first" and ("head" not in parts or not family.objectness):
        return "column_order: belongs to one output that holds box, objectness and classes; remove it"
    return ""


class Detection(Task):
    """Outputs to :class:`~edgekit.core.predictions.Detections` in pixels of the original image."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.classes = config.classes
        self.mistaken: frozenset[int] = frozenset()
        self.family = config.resolved()
        self.head = Head(self.family, len(config.classes), config.parts, config.priors or ())
        self.score_threshold = config.score_threshold
        self.candidates = config.candidates
        self.max_detections = config.max_detections
        self.confidence = config.confidence

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """COCO's twelve numbers and ``ap/<class>`` of every class."""
        by_class = (f"ap/{name}" for name in self.classes)
        return tuple(Metric(name, higher=True) for name in (*NAMES, *by_class))

    @property
    def notes(self) -> tuple[str, ...]:
        """From which scores on boxes count in the metrics, and what ``confidence`` decides."""
        note = (
            f"precision and recall are COCO's, over all boxes with a score of at least {self.score_threshold:g} "
            f"(score_threshold), at most {self.max_detections} a frame; confidence {self.confidence:g} decides which "
            "boxes are drawn, and count for flicker and agreement, and moves none of them"
        )
        return (note,)

    def check_outputs(self, outputs: Sequence[TensorSpec]) -> None:
        """Raise :class:`~edgekit.core.errors.SpecError` unless the outputs have the family's shapes and dtypes.

        The number of candidates depends on the size of the input too; :meth:`decode` checks it.
        """
        self.head.check(outputs)

    def decode(self, outputs: Arrays, geometry: Geometry) -> Detections:
        """Objects in the original image, the surest first.

        Boxes of no or negative size are dropped before they can suppress others.  With ``clip`` they are cut
        at the borders of the image, and those with nothing inside dropped.

        Raises:
            TensorError: an output is missing, has another shape or dtype, or holds NaN; the candidates are
                not those of the strides and anchors; scores are no probabilities.
        """
        found = self.head.best(outputs, geometry.tensor, self.score_threshold, self.candidates)
        found, boxes = _in_image(found, geometry, self.family.clip)
        kept, scores = suppress(
            found.boxes,
            found.scores,
            found.labels,
            mode=self.family.nms,
            iou=self.family.iou,
            sigma=self.family.sigma,
            least=self.score_threshold,
            most=self.max_detections,
        )
        labels = found.labels[kept].astype(np.int64)
        return Detections(boxes[kept], scores.astype(np.float32), labels, geometry.original)

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.classes

    def check_truth(self, truth: Any, sample_id: str) -> None:
        check_objects(truth, len(self.classes), sample_id)

    def without_labels_of(self, unlabelled: Collection[int], counted: bool) -> Detection:
        """As :meth:`Task.without_labels_of`: a class without objects has no average precision anyway."""
        made = copy.copy(self)
        made.mistaken = frozenset(unlabelled) if counted else frozenset()
        return made

    def accumulator(self) -> CocoMetrics:
        return CocoMetrics(self.classes, self.mistaken)

    def paint(self, image: Array, shown: Any) -> Array:
        """Boxes with class and, for predictions, confidence over ``image`` uint8 RGB ``(H, W, 3)``.

        Raises:
            DataError: a box reaches outside the image, or has an unknown class.
        """
        if not isinstance(shown, Detections | Objects):
            raise DataError(f"truth is {type(shown).__name__}; expected objects: use a dataset with boxes")
        height, width = image.shape[:2]
        reach = np.array([width, height], np.float32) + 1
        decoded_for = shown.size if isinstance(shown, Detections) else None
        if decoded_for is not None and decoded_for != (height, width):
            raise DataError(
                f"the boxes are of an image of {decoded_for[1]}x{decoded_for[0]}; this one is {width}x{height}"
            )
        if decoded_for is None and len(shown) and ((shown.boxes[:, 2:] > reach).any() or shown.boxes.min() < -1):
            far = shown.boxes[((shown.boxes[:, 2:] > reach) | (shown.boxes[:, :2] < -1)).any(axis=1)][0]
            raise DataError(
                f"a box reaches to {far.tolist()}; the image is {width}x{height}: it belongs to another one"
            )
        if len(shown) and not 0 <= shown.labels.min() <= shown.labels.max() < len(self.classes):
            raise DataError(f"an object has a class outside 0..{len(self.classes) - 1}; correct task.classes")
        texts = [self.classes[label] for label in shown.labels.tolist()]
        order = np.arange(len(shown))
        if isinstance(shown, Detections):
            texts = [f"{text} {score:.2f}" for text, score in zip(texts, shown.scores.tolist(), strict=True)]
            order = np.argsort(shown.scores, kind="stable")  # the surest on top
            order = order[shown.scores[order] >= self.confidence]
        table = colours(self.classes[:256])[shown.labels % 256]
        return boxed(image, shown.boxes[order], table[order], [texts[i] for i in order], text_scale(height))

    disagreement_of = "boxes without partner"

    def change(self, before: Detections, after: Detections) -> float:
        """The share of confident boxes of either frame that the other does not have."""
        return changed_boxes(before, after, self.confidence)

    def finds_nothing(self, prediction: Detections) -> bool:
        """Whether no box reaches ``confidence``."""
        return not bool((prediction.scores >= self.confidence).any())

    def found(self, prediction: Detections) -> Found:
        """How many boxes of each class reach ``confidence``."""
        return _found.boxes(prediction, self.classes, self.confidence)

    def excess(self, before: Labelled, after: Labelled) -> float | None:
        """Of the true objects in both frames, the share that only one prediction has."""
        return changed_objects(before[0], after[0], before[1], after[1], self.confidence)


def _in_image(found: Candidates, geometry: Geometry, clip: bool) -> tuple[Candidates, Array]:
    """Candidates with an area, and their boxes in pixels of the original image, float32; cut at its borders or not.

    Raises:
        TensorError: a box is no number.
    """
    top, left, rows, columns = geometry.content
    height, width = geometry.original
    if np.isnan(found.boxes).any():
        raise TensorError("a box is no number: infinity in the model's outputs; check the model with: edgekit verify")
    scale = np.array([width / columns, height / rows] * 2)
    boxes = np.clip((found.boxes - [left, top, left, top]) * scale, -_FAR, _FAR)
    given = (np.clip(boxes, 0, [width, height, width, height]) if clip else boxes).astype(np.float32)
    real = (given[:, 2:] > given[:, :2]).all(axis=1)
    return Candidates(boxes[real], found.scores[real], found.labels[real]), given[real]
