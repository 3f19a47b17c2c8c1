"""Accuracy of an engine on a dataset, and of its FP32 control on the same frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edgekit.core.errors import DataError
from edgekit.core.reports import EvaluateReport
from edgekit.data import Dataset, Sample
from edgekit.engine import Engine
from edgekit.preprocess import Preprocess
from edgekit.tasks import Labelled, Task


def evaluate(
    engines: Mapping[str, Engine],
    preprocess: Preprocess,
    task: Task,
    dataset: Dataset,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, dict[str, float]]:
    """Task metrics of every engine over ``dataset``; one frame is in memory at a time, and the one before it.

    Frames whose dataset names their sequence give :attr:`Task.sequence_metrics` too.

    Args:
        engines: open engines by name; all see the same preprocessed frames.
        preprocess: the bundle's preprocessing.
        task: decodes outputs and owns the metrics.
        dataset: frames with truth.
        advance: called after every frame.

    Raises:
        DataError: a frame has no truth, or its truth cannot belong to it.
    """
    totals = {name: task.accumulator() for name in engines}
    flickers = {name: Flicker(task) for name in engines}
    for sample in dataset:
        if sample.truth is None:
            raise DataError(f"frame {sample.id!r} has no truth; evaluate needs a labelled dataset format")
        prepared = preprocess(sample.images)
        for name, engine in engines.items():
            prediction = task.decode(engine.infer(prepared.feeds), prepared.geometry)
            totals[name].update(prediction, sample.truth, sample.id)
            flickers[name].update(prediction, sample)
        advance()
    return {name: total.compute() | flickers[name].compute() for name, total in totals.items()}


class Flicker:
    """The mean of :meth:`Task.flicker` over all pairs of consecutive frames of one sequence; keeps one frame."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.sequence: str | None = None
        self.before: Labelled = (None, None)
        self.sums: dict[str, tuple[float, int]] = {}

    def update(self, prediction: Any, sample: Sample) -> None:
        """Add a frame; one without ``metadata["sequence"]``, or the first of a sequence, is compared with none.

        Raises:
            DataError: the frame cannot follow the one before it.
        """
        sequence, now = sample.metadata.get("sequence"), (prediction, sample.truth)
        if sequence is not None and sequence == self.sequence:
            try:
                found = self.task.flicker(self.before, now)
            except DataError as error:
                raise DataError(f"frame {sample.id!r} of sequence {sequence!r}: {error}") from error
            for name, value in found.items():
                total, count = self.sums.get(name, (0.0, 0))
                self.sums[name] = total + value, count + 1
        self.sequence, self.before = sequence, now

    def compute(self) -> dict[str, float]:
        """Metric to mean; empty when no two frames were of one sequence."""
        return {name: total / count for name, (total, count) in self.sums.items()}


def report(
    bundle: str, dataset: str, frames: int, metrics: Mapping[str, dict[str, float]], candidate: str
) -> EvaluateReport:
    """The document of :func:`evaluate`'s numbers; the other engine, if any, is the control."""
    control = next((values for name, values in metrics.items() if name != candidate), None)
    return EvaluateReport(bundle, candidate, dataset, frames, metrics[candidate], control)
