"""How sure the metrics are: a paired bootstrap over frames, or over clusters of frames.

Frames of one drive look alike, so whole drives are drawn where the dataset names them (Field and Welsh, "Bootstrapping
clustered data", Journal of the Royal Statistical Society B 69, 2007).  Candidate and control are computed on the same
draws, so what is hard for both leaves their difference alone.

An interval is the metric plus and minus its bootstrap standard error times Student's t, with one degree of freedom
less than there are units (Efron and Tibshirani, "An introduction to the bootstrap", 1993, chapters 6 and 12); the
variance is that of the sample, hence the factor n / (n - 1).  A share is brought to the logit scale first, where its
ends cannot leave 0..1 and are not too short near them.  The p-value of a difference is of the same t, so that it is
below 1 - confidence exactly where the interval leaves out zero.

Simulations chose the method.  Of mIoU with rare classes on 20, 40, 100 and 250 frames, 95 % intervals covered the truth
in 93, 95, 95 and 93 % of the samples, percentile intervals in 87, 90, 94 and 91 %, BCa ones in 88, 91, 94 and 92 %; of
accuracies from 0.7 to 0.97 in 92 to 96 %, before frames without a fault were given the exact bound.  A standard error
needs fewer replicates than percentiles do: 200 are enough where each is expensive (chapter 6).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgekit.core import suggest
from edgekit.core.errors import InputError
from edgekit.core.reports import Bootstrap, Difference, Interval
from edgekit.core.tensors import Array
from edgekit.evaluation.measurement import Measurement, Score
from edgekit.stats.openings import student

METHOD = "standard error, logit of shares, Student's t"
RESAMPLES = {2000: 1000, 1 << 62: 200}
"""Most frames, and the replicates for so many: fewer for more frames, because their time grows."""
SEQUENCE = "sequence"
FEWEST_SEQUENCES = 10
"""Below it frames are drawn unless sequences are asked for: a standard error of a few is a guess."""
_FEWEST_UNITS = 5
_LEAST_KNOWN = 0.9
"""Share of the replicates that must have a metric, or nothing is said of it."""
_BLOCK = 1_000_000
"""Weights that are in memory at once."""


@dataclass(frozen=True)
class Resampling:
    """What is drawn and how often: ``unit`` is ``frame`` or a metadata column.

    Without a unit it is ``sequence`` when every frame has one and there are at least ten, else ``frame``; without
    ``resamples`` they are 1000, and 200 for more than 2000 frames.
    """

    unit: str | None = None
    resamples: int | None = None
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.resamples is not None and self.resamples < 2:
            raise InputError(f"resamples: {self.resamples}; expected at least 2, and 200 or more for an interval")
        if not 0 < self.confidence < 1:
            raise InputError(f"confidence: {self.confidence}; expected a share between 0 and 1, such as 0.95")

    def times(self, frames: int) -> int:
        """The number of resamples for ``frames`` frames in all."""
        return self.resamples or next(times for most, times in RESAMPLES.items() if frames <= most)


@dataclass(frozen=True)
class Units:
    """What is drawn: its name, and the number of the unit of each frame, int64 ``(frames,)`` from 0."""

    name: str
    of_frame: NDArray[np.int64]

    @property
    def count(self) -> int:
        return len(np.unique(self.of_frame))

    def described(self, how: Resampling) -> Bootstrap:
        return Bootstrap(self.name, self.count, how.times(len(self.of_frame)), how.confidence, how.seed, METHOD)


def units(measurement: Measurement, name: str | None) -> Units:
    """The units by name: ``frame``, a metadata column, or the default of :class:`Resampling`.

    Raises:
        InputError: there is no such column, or a frame has no value in it.
    """
    columns = measurement.columns
    if name is None:
        sequences = columns.get(SEQUENCE, (None,))
        named = None not in sequences and len(set(sequences)) >= FEWEST_SEQUENCES
        name = SEQUENCE if named else "frame"
    if name not in columns:
        if name != "frame":
            hint = suggest.allowed(name, ("frame", *sorted(columns)))
            raise InputError(f"bootstrap unit {name!r}: no frame has such metadata; {hint}")
        return Units(name, np.arange(len(measurement.frames)))
    values = columns[name]
    if None in values:
        frame = measurement.frames[values.index(None)]
        raise InputError(f"bootstrap unit {name!r}: frame {frame!r} has no value; draw another unit, such as frame")
    return Units(name, np.unique(np.array(values), return_inverse=True)[1].reshape(-1).astype(np.int64))


def draws(sampled: Units, how: Resampling, frames: NDArray[np.bool_]) -> Iterator[NDArray[np.float64]]:
    """How often each frame counts in each resample, in blocks of float64 ``(B, frames)``.

    As many units as have one of the ``frames`` (bool) are drawn with replacement; other frames count never.
    """
    present, number = np.unique(sampled.of_frame[frames], return_inverse=True)
    rng, count, times = np.random.default_rng(how.seed), len(present), how.times(len(frames))
    step = max(_BLOCK // max(len(frames), 1), 1)
    for first in range(0, times, step):
        rows = min(step, times - first)
        drawn = rng.integers(0, count, (rows, count)) + count * np.arange(rows)[:, None]
        often = np.bincount(drawn.reshape(-1), minlength=rows * count).reshape(rows, count)
        made = np.zeros((rows, len(frames)))
        made[:, frames] = often[:, number.reshape(-1)]
        yield made


@dataclass(frozen=True)
class Spread:
    """Metrics on a set of frames, and their replicates by metric, float64 ``(resamples,)``; NaN: not measured."""

    metrics: dict[str, float]
    replicates: dict[str, Array]


def spreads(
    scores: Sequence[Score],
    sampled: Units,
    how: Resampling,
    frames: NDArray[np.bool_],
    names: Collection[str] | None = None,
) -> list[Spread]:
    """The metrics of each of ``scores`` on ``frames`` and on the same resamples of them; ``names``: only those."""
    whole = [
        {name: float(row[0]) for name, row in score.compute_many(frames[None], names).items() if not np.isnan(row[0])}
        for score in scores
    ]
    kept = [{name: value for name, value in found.items() if names is None or name in names} for found in whole]
    blocks: list[dict[str, list[Array]]] = [{name: [] for name in found} for found in kept]
    for weights in draws(sampled, how, frames):
        for score, made in zip(scores, blocks, strict=True):
            found = score.compute_many(weights, names)
            for name, parts in made.items():
                parts.append(found.get(name, np.full(len(weights), np.nan)))
    return [
        Spread(values, {name: np.concatenate(parts) for name, parts in made.items()})
        for values, made in zip(kept, blocks, strict=True)
    ]


def intervals(
    spread: Spread, count: int, confidence: float, shares: Collection[str] | None = None
) -> dict[str, Interval]:
    """An interval for every metric, from the replicates of ``count`` units; without ends where they are too few.

    ``shares`` are the metrics that 0..1 bounds, None: all.  A share that is 0 or 1 on every resample (no fault, or
    nothing right) has the exact bound of so many units without exception, about 3.7 / n from there at 95 % (Clopper and
    Pearson, "The use of confidence or fiducial limits", Biometrika 26, 1934).
    """
    found = {}
    for name, value in spread.metrics.items():
        replicates = spread.replicates[name]
        error = _error(replicates, count)
        share = shares is None or name in shares
        if share and error == 0 and value in (0, 1):
            least = ((1 - confidence) / 2) ** (1 / count)
            found[name] = Interval(least, 1.0) if value else Interval(0.0, 1 - least)
        elif share and error and 0 < value < 1 and np.nanmin(replicates) >= 0 and np.nanmax(replicates) <= 1:
            slope = value * (1 - value)
            ends = _ends(np.log(value / (1 - value)), error / slope, count, confidence)
            found[name] = Interval(*(None if end is None else float(1 / (1 + np.exp(-end))) for end in ends))
        else:
            found[name] = Interval(*_ends(value, error, count, confidence))
    return found


def differences(candidate: Spread, control: Spread, count: int, confidence: float) -> dict[str, Difference]:
    """Candidate minus control for every metric that both have, tested on the same resamples."""
    from scipy.special import stdtr  # scipy.stats would take three times as long to import

    found = {}
    for name, value in candidate.metrics.items():
        if name not in control.metrics:
            continue
        gap = value - control.metrics[name]
        error = _error(candidate.replicates[name] - control.replicates[name], count)
        low, high = _ends(gap, error, count, confidence)
        p_value = None
        if error is not None:
            p_value = float(2 * stdtr(count - 1, -abs(gap) / error)) if error > 0 else float(gap == 0)
        found[name] = Difference(gap, low, high, p_value)
    return found


def adjusted(groups: Sequence[Mapping[str, Difference]]) -> list[dict[str, Difference]]:
    """The same differences with p-values corrected for all of them together.

    The false discovery rate is controlled as Benjamini and Hochberg do (Journal of the Royal Statistical Society B 57,
    1995), which also holds for metrics that rise and fall together (Benjamini and Yekutieli, Annals of Statistics 29,
    2001).
    """
    tested = [
        (i, name, d.p_value) for i, group in enumerate(groups) for name, d in group.items() if d.p_value is not None
    ]
    made = [dict(group) for group in groups]
    corrected = benjamini_hochberg(np.array([p_value for _, _, p_value in tested]))
    for (i, name, _), p_value in zip(tested, corrected.tolist(), strict=True):
        made[i][name] = replace(made[i][name], p_adjusted=p_value)
    return made


def benjamini_hochberg(p_values: Array) -> NDArray[np.float64]:
    """Adjusted p-values ``(N,)``: for each the lowest of ``p N / rank`` over those that are no smaller, at most 1.

    Equal to ``scipy.stats.false_discovery_control``, without the second that ``scipy.stats`` takes to import.
    """
    order = np.argsort(p_values, kind="stable")
    scaled = p_values[order] * (len(p_values) / np.arange(1, len(p_values) + 1))
    adjusted_values = np.empty(len(p_values))
    adjusted_values[order] = np.minimum.accumulate(scaled[::-1])[::-1]
    return np.minimum(adjusted_values, 1.0)


def _error(replicates: Array, count: int) -> float | None:
    """The standard error of a metric of ``count`` units; None when units or replicates are too few."""
    known = replicates[~np.isnan(replicates)]
    if count < _FEWEST_UNITS or len(known) < _LEAST_KNOWN * len(replicates):
        return None
    if np.ptp(known) == 0:
        return 0.0  # rounding of the mean would make it a little more
    return float(known.std(ddof=1) * np.sqrt(count / (count - 1)))


def _ends(value: float, error: float | None, count: int, confidence: float) -> tuple[float | None, float | None]:
    if error is None:
        return None, None
    reach = error * student(confidence, count)
    return value - reach, value + reach
