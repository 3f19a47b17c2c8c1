"""What training minimises: the loss of a task on labelled frames, or the distance to a teacher's outputs.

A loss is a plugin of the kind ``training.losses``, one module for a kind of task and called like it, with

* ``loss(task) -> TaskLoss | None``: of the task's ``Config``; None where it has none.  It raises
  :class:`~edgekit.core.errors.SpecError` for a head that it cannot be computed on;
* ``distance(task) -> Distance | None``, if it knows more of the outputs than that they are numbers;
* ``class_scores(task) -> tuple[str, ...]``, if outputs hold logits of classes that exclude each other, on axis 1;
* ``placed(task, truth, geometry) -> truth``, if a truth is in pixels of the frame: it brings it to the model's input.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from edgekit.core import plugins
from edgekit.core.errors import DataError, SpecError
from edgekit.core.predictions import Geometry
from edgekit.tasks import TaskConfig
from edgekit.training.losses._batch import Batch, Distance, Loss, Placed, TaskLoss, stacked
from edgekit.training.losses._teacher import divergence, divergences, normalised_error, teacher

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = [
    "KIND",
    "Batch",
    "Distance",
    "Loss",
    "Placed",
    "TaskLoss",
    "distance_of",
    "divergence",
    "divergences",
    "normalised_error",
    "of_task",
    "pick",
    "placing",
    "scores_of",
    "stacked",
    "supervised",
    "teacher",
]

KIND = "training.losses"
"""Of the plugins; users add theirs to the entry-point group ``edgekit.training.losses``."""


def of_task(task: TaskConfig) -> TaskLoss | None:
    """The loss of a task, or None for a task that has none (the teacher's loss needs no task).

    Raises:
        SpecError: the kind of task has one, but not for a head like this.
    """
    module = _module(task.kind)
    found: TaskLoss | None = None if module is None else module.loss(task)
    return found


def distance_of(task: TaskConfig) -> Distance | None:
    """How far a student's outputs are from a teacher's in the eyes of the task; None: nothing is known of them."""
    found: Distance | None = getattr(_module(task.kind), "distance", lambda task: None)(task)
    return found


def scores_of(task: TaskConfig) -> tuple[str, ...]:
    """Outputs that hold logits of classes that exclude each other, on axis 1."""
    found: tuple[str, ...] = getattr(_module(task.kind), "class_scores", lambda task: ())(task)
    return found


def placing(task: TaskConfig) -> Callable[[Any, Geometry], Any]:
    """What brings the truth of a frame to the coordinates of the model's input; by default it stays as it is."""
    module = _module(task.kind)
    return partial(module.placed, task) if hasattr(module, "placed") and module is not None else _as_it_is


def supervised(loss: TaskLoss) -> Loss:
    """``loss`` on the truth of each batch."""

    def over(outputs: Mapping[str, Tensor], batch: Batch) -> Tensor:
        if batch.truth is None:
            raise DataError(
                "the task's loss needs frames with truth, found one without; "
                "use the loss 'teacher', or a labelled format for data.training"
            )
        return loss(outputs, batch.truth)

    return over


def pick(
    name: Literal["task", "teacher"],
    *,
    task: TaskLoss | None,
    network: Callable[[], nn.Module],
    inputs: Sequence[str],
    outputs: Sequence[str],
    logits: Collection[str] = (),
) -> Loss:
    """The loss called ``name``: that of the task, or the distance to a fresh ``network()``.

    Raises:
        SpecError: ``task`` is wanted and there is none.
    """
    if name == "teacher":
        return teacher(network(), inputs, outputs, logits)
    if task is None:
        raise SpecError("loss: 'task' needs a task with a built-in loss; use loss: teacher, which needs none")
    return supervised(task)


def _module(kind: str) -> ModuleType | None:
    return plugins.load(KIND, kind) if kind in plugins.names(KIND) else None


def _as_it_is(truth: Any, geometry: Geometry) -> Any:
    return truth
