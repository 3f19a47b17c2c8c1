"""What accumulators share: a record per frame, and how often each frame counts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import DTypeLike, NDArray

from edgekit.core.errors import DataError
from edgekit.core.tensors import Array


class Records:
    """Records of one size, one per frame, in one buffer that grows: no overhead a frame."""

    def __init__(self, dtype: DTypeLike, shape: tuple[int, ...] = ()) -> None:
        self._dtype, self._shape, self._bytes, self._count = np.dtype(dtype), shape, bytearray(), 0

    def add(self, record: Array) -> None:
        """Add a record of the dtype and shape."""
        self._bytes += np.ascontiguousarray(record, self._dtype).tobytes()
        self._count += 1

    def __len__(self) -> int:
        return self._count

    def all(self) -> Array:
        """A copy of all records, ``(frames, *shape)``."""
        return self._view().copy()

    def some(self, kept: Array) -> Array:
        """A copy of the records ``kept``, rising int64 ``(K,)``: ``(K, *shape)``."""
        return np.take(self._view(), kept, axis=0)

    def _view(self) -> Array:
        # Never handed out: while it lives, the buffer cannot grow.
        return np.frombuffer(self._bytes, self._dtype).reshape(self._count, *self._shape)


def checked(weights: Array | None, frames: int) -> NDArray[np.float64]:
    """How often each frame counts, float64 ``(frames,)``; None: once.

    Raises:
        DataError: there is not one weight a frame, or one is negative or no number.
    """
    return np.ones(frames) if weights is None else _checked(weights, (frames,), "(frames,)")


def checked_rows(weights: Array, frames: int) -> NDArray[np.float64]:
    """As :func:`checked`, for many sets of weights: float64 ``(R, frames)``."""
    return _checked(weights, (*np.shape(weights)[:1], frames), "(R, frames)")


def _checked(weights: Array, shape: tuple[int, ...], meaning: str) -> NDArray[np.float64]:
    if weights.shape != shape or weights.dtype.kind not in "fiub":
        found = f"{weights.dtype}{list(weights.shape)}"
        raise DataError(f"weights are {found} for {shape[-1]} frames; expected float64 {meaning}, one weight a frame")
    made = np.asarray(weights, np.float64)
    if made.size and not (made.min() >= 0 and made.max() < np.inf):  # NaN is neither
        good = np.isfinite(made) & (made >= 0)
        at = tuple(np.argwhere(~good)[0].tolist())
        raise DataError(f"the weight of frame {at[-1]} is {made[at]}; expected how often the frame counts, 0 or more")
    return made


def single(found: Mapping[str, Array], headline: str, problem: str) -> dict[str, float]:
    """The metrics of the first row, without those that were not measured (NaN).

    Raises:
        DataError: the headline is one of them; ``problem`` says what that means.
    """
    if np.isnan(found[headline][0]):
        raise DataError(problem)
    return {name: float(values[0]) for name, values in found.items() if not np.isnan(values[0])}


def ratio(parts: Array, whole: Array) -> NDArray[np.float64]:
    """Quotient, NaN where ``whole`` is zero."""
    return np.asarray(np.divide(parts, whole, out=np.full(np.shape(parts), np.nan), where=whole > 0))


def mean(values: Array) -> NDArray[np.float64]:
    """Of the last axis, without NaN; NaN where nothing is left."""
    known = ~np.isnan(values)
    return ratio(np.where(known, values, 0).sum(axis=-1), known.sum(axis=-1))


def mean_of(values: Array, rows: Array) -> NDArray[np.float64]:
    """The weighted mean of ``values`` ``(N,)`` for each of the weights ``rows`` ``(R, N)``; NaN counts nowhere."""
    known = ~np.isnan(values)
    return ratio(rows[:, known] @ values[known], rows[:, known].sum(axis=1))


def quantile(values: Array, rows: Array, share: float) -> NDArray[np.float64]:
    """The least of ``values`` ``(N,)`` that ``share`` of the weights reach, for each of ``rows`` ``(R, N)``; NaN: none.

    The inverse of the distribution function, without interpolation: with whole weights that of repeated values, and
    the same when all weights grow alike.
    """
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    if not len(order):
        return np.full(len(rows), np.nan)
    reached = np.cumsum(rows[:, order], axis=1)
    whole = reached[:, -1:]
    first = (reached >= share * whole * (1 - 1e-12)).argmax(axis=1)  # rounding of the sums moves no border
    return np.where(whole[:, 0] > 0, values[order][first], np.nan)


def grouped(weights: Array, keys: Array, groups: int) -> NDArray[np.float64]:
    """Sums of ``weights`` ``(R, N)`` by ``keys`` ``(N,)``, each in 0..groups-1: float64 ``(R, groups)``."""
    made = np.zeros((len(weights), groups))
    if len(keys):
        order = np.argsort(keys, kind="stable")
        present, starts = np.unique(keys[order], return_index=True)
        made[:, present] = np.add.reduceat(weights[:, order], starts, axis=1)
    return made
