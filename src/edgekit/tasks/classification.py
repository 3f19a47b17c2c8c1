"""Classification: one class for a whole frame.

The model gives a score a class, float32 ``(1, C)``.  Metrics are the top-k accuracy, the recall and
precision of each class, their means, and the expected calibration error (Guo et al., "On calibration of
modern neural networks", ICML 2017), which says how far probabilities are from hit rates.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field

from edgekit.core.classes import ManyClassNames
from edgekit.core.errors import DataError, SpecError, TensorError
from edgekit.core.predictions import ClassScores, Geometry
from edgekit.core.reports import Metric
from edgekit.core.tensors import Array, Arrays, TensorSpec
from edgekit.tasks import Accumulator, Labelled, Task, TaskConfig
from edgekit.tasks._captions import PLAIN, RIGHT, WRONG, Line, captioned, tagged
from edgekit.tasks._temporal import changed_class
from edgekit.tasks._vectors import Activation, check_scores, probabilities
from edgekit.tasks._weights import Records, checked, checked_rows, grouped, mean, ratio, single

BINS = 15
# Of i / 15 in float32, and nothing between: a probability is a float32 too.
_BORDERS = np.linspace(0, 1, BINS + 1).astype(np.float32)


class Config(TaskConfig):
    """``output`` names the model output with the scores; ``classes`` are the names in the order of the ids.

    ``activation`` says what makes probabilities of the scores: ``softmax``, ``sigmoid`` (one logit, of
    the second of two classes) or ``none``.  ``top_k`` is the k of the second accuracy; 5 unless given,
    or one less than there are classes, where that is fewer.
    """

    kind: Literal["classification"] = "classification"
    output: str
    classes: ManyClassNames
    activation: Activation = "softmax"
    top_k: int | None = Field(default=None, ge=1)

    def create(self) -> Classification:
        """The task.

        Raises:
            SpecError: ``top_k`` is not below the number of classes, or ``sigmoid`` has more than two.
        """
        count = len(self.classes)
        if self.top_k is not None and self.top_k >= count:
            raise SpecError(
                f"task.top_k: the true class is always among {self.top_k} of {count} classes; "
                f"expected 1 to {count - 1}, or leave it out"
            )
        if self.activation == "sigmoid" and count != 2:
            raise SpecError(f"task.activation: sigmoid tells 2 classes apart, found {count}; use softmax")
        return Classification(self.output, self.classes, self.activation, self.top_k or min(5, count - 1))


class Classification(Task):
    """Scores to :class:`~edgekit.core.predictions.ClassScores`."""

    def __init__(self, output: str, classes: Sequence[str], activation: Activation, top_k: int) -> None:
        self.output = output
        self.classes = tuple(classes)
        self.activation = activation
        self.top_k = top_k
        self.unlabelled: tuple[int, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.classes

    def check_truth(self, truth: Any, sample_id: str) -> None:
        class_id(truth, self.classes, sample_id)

    def without_labels_of(self, unlabelled: Collection[int], counted: bool) -> Classification:
        made = copy.copy(self)
        made.unlabelled = () if counted else tuple(unlabelled)
        return made

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """``top1``, ``top<k>``, ``balanced_accuracy``, ``macro_f1``, ``ece``, and recall and precision by class."""
        means = ["top1", f"top{self.top_k}", "balanced_accuracy", "macro_f1"]
        by_class = [f"{what}/{name}" for what in ("recall", "precision") for name in self.classes]
        higher = [Metric(name, higher=True) for name in dict.fromkeys(means)]
        return (*higher, Metric("ece", higher=False), *(Metric(name, higher=True) for name in by_class))

    def check_outputs(self, outputs: Sequence[TensorSpec]) -> None:
        """Raise :class:`SpecError` unless ``output`` is there as float32 ``(1, C)``, or ``(1, 1)`` for a sigmoid."""
        check_scores(outputs, self.output, len(self.classes), self.activation)

    def decode(self, outputs: Arrays, geometry: Geometry) -> ClassScores:
        """The probability of each class; the frame's geometry plays no part.

        Raises:
            TensorError: the output is missing, has another shape or dtype, holds NaN or infinity, or
                is no probability although ``activation`` is ``none``.
        """
        found = probabilities(outputs, self.output, len(self.classes), self.activation)
        return ClassScores(found.astype(np.float32))

    def accumulator(self) -> ClassificationScores:
        return ClassificationScores(self.classes, self.top_k, self.unlabelled)

    def paint(self, image: Array, shown: Any) -> Array:
        """The class on the upper left corner: the predicted one with its probability, or the true one.

        Raises:
            DataError: the image is not uint8 ``(H, W, 3)``, or truth is no class id.
        """
        if isinstance(shown, ClassScores):
            return tagged(image, self._lines(shown, 1))
        return tagged(image, [Line(self.classes[class_id(shown, self.classes, "shown")])])

    def draw(self, image: Array, prediction: ClassScores, truth: Any = None) -> Array:
        """The image over the most probable classes with their probabilities; the true one is named below.

        Raises:
            DataError: the image is not uint8 ``(H, W, 3)``, or truth is no class id.
        """
        label = None if truth is None else class_id(truth, self.classes, "shown")
        lines = self._lines(prediction, min(max(self.top_k, 2), 5), label)
        if label is not None:
            place = rank(prediction.probabilities, label)
            lines.append(Line(f"truth: {self.classes[label]} (rank {place})"))
        return captioned(image, lines)

    def _lines(self, prediction: ClassScores, count: int, truth: int | None = None) -> list[Line]:
        best = np.argsort(-prediction.probabilities, kind="stable")[:count].tolist()
        lines = []
        for place, i in enumerate(best):
            missed = truth is not None and place == 0 and i != truth
            colour = RIGHT if i == truth else WRONG if missed else PLAIN
            share = float(prediction.probabilities[i])
            lines.append(Line(f"{share:.2f} {self.classes[i]}", share, colour))
        return lines

    disagreement_of = "frames of another class"

    def change(self, before: ClassScores, after: ClassScores) -> float:
        """1 when the most probable class changed, else 0."""
        return changed_class(before, after)

    def excess(self, before: Labelled, after: Labelled) -> float | None:
        """1 when the most probable class changed although the true one did not; None when that did too."""
        return changed_class(before[0], after[0]) if before[1] == after[1] else None


def class_id(truth: Any, classes: Sequence[str], sample_id: str) -> int:
    """A truth that is a class id.

    Raises:
        DataError: it is none, or not that of a class.
    """
    fix = "evaluate on a dataset with class ids, for example the format image_folder with classes"
    if isinstance(truth, bool) or not isinstance(truth, int | np.integer):
        found = repr(truth) if isinstance(truth, str) else type(truth).__name__
        raise DataError(f"sample {sample_id!r}: truth is {found}; expected a class id 0..{len(classes) - 1}: {fix}")
    if not 0 <= truth < len(classes):
        raise DataError(
            f"sample {sample_id!r}: truth is the class id {truth}; allowed: 0..{len(classes) - 1}; "
            "correct the dataset or task.classes"
        )
    return int(truth)


def rank(scores: Array, label: int) -> int:
    """The place of ``label`` among ``scores`` ``(C,)``, from 1 for the highest; the lowest id wins a tie."""
    score = scores[label]
    return 1 + int((scores > score).sum()) + int((scores[:label] == score).sum())


_RECORD = np.dtype([("truth", "<u4"), ("found", "<u4"), ("confidence", "<f4"), ("hit", "?")])


class ClassificationScores(Accumulator):
    """True and predicted class of each frame, its confidence, and whether the top k hold the true one: 13 bytes.

    Bin i of the calibration error takes probabilities from i / 15 up to, not including, (i + 1) / 15;
    a probability of exactly 1 has a bin of its own.  This is what torchmetrics does; the paper's bins
    include the upper border instead.  Classes ``unlabelled`` have neither precision nor a part in ``macro_f1``.
    """

    def __init__(self, classes: Sequence[str], top_k: int, unlabelled: Sequence[int] = ()) -> None:
        self.classes = tuple(classes)
        self.top_k = top_k
        self.unlabelled = list(unlabelled)
        self.records = Records(_RECORD)

    def __len__(self) -> int:
        return len(self.records)

    def update(self, prediction: ClassScores, truth: Any, sample_id: str) -> None:
        """Add a frame: ``truth`` is the id of its class.

        Raises:
            DataError: truth is missing or no class id.
            TensorError: the prediction is of another number of classes.
        """
        label, scores = class_id(truth, self.classes, sample_id), prediction.probabilities
        if len(scores) != len(self.classes):
            raise TensorError(
                f"sample {sample_id!r}: {len(scores)} probabilities for {len(self.classes)} classes; "
                "score predictions of this task"
            )
        if np.isnan(scores).any():
            raise TensorError(f"sample {sample_id!r}: a probability is NaN; check the model with: edgekit verify")
        best = int(scores.argmax())
        record = (label, best, scores[best], rank(scores, label) <= self.top_k)
        self.records.add(np.array(record, _RECORD))

    def compute(self, weights: Array | None = None) -> dict[str, float]:
        """Every metric that was measured over all frames so far.

        A class without frames has no recall and is not part of ``balanced_accuracy``, their mean (as
        scikit-learn's ``balanced_accuracy_score``); one that was never predicted has no precision.
        ``macro_f1`` takes classes that are in truth or were predicted.

        Raises:
            DataError: no frame was added; or as :meth:`Accumulator.compute`.
        """
        found = self.compute_many(checked(weights, len(self))[None])
        return single(found, "top1", "no frame to score; evaluate a dataset that is not empty")

    def compute_many(self, weights: Array, names: Collection[str] | None = None) -> dict[str, Array]:
        """As :meth:`Accumulator.compute_many`; the sums over frames are matrix products and sums by class."""
        rows, records, count = checked_rows(weights, len(self)), self.records.all(), len(self.classes)
        right = records["truth"] == records["found"]
        true, found = (grouped(rows, records[what], count) for what in ("truth", "found"))
        both = grouped(rows[:, right], records["truth"][right], count)
        total = rows.sum(axis=1)
        recall, precision, f1 = ratio(both, true), ratio(both, found), ratio(2 * both, true + found)
        for by_class in (precision, f1):
            by_class[:, self.unlabelled] = np.nan
        places = np.clip(np.searchsorted(_BORDERS, records["confidence"], "right") - 1, 0, BINS)
        # Of a bin's frames, so already weighted by its size.
        gaps = np.abs(grouped(rows * (right - records["confidence"].astype(np.float64)), places, BINS + 1))
        return {
            "top1": ratio(both.sum(axis=1), total),
            f"top{self.top_k}": ratio(rows @ records["hit"], total),
            "balanced_accuracy": mean(recall),
            "macro_f1": mean(f1),
            "ece": ratio(gaps.sum(axis=1), total),
            **{f"recall/{name}": recall[:, i] for i, name in enumerate(self.classes)},
            **{f"precision/{name}": precision[:, i] for i, name in enumerate(self.classes)},
        }
