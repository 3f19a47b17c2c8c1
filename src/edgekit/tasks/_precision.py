"""Average precision of detections that were matched before, for many weights of the frames at once.

Detections are put in order once.  Interpolated precision changes only where an object is found, so all that
is computed lies at those places: the precision there, the highest of it at this recall or a later one, and how many
of the 101 recalls it reaches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.core.tensors import Array
from edgekit.tasks._weights import ratio

RECALLS = np.linspace(0, 1, 101)
_MANY = 500
"""Places of found objects from which on it is faster to search them than the recalls."""
_TINY = 1e-300
"""Instead of no detection, before the first one that counts."""
MOST = (1, 10, 100)
"""Detections a class and frame."""


@dataclass(frozen=True)
class Sorted:
    """N detections, class by class and the surest first; of equal scores those of the frame that is named first.

    ``frames`` is the place of each one's frame among the weights, ``labels`` and ``ranks`` its class and place in
    the frame; all integers ``(N,)``.  ``right`` and ``counted``, bool ``(S, T, N)``, say for each size and overlap
    whether it found an object and whether it counts; ``objects`` float64 ``(frames, C, S)`` are the true ones.
    """

    frames: Array
    labels: Array
    ranks: Array
    right: Array
    counted: Array
    objects: Array

    def part(self, kept: Array) -> Sorted:
        """Only the detections of the frames that ``kept`` bool ``(frames,)`` has."""
        own = np.flatnonzero(kept[self.frames])
        columns = self.frames[own], self.labels[own], self.ranks[own]
        return Sorted(*columns, self.right[..., own], self.counted[..., own], self.objects)


def scores(rows: Array, found: Sorted, by_size: bool = True) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Average precision ``(R, C, S, T)``, and recall ``(R, C, S + 2)`` with the mean over all overlaps.

    Recalls are those with :data:`MOST` detections of all sizes, and with the last of them of every other size.  NaN
    where there is no true object.

    Args:
        rows: float64 ``(R, frames)``, how often each frame counts.
        found: the detections.
        by_size: whether sizes but the first, which is all, are wanted too.
    """
    used = np.asarray(rows.any(axis=0))
    if not used.all():
        found = found.part(used)
    classes, sizes, overlaps = found.objects.shape[1], *found.right.shape[:2]
    totals = (rows @ found.objects.reshape(-1, classes * sizes)).reshape(len(rows), classes, sizes)
    precision = np.full((len(rows), classes, sizes, overlaps), np.nan)
    recall = np.full((len(rows), classes, sizes + len(MOST) - 1), np.nan)
    starts = np.searchsorted(found.labels, np.arange(classes + 1))
    for label in np.flatnonzero(totals[..., 0].any(axis=0)):
        own = slice(starts[label], starts[label + 1])
        often, ranks = np.take(rows, found.frames[own], axis=1), found.ranks[own]
        for size in np.flatnonzero(totals[:, label].any(axis=0))[: None if by_size else 1]:
            total = totals[:, label, size]
            right, counted = found.right[size, :, own], found.counted[size, :, own]
            precision[:, label, size] = _precision(often, right, counted, total)
            for i, most in enumerate(MOST[-1:] if size else MOST):
                hits = often @ (right & (ranks < most)).sum(axis=0)
                recall[:, label, size + (len(MOST) - 1 if size else i)] = ratio(hits / overlaps, total)
    return precision, recall


def _precision(often: Array, right: Array, counted: Array, total: Array) -> NDArray[np.float64]:
    """Average precision ``(R, T)`` of one class and size, of ``total`` ``(R,)`` objects; NaN where there is none."""
    always = counted.all(axis=0)
    base, upto = _sums(often if always.all() else np.take(often, np.flatnonzero(always), axis=1)), np.cumsum(always)
    made = np.zeros(right.shape[:1] + total.shape)
    for t, at in enumerate(map(np.flatnonzero, right)):
        if not len(at):
            continue
        found = np.take(base, upto[at], axis=1)  # several times as fast as an index
        others = np.flatnonzero(counted[t] & ~always)  # few: those whose object is void at some overlaps
        if len(others):
            sums = _sums(np.take(often, others, axis=1))
            found += np.take(sums, np.searchsorted(others, at, "right"), axis=1)
        hits = np.cumsum(np.take(often, at, axis=1), axis=1)
        made[t] = _interpolated(hits / np.maximum(found, _TINY), hits, total)
    return np.where(total > 0, made, np.nan).T


def _sums(values: Array) -> NDArray[np.float64]:
    """Sums of the first 0, 1, ... columns."""
    made = np.zeros((len(values), values.shape[1] + 1))
    np.cumsum(values, axis=1, out=made[:, 1:])
    return made


def _interpolated(precision: Array, hits: Array, total: Array) -> NDArray[np.float64]:
    """The mean over :data:`RECALLS` of the best precision there or later, none where one is not reached: ``(R,)``."""
    recall = hits / np.where(total > 0, total, 1)[:, None]
    if precision.shape[1] <= _MANY:  # for each place, how many recalls it is the first to reach
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        reached = np.searchsorted(RECALLS, recall.reshape(-1), "right").reshape(recall.shape)
        return np.asarray((best * np.diff(reached, axis=1, prepend=0)).sum(axis=1) / len(RECALLS))
    found = np.zeros(len(precision))
    for i, (own, row) in enumerate(zip(precision, recall, strict=True)):
        places = np.searchsorted(row, RECALLS)  # for each recall, the first place that reaches it
        starts = places[: np.searchsorted(places, len(row))]
        best = np.maximum.reduceat(own, starts)  # of equal starts, that one place alone
        found[i] = np.maximum.accumulate(best[::-1]).sum()
    return found / len(RECALLS)
