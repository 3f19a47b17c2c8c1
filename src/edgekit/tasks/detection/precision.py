"""Average precision of detections that were matched before, for many weights of the frames at once.

Detections are put in order once.  Between two mistakes each further find raises the precision, so interpolated
precision is that of the last find of such a run or of a later run, and nothing is computed elsewhere: the precision
there, the highest of it there or later, and how many of the 101 recalls the run is the first to reach.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.core.tensors import Array
from edgekit.tasks._weights import ratio

RECALLS = np.linspace(0, 1, 101)
_LATE = np.arange(101) / 100 < RECALLS
"""Recalls whose float64 lies above the quotient that is meant, so that just so many objects do not reach them."""
_WHOLE = 1 << 20
"""Objects of a class below which recalls are looked up in a table."""
_STRIDE = len(RECALLS) + 1
_MANY = 500
"""Runs from which on it is faster to take the best of those between two recalls first."""
_BLOCK = 1 << 18
"""Weights that are worked on at once: more of them leave the processor's cache."""
_TINY = 1e-300
"""Instead of no detection, before the first one that counts."""
MOST = (1, 10, 100)
"""Detections a class and frame."""


@dataclass(frozen=True)
class Sorted:
    """N detections, class by class and the surest first; of equal scores those of the frame that is named first.

    ``frames`` is the place of each one's frame among the weights, ``labels`` and ``ranks`` its class and place in
    the frame; all integers ``(N,)``.  ``bits`` are bool ``(2, S, T, N)``, which say for each size and overlap whether
    it found an object and whether it counts, packed along the first three; ``objects`` float64 ``(frames, C, S)`` are
    the true ones.
    """

    frames: Array
    labels: Array
    ranks: Array
    bits: Array
    objects: Array

    @property
    def overlaps(self) -> int:
        """T."""
        return int(8 * len(self.bits) // (2 * self.objects.shape[2]))

    def flags(self, size: int, which: slice = slice(None)) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether the detections ``which`` found an object of a size, and whether they count: bool ``(T, n)`` each."""
        return self._unpacked(size, which), self._unpacked(self.objects.shape[2] + size, which)

    def _unpacked(self, row: int, which: slice) -> NDArray[np.bool_]:
        start, count = row * self.overlaps, self.overlaps
        packed = self.bits[start // 8 : (start + count + 7) // 8, which]
        return np.unpackbits(packed, axis=0)[start % 8 : start % 8 + count].view(np.bool_)

    def part(self, kept: Array) -> Sorted:
        """Only the frames ``kept``, rising int64 ``(K,)``, which are then 0, 1, ..., and their detections."""
        if len(kept) == len(self.objects):
            return self
        place = np.full(len(self.objects), -1, self.frames.dtype)
        place[kept] = np.arange(len(kept))
        frames = place[self.frames]
        inside = np.flatnonzero(frames >= 0)
        columns = frames[inside], self.labels[inside], self.ranks[inside]
        return Sorted(*columns, self.bits[:, inside], self.objects[kept])


def scores(rows: Array, found: Sorted, by_size: bool = True) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Average precision ``(R, C, S, T)``, and recall ``(R, C, S + 2)`` with the mean over all overlaps.

    Recalls are those with :data:`MOST` detections of all sizes, and with the last of them of every other size.  NaN
    where there is no true object.

    Args:
        rows: float64 ``(R, frames)``, how often each frame counts.
        found: the detections.
        by_size: whether sizes but the first, which is all, are wanted too.
    """
    classes, sizes, overlaps = *found.objects.shape[1:], found.overlaps
    totals = (rows @ found.objects.reshape(-1, classes * sizes)).reshape(len(rows), classes, sizes)
    precision = np.full((len(rows), classes, sizes, overlaps), np.nan)
    recall = np.full((len(rows), classes, sizes + len(MOST) - 1), np.nan)
    starts = np.searchsorted(found.labels, np.arange(classes + 1))
    often = _light(rows, totals, len(found.frames))
    for label in np.flatnonzero(totals[..., 0].any(axis=0)):
        of_class = slice(starts[label], starts[label + 1])
        frames, ranks = found.frames[of_class].astype(np.intp), found.ranks[of_class]
        finds, of = np.zeros((rows.shape[1], recall.shape[2])), [0] * (len(MOST) - 1) + list(range(sizes))
        for size in np.flatnonzero(totals[:, label].any(axis=0))[: None if by_size else 1]:
            total, (right, counted) = totals[:, label, size], found.flags(size, of_class)
            precision[:, label, size] = _precision(often, frames, right, counted, total)
            for place in np.flatnonzero(np.array(of) == size).tolist():
                few = ranks < MOST[min(place, len(MOST) - 1)]
                finds[:, place] = np.bincount(frames, right.sum(axis=0) * few, rows.shape[1])
        recall[:, label] = ratio(rows @ finds / overlaps, totals[:, label, of])
    return precision, recall


def alone(found: Sorted) -> NDArray[np.float64]:
    """Average precision of each frame without the others, of all sizes, ``(frames, C, T)``; NaN: no true object.

    A row has the detections of one class in one frame.
    """
    frames, classes = found.objects.shape[:2]
    rows, width = found.frames.astype(np.intp) * classes + found.labels, int(found.ranks.max(initial=0)) + 1
    total = found.objects[..., 0].reshape(-1)
    made = np.empty((frames * classes, found.overlaps))
    for t, flags in enumerate(zip(*found.flags(0), strict=True)):
        steps = np.zeros((2, len(total), width))
        steps[:, rows, found.ranks] = flags
        hits, counted = np.cumsum(steps, axis=2)
        made[:, t] = _interpolated(hits / np.maximum(counted, 1), _reached(total, False)(hits))
    return np.where(total[:, None] > 0, made, np.nan).reshape(frames, classes, -1)


def _light(rows: Array, totals: Array, detections: int) -> Array:
    """The weights as int32, whose sums are exact and fast, where they are whole and these fit; else as they are."""
    small = totals.max(initial=0) < _WHOLE and rows.max(initial=0) * detections < 1 << 31
    return rows.astype(np.int32) if small and (rows == np.rint(rows)).all() else rows


@dataclass(frozen=True)
class _Curve:
    """One class, size and overlap: where its N finds are, in E runs without a counted mistake in between.

    ``frames`` ``(N,)`` of the finds; of each run, ``(E,)``: ``ends``, the place of its last find among the finds,
    ``always``, how many detections that count at every overlap come up to it, and ``sometimes``, how many of the
    others that count at this one, whose frames are ``others``.
    """

    frames: Array
    ends: Array
    always: Array
    others: Array
    sometimes: Array


def _curve(frames: Array, right: Array, counted: Array, always: Array) -> _Curve:
    """Of the finds ``right`` and what is ``counted``, bool ``(N,)``; ``always``: at every overlap."""
    at = np.flatnonzero(right)
    mistakes = np.cumsum(counted & ~right)[at]
    ends = np.flatnonzero(np.append(mistakes[1:] != mistakes[:-1], len(at) > 0))
    others, last = np.flatnonzero(counted & ~always), at[ends]
    return _Curve(frames[at], ends, np.cumsum(always)[last], frames[others], np.searchsorted(others, last, "right"))


def _precision(rows: Array, frames: Array, right: Array, counted: Array, total: Array) -> NDArray[np.float64]:
    """Average precision ``(R, T)`` of one class and size, of ``total`` ``(R,)`` objects; NaN where there is none."""
    always: Array = np.logical_and.reduce(counted)
    curves = [_curve(frames, *flags, always) for flags in zip(right, counted, strict=True)]
    frames, made = frames[always], np.zeros((len(rows), len(right)))
    step = max(_BLOCK // max(len(always), 1), 1)
    for first in range(0, len(rows), step):
        block = slice(first, first + step)
        often, base = rows[block], _sums(np.take(rows[block], frames, axis=1))
        reached = _reached(total[block], rows.dtype.kind == "i")
        for t, curve in enumerate(curves):
            if len(curve.frames):
                made[block, t] = _average(often, base, curve, reached)
    return np.where(total[:, None] > 0, made, np.nan)


def _average(often: Array, base: Array, curve: _Curve, reached: Callable[[Array], Array]) -> NDArray[np.float64]:
    """Average precision ``(R,)`` of one curve."""
    hits = often.take(curve.frames, axis=1).cumsum(axis=1, dtype=often.dtype)
    hits = hits.take(curve.ends, axis=1)  # several times as fast as an index
    counted = base.take(curve.always, axis=1)
    if len(curve.others):  # few: those whose object is void at some overlaps
        counted += np.take(_sums(np.take(often, curve.others, axis=1)), curve.sometimes, axis=1)
    precision = hits / np.maximum(counted, _TINY if counted.dtype.kind == "f" else 1)
    return _interpolated(precision, reached(hits))


def _interpolated(precision: Array, reached: Array) -> NDArray[np.float64]:
    """The mean over :data:`RECALLS` of the best precision ``(R, E)`` there or later: ``(R,)``.

    ``reached`` ``(R, E)`` says how many of them each run reaches, plus :data:`_STRIDE` for each row before its own; a
    recall that no run reaches has none.
    """
    if precision.shape[1] <= _MANY:
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        first = _STRIDE * np.arange(len(precision))[:, None]
        return np.asarray((best * np.diff(reached, axis=1, prepend=first)).sum(axis=1) / len(RECALLS))
    flat = reached.reshape(-1)
    starts = np.append(0, np.flatnonzero(flat[1:] != flat[:-1]) + 1)
    best = np.zeros(len(precision) * _STRIDE)
    best[flat[starts]] = np.maximum.reduceat(precision.reshape(-1), starts)
    best = best.reshape(-1, _STRIDE)[:, :0:-1]
    return np.asarray(np.maximum.accumulate(best, axis=1).sum(axis=1) / len(RECALLS))


def _sums(values: Array) -> Array:
    """Sums of the first 0, 1, ... columns, in the same dtype."""
    made = np.zeros((len(values), values.shape[1] + 1), values.dtype)
    np.cumsum(values, axis=1, dtype=values.dtype, out=made[:, 1:])
    return made


def _reached(total: Array, whole: bool) -> Callable[[Array], Array]:
    """A function from found objects ``(R, E)`` of ``total`` ``(R,)`` to what :func:`_interpolated` takes.

    Of ``whole`` numbers a table says it, without a division for each.
    """
    rows = np.arange(len(total))[:, None]
    if not whole:
        some = np.where(total > 0, total, 1)[:, None]
        return lambda hits: np.searchsorted(RECALLS, hits / some, "right") + rows * _STRIDE
    parts = np.arange(len(RECALLS)) * total.astype(np.int64)[:, None]
    least = -(-parts // 100) + (_LATE & (parts % 100 == 0) & (parts > 0))
    starts = (int(total.max()) + 1) * rows
    table = np.bincount((least + starts).reshape(-1), minlength=starts[-1, 0] + int(total.max()) + 1)
    levels = (np.cumsum(table.reshape(len(total), -1), axis=1) + rows * _STRIDE).astype(np.int32)
    return lambda hits: levels.take(hits + starts)
