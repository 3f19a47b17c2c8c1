"""The frames that a person should look at first."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.core.reports import WorstFrame
from edgekit.evaluation.measurement import Measurement


def worst(measurement: Measurement, candidate: str, control: str | None, count: int = 10) -> tuple[WorstFrame, ...]:
    """The ``count`` frames with the worst headline metric, then those that lose most against the control.

    A frame that is among the first is not named again.  Frames of which one alone does not measure the metric (no
    object, or an embedding, which needs two) are left out, and frames that lose nothing are not among the second.
    """
    headline, frames = measurement.metrics[0], len(measurement.frames)
    sign = 1 if headline.higher else -1
    scores = measurement.scores[candidate].alone(headline.name)
    other = np.full(frames, np.nan)
    if control is not None:
        other = measurement.scores[control].alone(headline.name)
    loss = sign * (other - scores)
    lowest, lost = _first(sign * scores, count), _first(np.where(loss > 0, -loss, np.nan), count)

    def named(place: int, by: Literal["score", "loss"]) -> WorstFrame:
        return WorstFrame(
            measurement.frames[place], float(scores[place]), _known(other[place]), _known(loss[place]), by
        )

    return (*(named(i, "score") for i in lowest), *(named(i, "loss") for i in lost if i not in lowest))


def _first(values: NDArray[np.float64], count: int) -> list[int]:
    """Places of the lowest values, without NaN; of equal ones the first."""
    order = np.argsort(values, kind="stable")  # NaN last
    return [int(i) for i in order[: min(count, int(np.isfinite(values).sum()))]]


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
