"""Steps and slow drifts over many nights, and control charts.

Candidates come from PELT (Killick, Fearnhead, Eckley 2012, "Optimal detection of changepoints with a linear
computational cost", JASA 107(500)), which finds the segmentation of least squared error plus a penalty for each
change exactly.  Each is then confirmed by a permutation test against its neighbours, as E-divisive does (Matteson
and James 2014, JASA 109(505)), because a penalty alone rests on normal noise of a known size.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from edgekit.core.errors import DataError, InputError, MissingRequirement
from edgekit.core.reports import ChangePoint, ControlChart, Direction, Series, Worsening
from edgekit.core.tensors import Array

INSTALL = 'pip install "edgekit[history]"'

SHORTEST = 3
"""Runs in a level: one or two odd nights are points outside the control limits, not a change."""

ALPHA = 0.005
"""False-alarm rate of one confirmation; what follows for whole series is in docs/history.md."""

_PERMUTATIONS = 999
_D2 = 1.128  # mean range of two normal values, in standard deviations
_ROUNDING = 1e-9  # what two runs of the same arithmetic may differ by, relative


def drifts(series: Series, alpha: float = ALPHA, seed: int = 0) -> tuple[ChangePoint, ...]:
    """Confirmed changes of level, oldest first; a slow drift is one or more steps in its course.

    PELT's penalty is ``2 sigma^2 log n``, the Bayesian information criterion for one more level and its place
    at known noise.  ``sigma`` comes from the median difference of neighbouring nights, which neither steps nor
    slow drifts inflate.  A candidate stays when the largest standardised difference of means, over all
    splits of the runs between its neighbours, is beaten by fewer than ``alpha`` of 999 shuffles of them; the
    weakest goes first.  The test holds for noise of any shape, but not for noise that is itself correlated
    from night to night.  Fewer than about ten runs confirm nothing.

    Args:
        series: one metric over runs.
        alpha: largest p-value of a confirmed change, 0..1.
        seed: of the shuffles.

    Raises:
        InputError: ``alpha`` cannot be reached with 999 shuffles.
        MissingRequirement: ruptures is not installed.
    """
    if not 1 / (_PERMUTATIONS + 1) <= alpha < 1:
        raise InputError(f"alpha is {alpha}, expected {1 / (_PERMUTATIONS + 1)} or more, and below 1")
    values = np.asarray(series.values, np.float64)
    points = _candidates(values)
    while points:
        bounds = (0, *points, len(values))
        p_values = [_p_value(values[left:right], seed) for left, right in zip(bounds[:-2], bounds[2:], strict=True)]
        weakest = int(np.argmax(p_values))
        if p_values[weakest] <= alpha:
            return tuple(_change(series, bounds, i, p) for i, p in enumerate(p_values, 1))
        del points[weakest]
    return ()


def _candidates(values: Array) -> list[int]:
    """Where PELT cuts, or nothing when there is no noise to compare with."""
    sigma = _noise(values) if len(values) >= 2 * SHORTEST else 0.0
    if sigma <= _ROUNDING * float(np.abs(values).max(initial=0.0)):
        return []
    try:
        import ruptures
    except ImportError as error:
        raise MissingRequirement("ruptures, which finds change points,", INSTALL) from error
    scaled = (values - values.mean()) / sigma
    # PELT in C: with the linear kernel its cost is the squared error from the mean.
    search = ruptures.KernelCPD(kernel="linear", min_size=SHORTEST).fit(scaled[:, None])
    return [int(point) for point in search.predict(pen=2 * math.log(len(values)))[:-1]]


def _noise(values: Array) -> float:
    """Standard deviation from night to night."""
    steps = np.abs(np.diff(values))
    # 1.4826 makes a median absolute deviation a standard deviation; a difference has twice the variance.
    robust = float(np.median(steps)) * 1.4826 / math.sqrt(2)
    # Metrics without noise repeat exactly: their few changes are then all there is.
    return robust if robust > _ROUNDING * float(np.abs(values).max()) else float(steps.mean()) / _D2


def _p_value(values: Array, seed: int) -> float:
    """How often shuffled runs split as clearly as these, 0..1; never 0 (Phipson, Smyth 2010)."""
    shuffled = np.random.default_rng(seed).permuted(np.tile(values, (_PERMUTATIONS, 1)), axis=1)
    observed = _largest_split(values[None])[0]
    return float(1 + np.count_nonzero(_largest_split(shuffled) >= observed * (1 - _ROUNDING))) / (_PERMUTATIONS + 1)


def _largest_split(rows: Array) -> Array:
    """The largest difference of means over all splits of each row ``(R, n)``, scaled to equal noise: ``(R,)``."""
    n = rows.shape[1]
    left = np.arange(SHORTEST, n - SHORTEST + 1)
    sums = np.cumsum(rows - rows.mean(axis=1, keepdims=True), axis=1)[:, left - 1]
    result: Array = np.abs(sums * np.sqrt(n / (left * (n - left)))).max(axis=1)
    return result


def _change(series: Series, bounds: tuple[int, ...], i: int, p: float) -> ChangePoint:
    left, index, right = bounds[i - 1 : i + 2]
    before = math.fsum(series.values[left:index]) / (index - left)
    after = math.fsum(series.values[index:right]) / (right - index)
    direction: Direction = "changed"
    if series.higher is not None:
        direction = "better" if (after > before) == series.higher else "worse"
    run, time = series.runs[index], series.times_ms[index]
    return ChangePoint(index, run, time, before, after, after - before, direction, 1 - p)


def worsenings(chart: ControlChart) -> tuple[Worsening, ...]:
    """Changes for the worse that later ones have not made up for, oldest first.

    A worsening is made up for when the present level, that after the newest change, is within the chart's ``sigma``
    of the level before it, or better.  A single run outside the limits is no change of level.
    """
    series = chart.series
    if not chart.changes or series.higher is None:
        return ()
    now = chart.changes[-1].after

    def stands(change: ChangePoint) -> bool:
        loss = (change.before - now) * (1 if series.higher else -1)
        return change.direction == "worse" and loss > max(chart.sigma, _ROUNDING * abs(now))

    return tuple(
        Worsening(series.name, series.target, series.metric, series.unit, change, now)
        for change in chart.changes
        if stands(change)
    )


def control_chart(series: Series, start: int | None = None) -> ControlChart:
    """Individuals chart: limits three standard deviations about the mean, the deviation from the mean moving range.

    The moving range of two over 1.128 is Montgomery's estimate ("Introduction to Statistical Quality Control",
    chapter 6): a shift of the mean adds to one range only.

    Args:
        series: one metric over runs.
        start: index of the first run that the limits come from; default: the last confirmed change that leaves
            two runs or more, so that a new level is judged by itself.

    Raises:
        DataError: fewer than two runs from ``start`` on.
        MissingRequirement: ruptures is not installed.
    """
    changes = drifts(series)
    if start is None:
        start = changes[-1].index if changes else 0
    values = series.values[start:] if start >= 0 else ()
    if len(values) < 2:
        raise DataError(
            f"series {series.metric}: {len(values)} runs from index {start} on; a control chart needs 2 or more"
        )
    centre = math.fsum(values) / len(values)
    sigma = math.fsum(abs(b - a) for a, b in pairwise(values)) / (len(values) - 1) / _D2
    lower, upper = centre - 3 * sigma, centre + 3 * sigma
    # A constant series differs from its own mean by rounding.
    slack = _ROUNDING * max(map(abs, values))
    outside = tuple(i for i, v in enumerate(values, start) if not lower - slack <= v <= upper + slack)
    return ControlChart(series, centre, lower, upper, sigma, start, outside, changes)
