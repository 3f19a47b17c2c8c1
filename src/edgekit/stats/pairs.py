"""How much faster one engine is than another, from times taken in turn, with a confidence interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edgekit.core.errors import InputError
from edgekit.core.reports import Interval
from edgekit.core.tensors import Array
from edgekit.stats.percentiles import CONFIDENCE, checked

RESAMPLES = 2000
# Draws of fewer pairs repeat the same few values and look more certain than they are.
MIN_PAIRS = 20
# Bounds the working memory: 2 million indices at a time are 16 MiB.
_CHUNK = 2_000_000


def speedup_interval(
    times_a: Array, times_b: Array, confidence: float = CONFIDENCE, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Confidence interval of median(a) / median(b), by a circular block bootstrap of the pairs.

    Query i of both ran side by side, so both are drawn together; whole blocks are drawn (Politis and Romano, 1992),
    because a machine that is slow now is slow for a while. The block is as long as the times are correlated
    (:func:`block_length`).

    Args:
        times_a: of the slower engine, e.g. the control, in the order they ran, shape ``(N,)``, any unit.
        times_b: of the other in the same rounds, same shape and unit.
        confidence: between 0 and 1.
        resamples: bootstrap draws.
        seed: of the draws; the same times and seed give the same interval.

    Returns:
        Both ends are None below 20 pairs.

    Raises:
        InputError: other shapes, a time that is not a number, or a median of zero.
        CheckFailed: a time is negative.
    """
    a, b = checked(times_a), checked(times_b)
    if a.shape != b.shape:
        raise InputError(f"{len(a)} and {len(b)} times are no pairs; expected one time of each engine from every round")
    if np.median(a) == 0 or np.median(b) == 0:
        raise InputError("a median time is 0: the clock is too coarse for these engines; put more work into a query")
    if not 0 < confidence < 1:
        raise InputError(f"confidence is {confidence}; expected a share between 0 and 1, e.g. 0.95")
    if len(a) < MIN_PAIRS:
        return Interval(None, None)
    rng, blocks = np.random.default_rng(seed), _Blocks(len(a), block_length(a, b))
    ratios, step = np.zeros(resamples), max(1, _CHUNK // len(a))
    for first in range(0, resamples, step):
        rows = blocks.draw(min(step, resamples - first), rng)
        with np.errstate(divide="ignore"):
            ratios[first : first + step] = np.median(a[rows], axis=1) / np.median(b[rows], axis=1)
    low, high = np.quantile(ratios, ((1 - confidence) / 2, (1 + confidence) / 2))
    return Interval(float(low), float(high))


def block_length(a: Array, b: Array) -> int:
    """Queries in a block: what the correlation of the pairs asks for, and no less than the cube root of their number.

    Politis and White, "Automatic block-length selection for the dependent bootstrap", 2004, corrected by Patton,
    Politis and White, 2009, on the series that moves a ratio of medians: which side of its median each time is on.
    """
    size = len(a)
    series = np.sign(a - np.median(a)) - np.sign(b - np.median(b))
    series = series - series.mean()
    run = max(5, math.ceil(math.sqrt(math.log10(max(size, 10)))))
    lags = min(size - 1, math.ceil(math.sqrt(size)) + run)
    covariance = np.array([series[: size - lag] @ series[lag:] for lag in range(lags + 1)]) / size
    most = max(1, min(math.ceil(3 * math.sqrt(size)), size // 3))
    fewest = min(math.ceil(math.pow(size, 1 / 3)), most)
    if covariance[0] <= 0 or lags < 1:
        return fewest
    correlated = np.abs(covariance[1:] / covariance[0]) >= 2 * math.sqrt(math.log10(size) / size)
    width = min(2 * max(1, _last_before_quiet(correlated, run)), lags)
    lag = np.arange(-width, width + 1)
    weighted = np.minimum(1, 2 * (1 - np.abs(lag) / width)) * covariance[np.abs(lag)]
    spectrum = float(weighted.sum())
    if spectrum <= 0:
        return fewest
    slope = float((np.abs(lag) * weighted).sum())
    best = math.pow(1.5 * slope**2 / spectrum**2 * size, 1 / 3)
    return min(max(fewest, math.ceil(best)), most)


def _last_before_quiet(correlated: Array, run: int) -> int:
    """The lag after which ``run`` lags in a row show no correlation; the last correlated one when there is none."""
    for lag in range(len(correlated) - run + 1):
        if not correlated[lag : lag + run].any():
            return lag
    return int(np.flatnonzero(correlated).max(initial=-1)) + 1


@dataclass(frozen=True)
class _Blocks:
    """Draws of ``size`` row numbers in blocks of ``length``, the first row following the last."""

    size: int
    length: int

    def draw(self, resamples: int, rng: np.random.Generator) -> Array:
        """Row numbers, int64 ``(resamples, size)``."""
        starts = rng.integers(0, self.size, (resamples, -(-self.size // self.length)))
        rows = (starts[:, :, None] + np.arange(self.length)) % self.size
        return rows.reshape(resamples, -1)[:, : self.size]
