"""Accuracy of an engine on a dataset, and of its control on the same frames, with its uncertainty."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from edgekit.core.reports import Bootstrap, EvaluateReport, Interval, Slice
from edgekit.data import Dataset
from edgekit.engine import Engine
from edgekit.evaluation import bootstrap
from edgekit.evaluation.bootstrap import Resampling
from edgekit.evaluation.flicker import Flicker
from edgekit.evaluation.measurement import Measurement, Score, measure
from edgekit.evaluation.slicing import joined, read_table, slices
from edgekit.evaluation.worst_frames import worst
from edgekit.preprocess import Preprocess
from edgekit.tasks import Task

__all__ = [
    "Bootstrap", "EvaluateReport", "Flicker", "Interval", "Measurement", "Resampling", "Score", "evaluate", "joined",
    "measure", "read_table", "report", "section_hash", "slices", "worst",
]  # fmt: skip


def evaluate(
    engines: Mapping[str, Engine],
    preprocess: Preprocess,
    task: Task,
    dataset: Dataset,
    advance: Callable[[], None] = lambda: None,
    control: str | None = None,
    prepared_by: Mapping[str, Preprocess] | None = None,
) -> dict[str, dict[str, float]]:
    """Task metrics of every engine over ``dataset``, and nothing else; arguments and errors as :func:`measure`."""
    return measure(engines, preprocess, task, dataset, advance, control, prepared_by).by_engine()


def report(
    measurement: Measurement,
    candidate: str,
    *,
    bundle: str,
    dataset: str,
    dataset_hash: str = "",
    preprocess_hash: str = "",
    resampling: Resampling | None = None,
    most_worst: int = 10,
) -> EvaluateReport:
    """The document of a measurement: metrics, intervals, differences, slices and worst frames.

    The metrics of a slice are the headline and those that are not of one class; p-values are corrected for all
    differences of the report together, those of its slices included.

    Args:
        measurement: one or two engines; the one that is not ``candidate`` is the control.
        candidate: name of the engine that the report is about.
        bundle: identity of the bundle.
        dataset: a short name of the dataset; ``dataset_hash`` is its fingerprint.
        preprocess_hash: :func:`section_hash` of the bundle's preprocess section.
        resampling: how the intervals are made.
        most_worst: frames by their score, and by their loss against the control.

    Raises:
        DataError: nothing was measured, or a metric is no number.
        InputError: the unit of the bootstrap is unknown.
    """
    how = resampling or Resampling()
    units, whole = bootstrap.units(measurement, how.unit), measurement.by_engine()
    control = next((name for name in measurement.scores if name != candidate), None)
    made = _parts(measurement, candidate, control, units, how)
    return EvaluateReport(
        bundle=bundle,
        engine=candidate,
        dataset=dataset,
        frames=len(measurement.frames),
        metrics=whole[candidate],
        control=whole[control] if control is not None else None,
        intervals=made[0].intervals,
        differences=made[0].differences,
        slices=tuple(made[1:]),
        worst=worst(measurement, candidate, control, most_worst),
        bootstrap=units.described(how),
        dataset_hash=dataset_hash,
        preprocess_hash=preprocess_hash,
    )


def _parts(
    measurement: Measurement, candidate: str, control: str | None, units: bootstrap.Units, how: Resampling
) -> list[Slice]:
    """All frames, then every slice; p-values adjusted over all of them."""
    parts = [
        ("", "", np.ones(len(measurement.frames), np.bool_), None),
        *((column, value, frames, measurement.summary) for column, value, frames in slices(measurement)),
    ]
    made: list[Slice] = []
    for column, value, frames, names in parts:
        scores = [measurement.scores[name] for name in (candidate, control) if name is not None]
        found = bootstrap.spreads(scores, units, how, frames, names)
        count = len(np.unique(units.of_frame[frames]))
        gaps = bootstrap.differences(found[0], found[1], count, how.confidence) if control is not None else {}
        shares = {metric.name for metric in measurement.metrics if metric.share}
        ranges = bootstrap.intervals(found[0], count, how.confidence, shares)
        beside = found[1].metrics if control is not None else None
        made.append(Slice(column, value, int(frames.sum()), found[0].metrics, beside, ranges, gaps))
    return [
        replace(part, differences=gaps)
        for part, gaps in zip(made, bootstrap.adjusted([part.differences for part in made]), strict=True)
    ]


def section_hash(section: Any) -> str:
    """SHA-256 (hex) of a section of a spec or bundle, JSON-ready or made of pydantic models."""
    text = json.dumps(section, sort_keys=True, default=lambda model: model.model_dump(mode="json"))
    return hashlib.sha256(text.encode()).hexdigest()
