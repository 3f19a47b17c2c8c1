"""One pass over the frames: what each engine did on each, in a few numbers per frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from edgekit.core.errors import DataError
from edgekit.core.reports import Metric
from edgekit.core.tensors import Array
from edgekit.data import Dataset, Sample
from edgekit.engine import Engine, predict
from edgekit.evaluation.flicker import Flicker
from edgekit.preprocess import Preprocess
from edgekit.tasks import Task

Column = tuple[str | None, ...]
"""A value per frame; None: the frame has none."""


class Score:
    """The task's metrics of one engine, and its flicker; weights as :meth:`edgekit.tasks.Accumulator.compute`."""

    def __init__(self, name: str, task: Task) -> None:
        self.name = name
        self._total, self._flicker = task.accumulator(), Flicker(task)

    def update(self, prediction: Any, sample: Sample) -> None:
        """Add a frame with its truth."""
        self._total.update(prediction, sample.truth, sample.id)
        self._flicker.update(prediction, sample)

    def compute(self, weights: Array | None = None) -> dict[str, float]:
        """Metric to value, each a finite number.

        Raises:
            DataError: nothing was measured, or a metric is no number; names the metric.
        """
        found = self._total.compute(weights) | self._flicker.compute(weights)
        for metric, value in found.items():
            if not math.isfinite(value):
                raise DataError(f"{self.name}: metric {metric!r} is {value}; a metric is a finite number or left out")
        return found

    def compute_many(self, weights: Array, names: Collection[str] | None = None) -> dict[str, Array]:
        """Metric to float64 ``(R,)`` for weights ``(R, frames)``, NaN where it was not measured."""
        return self._total.compute_many(weights, names) | self._flicker.compute_many(weights)

    def alone(self, name: str) -> Array:
        """A metric of the task of every frame without the others, as :meth:`edgekit.tasks.Accumulator.alone`."""
        return self._total.alone(name)


@dataclass(frozen=True)
class Measurement:
    """The scores of every engine by its name, on ``frames`` (their ids), and the frames' metadata by column.

    ``metrics`` are all that the task may give, the headline first.  ``identifiers`` are the columns whose values are
    names even where they look like numbers.
    """

    scores: Mapping[str, Score]
    frames: tuple[str, ...]
    columns: Mapping[str, Column]
    metrics: tuple[Metric, ...]
    identifiers: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for name, values in self.columns.items():
            if len(values) != len(self.frames):
                raise DataError(f"metadata {name!r} has {len(values)} values for {len(self.frames)} frames")

    @property
    def summary(self) -> tuple[str, ...]:
        """Names of the metrics that are not those of a class: they have no more parts than the headline."""
        depth = self.metrics[0].name.count("/")
        return tuple(metric.name for metric in self.metrics if metric.name.count("/") <= depth)

    def by_engine(self) -> dict[str, dict[str, float]]:
        """The metrics of every engine over all frames."""
        return {name: score.compute() for name, score in self.scores.items()}


def measure(
    engines: Mapping[str, Engine],
    preprocess: Preprocess,
    task: Task,
    dataset: Dataset,
    advance: Callable[[], None] = lambda: None,
    control: str | None = None,
    prepared_by: Mapping[str, Preprocess] | None = None,
) -> Measurement:
    """Run every engine over ``dataset``; one frame is in memory at a time, and the one before it.

    Frames whose dataset names their sequence give :attr:`Task.sequence_metrics` too.

    Args:
        engines: open engines by name; all see the same frames.
        preprocess: the bundle's preprocessing.
        task: decodes outputs and owns the metrics.
        dataset: frames, with truth where the task is ``labelled``.
        advance: called after every frame.
        control: name of the engine whose predictions a task ``against_control`` holds the others against.
        prepared_by: the preprocessing of engines that have one of their own, by name.

    Raises:
        DataError: a frame has no truth, or its truth cannot belong to it; the task needs a control and there is none.
    """
    if task.against_control and control not in engines:
        raise DataError("the task holds every engine against its control, but none is measured; name the control")
    scores = {name: Score(name, task) for name in engines}
    frames: list[str] = []
    columns: dict[str, list[str | None]] = {}
    known: dict[str, str] = {}  # values repeat: each text is kept once
    for sample in dataset:
        if task.labelled and sample.truth is None:
            raise DataError(f"frame {sample.id!r} has no truth; evaluate needs a labelled dataset format")
        prepared = preprocess(sample.images, sample.id)
        other = {name: own(sample.images, sample.id) for name, own in (prepared_by or {}).items()}
        predictions = {name: predict(engine, task, other.get(name, prepared)) for name, engine in engines.items()}
        truth = task.truth(sample.truth, predictions[control] if task.against_control and control else None)
        for name, prediction in predictions.items():
            scores[name].update(prediction, replace(sample, truth=truth))
        for column, value in sample.metadata.items():
            values = columns.setdefault(column, [])
            values.extend([None] * (len(frames) - len(values)))
            values.append(known.setdefault(str(value), str(value)))
        frames.append(sample.id)
        advance()
    filled = {name: (*values, *[None] * (len(frames) - len(values))) for name, values in columns.items()}
    metrics = (*task.metrics, *task.sequence_metrics)
    return Measurement(scores, tuple(frames), filled, metrics, dataset.identifiers)
