"""Several tasks: the sum of their losses, each with the weight that the task gives it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from edgekit.core.errors import DataError
from edgekit.core.predictions import Geometry
from edgekit.tasks.multitask import Config, MultiTask, parts_of
from edgekit.training import losses
from edgekit.training.losses._batch import Distance, TaskLoss, stacked

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def loss(task: Config) -> TaskLoss | None:
    """The weighted sum of the losses of the tasks that have one, each on the part of the truth that it reads.

    None: no task has one.  Weights are those of ``task.loss_weights``, 1 where it has none (Caruana, "Multitask
    learning", 1997): the losses of edgekit are means over what they look at, so none grows with the size of a frame.
    A task of weight 0 is left out, truth and all.

    Raises:
        SpecError: one of the tasks has a head that its loss cannot be computed on.
    """
    counted = {name: part for name, part in task.tasks.items() if task.loss_weight(name)}
    found = {name: made for name, part in counted.items() if (made := losses.of_task(part)) is not None}
    return partial(_sum, task, found) if found else None


def class_scores(task: Config) -> tuple[str, ...]:
    """Those of every task."""
    return tuple(dict.fromkeys(name for part in task.tasks.values() for name in losses.scores_of(part)))


def distance(task: Config) -> Distance | None:
    """What each task knows of its outputs, with the weights of :func:`loss`."""
    found = [
        (task.loss_weight(name), made)
        for name, part in task.tasks.items()
        if (made := losses.distance_of(part)) is not None
    ]
    return partial(_all, tuple(found)) if found else None


def placed(task: Config, truth: Any, geometry: Geometry) -> Any:
    """The parts of a truth by the names of the tasks, each brought to the model's input by its own task;
    those of weight 0 are left out.

    Raises:
        DataError: a part is missing.
    """
    made = task.create()
    assert isinstance(made, MultiTask)
    names = {name: part for name, part in made.truths.items() if made.tasks[name].labelled and task.loss_weight(name)}
    if len(names) == 1 and not isinstance(truth, Mapping):
        truth = dict.fromkeys(names.values(), truth)
    parts = parts_of(truth, names)
    return {name: losses.placing(task.tasks[name])(part, geometry) for name, part in parts.items()}


def _sum(task: Config, found: Mapping[str, TaskLoss], outputs: Mapping[str, Tensor], truth: Any) -> Tensor:
    import torch

    if not isinstance(truth, tuple) or not all(isinstance(one, Mapping) for one in truth):
        raise DataError(f"the truth of a batch is {type(truth).__name__}; expected one mapping of parts a frame")
    device = next(iter(outputs.values())).device
    parts = []
    for name, loss_of in found.items():
        missing = next((one for one in truth if name not in one), None)
        if missing is not None:
            raise DataError(f"truth has no part {name!r}; it has {', '.join(map(repr, missing))}")
        parts.append(task.loss_weight(name) * loss_of(outputs, _part(truth, name, device)))
    return torch.stack(parts).sum()


def _part(truth: tuple[Mapping[str, Any], ...], name: str, device: torch.device) -> Any:
    found = stacked([one[name] for one in truth], device)
    if found is None:
        raise DataError(f"truth: the part {name!r} of a frame is nothing; leave the frame out")
    return found


def _all(
    found: tuple[tuple[float, Distance], ...],
    given: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    temperature: float,
) -> dict[str, Tensor]:
    return {name: weight * value for weight, one in found for name, value in one(given, wanted, temperature).items()}
