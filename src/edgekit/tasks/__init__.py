"""Perception tasks, one file per task: decode, metrics and drawing, NumPy only.

A task is a module with a frozen ``Config`` (its keys in the spec) whose
``create()`` returns a :class:`Task`.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from edgekit.core.errors import DataError
from edgekit.core.predictions import Geometry
from edgekit.core.reports import Metric
from edgekit.core.tensors import Array, Arrays, TensorSpec
from edgekit.inputs import InputConfig
from edgekit.tasks import _drawing
from edgekit.tasks._agreement import apart as apart
from edgekit.tasks._found import Found, plain
from edgekit.tasks._weights import checked, checked_rows

__all__ = ["Accumulator", "Found", "Labelled", "Task", "TaskConfig", "checked", "checked_rows"]

Labelled = tuple[Any, Any]
"""The prediction of a frame, and its truth."""


class Accumulator(ABC):
    """Collects one metric family over frames; keeps a few numbers per frame, but no images.

    What is kept says how each frame counts alone, so that the metrics of any part or resample of the frames
    need no second run: see ``weights`` of :meth:`compute`.
    """

    @abstractmethod
    def update(self, prediction: Any, truth: Any, sample_id: str) -> None:
        """Add a frame; raises :class:`~edgekit.core.errors.DataError` when truth cannot belong to it."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of frames so far."""

    @abstractmethod
    def compute(self, weights: Array | None = None) -> dict[str, float]:
        """Metric name to value over all frames so far; what was not measured has no entry.

        Args:
            weights: float64 ``(frames,)``, how often each frame counts, in the order of :meth:`update`; None:
                once each.  With whole numbers the metrics are those of the frames repeated so often, with 0 and
                1 those of a part of them.

        Raises:
            DataError: nothing was measured; or there is not one weight a frame, or one is negative or NaN.
        """

    def compute_many(self, weights: Array, names: Collection[str] | None = None) -> dict[str, Array]:
        """:meth:`compute` for each row of ``weights`` ``(R, frames)``: name to float64 ``(R,)``.

        NaN stands where a metric has no entry.  A task overrides this when it can do better than one row
        after another.  With ``names``, other metrics may be left out, where that saves time.

        Raises:
            DataError: there is not one weight a frame, or one is negative or NaN.
        """
        rows = checked_rows(weights, len(self))
        found: dict[str, Array] = {}
        for i, row in enumerate(rows):
            with contextlib.suppress(DataError):  # the weights are right, so nothing was measured
                for name, value in self.compute(row).items():
                    found.setdefault(name, np.full(len(rows), np.nan))[i] = value
        return found

    def alone(self, name: str) -> Array:
        """One metric of every frame without the others, float64 ``(frames,)``; NaN where one does not measure it.

        A task overrides this when it can do better than :meth:`compute_many` with a row for each frame.
        """
        made, step = np.full(len(self), np.nan), 64
        for first in range(0, len(self), step):
            rows = np.eye(min(step, len(self) - first), len(self), first)
            if (values := self.compute_many(rows, (name,)).get(name)) is not None:
                made[first : first + step] = values
        return made


