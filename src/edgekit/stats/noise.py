"""How much the latency of one engine differs between runs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgekit.core.reports import Interval
from edgekit.stats import percentiles
from edgekit.stats.openings import student

MIN_RUNS = 5


def run_to_run(history_ms: Sequence[float], confidence: float) -> float | None:
    """How far two runs of the same engine differ, as the half-width of the logarithm of their ratio.

    The prediction interval of the difference of two draws from a normal distribution of logarithms, whose spread is
    that of the earlier runs; None below 5 of these.

    Args:
        history_ms: one percentile of earlier runs of one engine on this machine, milliseconds.
        confidence: between 0 and 1, two-sided.
    """
    if len(history_ms) < MIN_RUNS:
        return None
    spread = float(np.std(np.log(percentiles.checked(np.asarray(history_ms))), ddof=1))
    return student(confidence, len(history_ms)) * spread * math.sqrt(2)


def noise_floor(same: Sequence[Interval | None], history_ms: Sequence[float], confidence: float) -> float | None:
    """Half-width of the logarithm of the ratio between two runs; None where nothing about it was measured.

    The larger of :func:`run_to_run` and of the farther ends of ``same``, ratios of an engine to itself (A/A).
    """
    ends = [end for i in same if i is not None for end in (i.low, i.high)]
    if None in ends:
        return None
    widths = [abs(math.log(end)) for end in ends if end is not None]
    between = run_to_run(history_ms, confidence)
    return max([*widths, *([] if between is None else [between])], default=None)
