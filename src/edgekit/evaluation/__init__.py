"""Accuracy of an engine on a dataset, and of its FP32 control on the same frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edgekit.core.errors import DataError
from edgekit.core.reports import EvaluateReport
from edgekit.data import Dataset
from edgekit.engine import Engine
from edgekit.evaluation.flicker import Flicker
from edgekit.preprocess import Preprocess
from edgekit.tasks import Task


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


def report(
    bundle: str, dataset: str, frames: int, metrics: Mapping[str, dict[str, float]], candidate: str
) -> EvaluateReport:
    """The document of :func:`evaluate`'s numbers; the other engine, if any, is the control."""
    control = next((values for name, values in metrics.items() if name != candidate), None)
    return EvaluateReport(bundle, candidate, dataset, frames, metrics[candidate], control)