class Task(ABC):
    """What the numbers of a model mean."""

    @property
    @abstractmethod
    def metrics(self) -> tuple[Metric, ...]:
        """Every metric that :meth:`accumulator` computes, with its direction."""

    @abstractmethod
    def check_outputs(self, outputs: Sequence[TensorSpec]) -> None:
        """Raise :class:`~edgekit.core.errors.SpecError` unless the model's outputs fit the task."""

    @abstractmethod
    def decode(self, outputs: Arrays, geometry: Geometry) -> Any:
        """Model outputs of one frame to a prediction in original image coordinates."""

    @abstractmethod
    def accumulator(self) -> Accumulator:
        """An empty accumulator of this task's metrics."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the metrics has to know of the task's settings, such as a threshold that they count from."""
        return ()

    labelled: bool = True
    """Whether frames need a truth from the dataset."""

    against_control: bool = False
    """Whether predictions, or parts of them, are held against the control's on the same frame; see :meth:`truth`."""

    def truth(self, given: Any, control: Any) -> Any:
        """What the predictions of a frame are held against.

        Args:
            given: the truth of the dataset, or None.
            control: what :meth:`decode` makes of the control's outputs; None unless ``against_control``.
        """
        return given

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the class ids in a truth, in their order, by which data sets agree with it; None: it has none."""
        return None

    @property
    def keypoint_names(self) -> tuple[str, ...] | None:
        """Names of the keypoints of true objects, in the order that the task wants them; None: any."""
        return None

    @property
    def void(self) -> int | None:
        """The class id in a true mask that counts nowhere."""
        return None

    def check_truth(self, truth: Any, sample_id: str) -> None:  # noqa: B027 (a task may have nothing to check)
        """Raise :class:`~edgekit.core.errors.DataError` when no prediction could be judged on this truth.

        What can only be seen beside a prediction, such as another size, is left to the accumulator.
        """

    def without_labels_of(self, unlabelled: Collection[int], counted: bool) -> Task:
        """This task on data without labels of the classes ``unlabelled``.

        Predictions of such a class are no mistake of that class, which has no part in a mean; when they are
        ``counted``, each is one: the data would show such objects if there were some.  A true object that was taken
        for one of them is missed either way.
        """
        return self

    covers: ClassVar[bool] = False
    """Whether :meth:`paint` colours whole areas, which would hide the marks of a task painted before it."""

    def paint(self, image: Array, shown: Any) -> Array:
        """A copy of ``image``, uint8 RGB ``(H, W, 3)``, with ``shown`` over it: a prediction, or a truth.

        Raises:
            DataError: what is shown does not belong to an image of this size.
        """
        raise TypeError(f"{type(self).__name__} does not define paint()")

    def legend(self, width: int, scale: float) -> Array | None:
        """What the colours mean, uint8 RGB ``(h, width, 3)`` with text of size ``scale``; None: they need no words."""
        return None

    def draw(self, image: Array, prediction: Any, truth: Any = None) -> Array:
        """RGB uint8 picture of ``image`` with the prediction over it, and truth beside it if given.

        Raises:
            DataError: as :meth:`paint`.
        """
        scale = _drawing.text_scale(image.shape[0])
        picture = _drawing.beside(self._panes(image, prediction, truth), scale)
        return _drawing.stacked([picture, self.legend(picture.shape[1], scale)])

    def draw_small(self, image: Array, prediction: Any, truth: Any = None) -> Array:
        """As :meth:`draw`, without the words: in a small picture they could not be read."""
        return _drawing.joined(self._panes(image, prediction, truth))

    def _panes(self, image: Array, prediction: Any, truth: Any) -> list[Array]:
        return [self.paint(image, shown) for shown in (prediction, truth) if shown is not None]

    def change(self, before: Any, after: Any) -> float | None:
        """The share of the prediction that changed from one frame to the next, 0..1; None: the task has no such number.

        Raises:
            DataError: the two cannot be frames of one sequence.
        """
        return None

    disagreement_of: ClassVar[str] = "of the outputs' values differ"
    """What :meth:`disagreement` counts, as it stands after a percentage."""

    def disagreement(self, one: Any, other: Any) -> float:
        """How far two predictions of one frame are apart, 0..1: by default :meth:`change`, else part by part."""
        changed = self.change(one, other)
        return apart(one, other) if changed is None else changed

    def finds_nothing(self, prediction: Any) -> bool:
        """Whether a prediction holds nothing that another one could miss, such as no box; by default never."""
        return False

    def found(self, prediction: Any) -> Found:
        """What a prediction holds: one line for a person, and numbers by name."""
        return plain(prediction, self.class_names)

    def excess(self, before: Labelled, after: Labelled) -> float | None:
        """Of what truly stayed the same, the share whose prediction changed, 0..1; None when nothing stayed.

        Raises:
            DataError: as :meth:`change`.
        """
        return None

    @property
    def sequence_metrics(self) -> tuple[Metric, ...]:
        """The metrics that :meth:`flicker` gives: those whose method the task defines."""
        methods = {"flicker": (type(self).change, Task.change), "flicker_excess": (type(self).excess, Task.excess)}
        return tuple(Metric(name, higher=False) for name, (method, base) in methods.items() if method is not base)

    def flicker(self, before: Labelled, after: Labelled) -> dict[str, float]:
        """``flicker`` (:meth:`change`) and ``flicker_excess`` (:meth:`excess`) of two consecutive frames.

        On a moving scene a right prediction changes too.  ``flicker`` therefore says little alone, and
        much beside the FP32 control on the same frames; ``flicker_excess`` leaves the motion out: truth
        says what stayed, as optical flow does where there is no truth (Varghese et al., "Unsupervised
        temporal consistency metric for video segmentation in highly-automated driving", CVPR Workshops
        2020), and counts changes of what stayed, as the fragment error does for objects (Zhang and Wang,
        "On the stability of video detection and tracking", 2016).

        Raises:
            DataError: as :meth:`change`.
        """
        found = {"flicker": self.change(before[0], after[0]), "flicker_excess": self.excess(before, after)}
        return {name: value for name, value in found.items() if value is not None}


class TaskConfig(BaseModel):
    """Base of every task's ``Config``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str

    def check_inputs(self, inputs: Mapping[str, InputConfig]) -> None:
        """Whether the task can read what a model makes of these inputs.

        Raises:
            Misfit: it cannot; ``key`` is the place in ``preprocess``, such as ``image.mode``.
        """

    def create(self) -> Task:
        """The task; raises :class:`~edgekit.core.errors.SpecError` when its options do not fit."""
        raise TypeError(f"{type(self).__module__}.Config does not define create()")
