"""The frames that a person should look at first."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edgekit.core.reports import WorstFrame
from edgekit.evaluation.measurement import Measurement, Score

_BLOCK = 64


def alone(score: Score, metric: str, frames: int) -> NDArray[np.float64]:
    """The metric of every frame alone, float64 ``(frames,)``; NaN where one frame does not measure it."""
    made = np.full(frames, np.nan)
    for first in range(0, frames, _BLOCK):
        rows = np.zeros((min(_BLOCK, frames - first), frames))
        rows[np.arange(len(rows)), first + np.arange(len(rows))] = 1
        values = score.compute_many(rows, (metric,)).get(metric)
        if values is not None:
            made[first : first + len(rows)] = values
    return made


def worst(measurement: Measurement, candidate: str, control: str | None, count: int = 10) -> tuple[WorstFrame, ...]:
    """The ``count`` frames with the worst headline metric, then those that lose most against the control.

    A frame that is among the first is not named again.  Frames of which one alone does not measure the metric (no
    object, or an embedding, which needs two) are left out, and frames that lose nothing are not among the second.
    """
    headline, frames = measurement.metrics[0], len(measurement.frames)
    sign = 1 if headline.higher else -1
    own = alone(measurement.scores[candidate], headline.name, frames)
    other = np.full(frames, np.nan)
    if control is not None:
        other = alone(measurement.scores[control], headline.name, frames)
    loss = sign * (other - own)
    chosen = dict.fromkeys([*_first(sign * own, count), *_first(np.where(loss > 0, -loss, np.nan), count)])
    return tuple(WorstFrame(measurement.frames[i], float(own[i]), _known(other[i]), _known(loss[i])) for i in chosen)


def _first(values: NDArray[np.float64], count: int) -> Iterator[int]:
    """Places of the lowest values, without NaN; of equal ones the first."""
    order = np.argsort(values, kind="stable")  # NaN last
    return (int(i) for i in order[: min(count, int(np.isfinite(values).sum()))])


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
