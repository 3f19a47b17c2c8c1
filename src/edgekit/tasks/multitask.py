"""Several tasks on the named outputs of one model, such as objects, drivable area and lanes from one backbone.

Every task keeps its own decoding and metrics; a metric, and a KPI on it, is called ``<name>/<metric>``.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from edgekit.core import suggest
from edgekit.core.errors import DataError, SpecError, TensorError
from edgekit.core.predictions import Geometry
from edgekit.core.reports import Metric
from edgekit.core.sections import PluginSection
from edgekit.core.spec import NAME
from edgekit.core.tensors import Array, Arrays, TensorSpec
from edgekit.inputs import InputConfig
from edgekit.tasks import Accumulator, Found, Labelled, Task, TaskConfig, _found

_Part = Annotated[Any, PluginSection("tasks", "kind", without="multitask")]
_Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Config(TaskConfig):
    """``tasks`` holds a task's section under each name; the first metric of the first one is the headline.

    The truth of a frame is a mapping, and each task reads the part of its own name, or the one that
    ``truth`` names for it: ``truth: {area: drivable}``.
    """

    kind: Literal["multitask"] = "multitask"
    tasks: dict[str, _Part] = Field(min_length=1)
    truth: dict[str, str] = Field(default_factory=dict, description="task to the part of the truth it reads")
    loss_weights: dict[str, _Weight] = Field(
        default_factory=dict,
        description="task to the weight of its loss in training; default: 1 of each, 0 leaves it out",
    )

    @model_validator(mode="after")
    def _names(self) -> Self:
        for name in self.tasks:
            if not re.fullmatch(NAME, name):
                raise ValueError(f"tasks: {name!r} becomes a part of metrics' names; use letters, digits and . _ -")
        for key, given in (("truth", self.truth), ("loss_weights", self.loss_weights)):
            unknown = next((name for name in given if name not in self.tasks), None)
            if unknown is not None:
                raise ValueError(f"{key}: no task {unknown!r}; {suggest.allowed(unknown, tuple(self.tasks))}")
        if not any(map(self.loss_weight, self.tasks)):
            raise ValueError("loss_weights: every task has 0, so training would learn nothing; give one a weight")
        return self

    def loss_weight(self, task: str) -> float:
        """The weight of the loss of one of the tasks."""
        return self.loss_weights.get(task, 1.0)

    def check_inputs(self, inputs: Mapping[str, InputConfig]) -> None:
        for section in self.tasks.values():
            section.check_inputs(inputs)

    def create(self) -> MultiTask:
        tasks = {}
        for name, section in self.tasks.items():
            with _of(name):
                tasks[name] = section.create()
        needless = next((name for name in self.truth if tasks[name].against_control), None)
        if needless is not None:
            raise SpecError(
                f"task.truth.{needless}: the task is held against the control and reads no truth; remove it"
            )
        return MultiTask(tasks, {name: self.truth.get(name, name) for name in tasks})


@contextlib.contextmanager
def _of(name: str) -> Iterator[None]:
    """An error inside says which of the tasks it is about, and points at its section."""
    try:
        yield
    except (DataError, SpecError, TensorError) as error:
        text, places = re.subn(r"\btask\.(?=\w)", f"task.tasks.{name}.", str(error))
        raise type(error)(text if places else f"{name}: {text}") from error


class Predictions(dict[str, Any]):
    """What the tasks make of one frame: name to prediction.  A truth goes by the names of its parts instead."""


class MultiTask(Task):
    """The tasks by name, and the part of the truth that each reads."""

    def __init__(self, tasks: Mapping[str, Task], truths: Mapping[str, str]) -> None:
        self.tasks = dict(tasks)
        # A slash is in no name of a part of the data.
        self.truths = {n: f"{n}/control" if tasks[n].against_control else part for n, part in truths.items()}
        self.labelled = any(task.labelled for task in tasks.values())
        self.against_control = any(task.against_control for task in tasks.values())

    def truth(self, given: Any, control: Any) -> Any:
        """The dataset's parts, and beside them the control's predictions for the tasks that are held against it."""
        given = self._by_part(given)
        if not self.against_control or not isinstance(given, Mapping | None):
            return given
        held = {self.truths[n]: task.truth(None, control[n]) for n, task in self.tasks.items() if task.against_control}
        return {**(given or {}), **held}

    def _by_part(self, given: Any) -> Any:
        """A truth by its parts: one without is that of the only task with labels, if there is one."""
        labelled = [self.truths[name] for name, task in self.tasks.items() if task.labelled]
        alone = len(labelled) == 1 and given is not None and not (isinstance(given, Mapping) and labelled[0] in given)
        return {labelled[0]: given} if alone else given

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics of every task, in order, as ``<name>/<metric>``."""
        return self._prefixed({name: task.metrics for name, task in self.tasks.items()})

    @property
    def sequence_metrics(self) -> tuple[Metric, ...]:
        return self._prefixed({name: task.sequence_metrics for name, task in self.tasks.items()})

    @staticmethod
    def _prefixed(metrics: Mapping[str, tuple[Metric, ...]]) -> tuple[Metric, ...]:
        return tuple(
            Metric(f"{name}/{m.name}", m.higher, m.unit, m.share) for name, of_task in metrics.items() for m in of_task
        )

    def check_outputs(self, outputs: Sequence[TensorSpec]) -> None:
        """Raise :class:`SpecError` unless every task finds its outputs."""
        for name, task in self.tasks.items():
            with _of(name):
                task.check_outputs(outputs)

    def decode(self, outputs: Arrays, geometry: Geometry) -> Predictions:
        """The prediction of every task, by name.

        Raises:
            TensorError: an output does not fit its task; names both.
        """
        predictions = Predictions()
        for name, task in self.tasks.items():
            with _of(name):
                predictions[name] = task.decode(outputs, geometry)
        return predictions

    def check_truth(self, truth: Any, sample_id: str) -> None:
        """As every task; see :meth:`Task.check_truth`."""
        for name, part in self.labels(truth, sample_id).items():
            with _of(name):
                self.tasks[name].check_truth(part, sample_id)

    def labels(self, given: Any, sample_id: str) -> dict[str, Any]:
        """The part of a frame's truth of each task that needs labels, by the task's name.

        Raises:
            DataError: the truth lacks a part.
        """
        labelled = {name: part for name, part in self.truths.items() if self.tasks[name].labelled}
        try:
            return parts_of(self._by_part(given), labelled)
        except DataError as error:
            raise DataError(f"sample {sample_id!r}: {error}") from error

    def accumulator(self) -> MultiAccumulator:
        return MultiAccumulator({name: task.accumulator() for name, task in self.tasks.items()}, self.truths)

    def paint(self, image: Array, shown: Any) -> Array:
        """What every task paints, one over the other: areas first, so that boxes and lines stay visible.

        Raises:
            DataError: a truth lacks a part, or something does not belong to the image.
        """
        labelled = {name: part for name, part in self.truths.items() if self.tasks[name].labelled}
        parts = shown if isinstance(shown, Predictions) else parts_of(self._by_part(shown), labelled)
        for name, task in sorted(self.tasks.items(), key=lambda item: not item[1].covers):
            if name in parts:  # of a truth, what the data know
                with _of(name):
                    image = task.paint(image, parts[name])
        return image

    def legend(self, width: int, scale: float) -> Array | None:
        """The legends of all tasks, one below the other."""
        from edgekit.tasks._drawing import stacked

        legends = [found for task in self.tasks.values() if (found := task.legend(width, scale)) is not None]
        return stacked(legends) if legends else None

    @property
    def notes(self) -> tuple[str, ...]:
        """Those of every task, after its name."""
        return tuple(f"{name}: {note}" for name, task in self.tasks.items() for note in task.notes)

    disagreement_of = "of what one of the tasks finds differs"

    def found(self, prediction: Predictions) -> Found:
        """What every task found, by its name."""
        return _found.parts({name: task.found(prediction[name]) for name, task in self.tasks.items()})

    def disagreement(self, one: Predictions, other: Predictions) -> float:
        """That of the task that differs most."""
        return max(task.disagreement(one[name], other[name]) for name, task in self.tasks.items())

    def flicker(self, before: Labelled, after: Labelled) -> dict[str, float]:
        """The flicker of every task that has one, as ``<name>/flicker`` and ``<name>/flicker_excess``."""
        true_before, true_after = (parts_of(truth, self.truths) for _, truth in (before, after))
        found: dict[str, float] = {}
        for name, task in self.tasks.items():
            with _of(name):
                shares = task.flicker((before[0][name], true_before[name]), (after[0][name], true_after[name]))
            found |= {f"{name}/{metric}": value for metric, value in shares.items()}
        return found


def parts_of(truth: Any, names: Mapping[str, str]) -> dict[str, Any]:
    """Task to its part of a frame's truth.

    Raises:
        DataError: truth is no mapping, or lacks a part; names it.
    """
    if not isinstance(truth, Mapping):
        found = "nothing" if truth is None else type(truth).__name__
        raise DataError(f"truth is {found}; expected a mapping with the parts {', '.join(names.values())}")
    for task, part in names.items():
        if part not in truth:
            hint = suggest.allowed(part, tuple(map(str, truth)))
            raise DataError(f"truth has no part {part!r} for task.tasks.{task}; name its part in task.truth; {hint}")
    return {task: truth[part] for task, part in names.items()}


class MultiAccumulator(Accumulator):
    """The accumulators of several tasks, each fed with its own part of a frame."""

    def __init__(self, totals: Mapping[str, Accumulator], truths: Mapping[str, str]) -> None:
        self.totals = dict(totals)
        self.truths = dict(truths)

    def update(self, prediction: Predictions, truth: Any, sample_id: str) -> None:
        """Add a frame.

        Raises:
            DataError: the truth lacks a part, or a part cannot belong to the frame; names the sample.
        """
        try:
            parts = parts_of(truth, self.truths)
        except DataError as error:
            raise DataError(f"sample {sample_id!r}: {error}") from error
        for name, total in self.totals.items():
            with _of(name):
                total.update(prediction[name], parts[name], sample_id)

    def __len__(self) -> int:
        return len(next(iter(self.totals.values())))

    def compute(self, weights: Array | None = None) -> dict[str, float]:
        """``<name>/<metric>`` to value; every task gets the same weights.

        Raises:
            DataError: one of the tasks was not measured; names it; or as :meth:`Accumulator.compute`.
        """
        found: dict[str, float] = {}
        for name, total in self.totals.items():
            with _of(name):
                found |= {f"{name}/{metric}": value for metric, value in total.compute(weights).items()}
        return found

    def compute_many(self, weights: Array, names: Collection[str] | None = None) -> dict[str, Array]:
        """As :meth:`Accumulator.compute_many`; a row that does not measure one of the tasks measures the others."""
        found: dict[str, Array] = {}
        for name, total in self.totals.items():
            with _of(name):
                wanted = (
                    None if names is None else {full[len(name) + 1 :] for full in names if full.startswith(f"{name}/")}
                )
                if wanted is None or wanted:
                    made = total.compute_many(weights, wanted)
                    found |= {f"{name}/{metric}": values for metric, values in made.items()}
        return found

    def alone(self, name: str) -> Array:
        """As :meth:`Accumulator.alone`."""
        task, _, metric = name.partition("/")
        with _of(task):
            return self.totals[task].alone(metric)
