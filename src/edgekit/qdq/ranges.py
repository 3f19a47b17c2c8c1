"""Activation ranges from a stream of frames, in memory that does not grow with frames.

Every calibrator but min-max reads one histogram per tensor, which the frames fill in one
pass and which merges with another's: no activation is ever stored.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgekit.core.errors import ModelError
from edgekit.core.tensors import Array

Function = Callable[[Array], Array]
"""Of one variable, element by element."""

BINS = 4096
# Elements of one tensor that all frames together add to its histogram: a hundred of them lie beyond a
# 99.99th percentile.  A frame adds at least LEAST.
BUDGET = 1 << 20
LEAST = 1 << 14
INWARD = np.linspace(1.0, 0.02, 50)
"""Shares of a range that are tried where the readers do not tell values apart; the largest first."""
_ROOM = 2.0  # spans of a channel, over the number of frames
_NARROW = 64  # bins, of which a range needs more: an 8-bit grid would be coarser than what was seen
_MANY = 1 << 13
_LEAST_NORMAL = 2.0**-126  # of float32
_CUT_BITS = 18  # of a float32; the rest is sign, exponent and five bits: bins of 3 per cent


@dataclass(frozen=True)
class Steps:
    """The grid that a range will be cut into: number of steps, and whether it is symmetric about zero."""

    count: int = 255
    symmetric: bool = False


class RangeFinder(ABC):
    """The range of one tensor, fed frame by frame."""

    whole: ClassVar[bool] = False
    """Whether it has to see all values of a frame."""
    by_channel = False
    """Whether the extremes of every channel are wanted too."""
    channels: Array | None = None
    """Those that were seen, float32 ``(2, C)``: the lowest value of every channel, and the highest."""
    widened = 0
    """Frames whose channels were looked at."""

    def widen(self, lows: Array, highs: Array) -> None:
        """Add one frame's extremes by channel, ``(C,)`` each."""
        self.widened += 1
        known = np.zeros((2, lows.size), np.float32) if self.channels is None else self.channels
        self.channels = np.stack([np.minimum(known[0], lows), np.maximum(known[1], highs)])

    def channel_ranges(self, low: float, high: float) -> Array | None:
        """The part of ``[low, high]`` that every channel needs, ``(2, C)``; None: channels were not looked at.

        With room: a further frame goes beyond what N frames have shown with a probability of 1 / (N + 1), on each side
        of every channel, where the range of the whole tensor has many channels to know from.
        """
        if self.channels is None:
            return None
        lows, highs = self.channels
        room = (highs - lows) * min(1.0, _ROOM / self.widened)
        wide = np.stack([np.where(lows < 0, lows - room, 0), np.where(highs > 0, highs + room, 0)])
        clipped: Array = np.clip(wide, low, high)
        return clipped

    @abstractmethod
    def update(self, values: Array) -> None:
        """Add one frame's float array of any shape."""

    @abstractmethod
    def add(self, low: float, high: float, sample: Array) -> None:
        """Add one frame of which only the extremes are known, and a sample of any shape (empty for min-max)."""

    @abstractmethod
    def range(self, steps: Steps = Steps()) -> tuple[float, float]:
        """(lowest, highest) value that a grid of ``steps`` must represent; holds zero."""


class MinMax(RangeFinder):
    """Smallest and largest value seen."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.low = 0.0
        self.high = 0.0

    def update(self, values: Array) -> None:
        self.add(float(values.min(initial=0.0)), float(values.max(initial=0.0)), values)

    def add(self, low: float, high: float, sample: Array) -> None:
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ModelError(
                f"tensor {self.name!r} holds NaN or infinity during calibration; check weights and preprocess"
            )
        self.low, self.high = min(self.low, low), max(self.high, high)

    def range(self, steps: Steps = Steps()) -> tuple[float, float]:
        return self.low, self.high


class Histogram(MinMax):
    """A histogram over ``[-reach, reach)`` of a sample of every frame.

    When a value lies outside, the reach doubles and bins merge in pairs, so a second
    pass is never needed and two histograms of one tensor can be added.
    """

    def __init__(self, name: str, sample: int) -> None:
        super().__init__(name)
        self.sample = sample
        self.reach = 0.0
        self.counts = np.zeros(BINS, np.int64)
        self.seen: Function | None = None
        """What the readers compute of a value, where all of them together compute one function of it."""
        self._frames = 0

    def update(self, values: Array) -> None:
        flat = values.reshape(-1)
        # An odd stride and a moving start visit every column of an image in time.
        stride = (-(-flat.size // self.sample)) | 1
        sample = flat[self._frames % stride :: stride]
        self._frames += 1
        self.add(float(values.min(initial=0.0)), float(values.max(initial=0.0)), sample)

    def add(self, low: float, high: float, sample: Array) -> None:
        super().add(low, high, sample)
        peak = max(-self.low, self.high)
        if peak > 0 and self.reach == 0:
            # At least 2^-100: the factor to bins must be a float32.
            self.reach = float(2.0 ** max(np.ceil(np.log2(peak) + 1e-9), -100.0))
        while peak >= self.reach > 0:
            self._double()
        sample = sample.reshape(-1)
        if peak == 0:
            self.counts[BINS // 2] += sample.size  # the bin of zero, whatever the reach
            return
        index = (sample * np.float32(BINS / 2 / self.reach) + np.float32(BINS / 2)).astype(np.int32)
        self.counts += np.bincount(np.clip(index, 0, BINS - 1, out=index), minlength=BINS)

    def _double(self) -> None:
        merged = self.counts.reshape(-1, 2).sum(axis=1)
        self.counts = np.zeros(BINS, np.int64)
        self.counts[BINS // 4 : BINS // 4 + BINS // 2] = merged
        self.reach *= 2

    @property
    def centres(self) -> Array:
        """The middle of every bin, float64 ``(BINS,)``."""
        return (np.arange(BINS) + 0.5) * (2 * self.reach / BINS) - self.reach

    def range(self, steps: Steps = Steps()) -> tuple[float, float]:
        if self.low == self.high == 0.0:
            return 0.0, 0.0
        low, high = self.search(steps)
        low, high = max(self.low, min(low, 0.0)), min(self.high, max(high, 0.0))
        if self.seen is None or steps.symmetric or low == high:
            return low, high
        return self._told_apart(low, high, steps, self.seen)

    def _told_apart(self, low: float, high: float, steps: Steps, seen: Function) -> tuple[float, float]:
        """The range without the ends in which the readers do not tell values apart.

        An end where what they compute is flat moves to where its mean squared error, over the histogram, is least.
        """
        used = np.flatnonzero(self.counts)
        values, weights = np.clip(self.centres[used], self.low, self.high), self.counts[used]
        places = np.linspace(low, high, BINS)
        exact, table = np.split(seen(np.concatenate((values, places))).astype(np.float64), [values.size])

        def error(ends: tuple[float, float]) -> float:
            scale = (ends[1] - ends[0]) / steps.count
            rounded = np.round(np.clip(values, *ends) / scale) * scale
            return float(np.square(np.interp(rounded, places, table) - exact) @ weights)

        slope = float(np.ptp(table)) / (high - low)

        def is_flat(end: float) -> bool:
            """Whether between half an end and the end there is a quarter of the slope of the whole, or less."""
            inner, outer = np.interp([end / 2, end], places, table)
            return abs(float(outer - inner)) < abs(end) / 2 * slope / 4

        if low < 0 and is_flat(low):
            low, _ = min(((low * share, high) for share in INWARD if low * share < high), key=error)
        if high > 0 and is_flat(high):
            _, high = min(((low, high * share) for share in INWARD if low < high * share), key=error)
        return low, high

    @abstractmethod
    def search(self, steps: Steps) -> tuple[float, float]:
        """The range, found in :attr:`counts`; the caller cuts it to what was seen."""


class Percentile(Histogram):
    """The range that holds ``percentile`` per cent of the values, tails cut evenly.

    Where one value lies so far outside that the rest shares a few bins, a second histogram decides, whose bins are
    a constant share of their value: they have no reach that an outlier could stretch.
    """

    def __init__(self, name: str, sample: int, percentile: float) -> None:
        super().__init__(name, sample)
        self.percentile = percentile
        self._shares = np.zeros(1 << (32 - _CUT_BITS), np.int64)

    def add(self, low: float, high: float, sample: Array) -> None:
        super().add(low, high, sample)
        flat = sample.reshape(-1)
        # A third of many, each counted thrice: it is needed seldom, and costs as much as the other histogram.
        step = 3 if flat.size > _MANY else 1
        bits = np.ascontiguousarray(flat[::step], np.float32).view(np.int32)
        counts = np.bincount((bits >> _CUT_BITS) & (self._shares.size - 1), minlength=self._shares.size)
        self._shares += step * counts

    def search(self, steps: Steps) -> tuple[float, float]:
        first, last = self._ends(self.counts)
        width = 2 * self.reach / BINS
        coarse = first * width - self.reach, (last + 1) * width - self.reach
        if max(last + 1, BINS // 2) - min(first, BINS // 2) >= _NARROW:  # zero is in every range
            return coarse
        low, high = self._search_shares()
        # Of values that are all but always zero one bin stays: no range is one too, but for no tensor.
        return (low, high) if max(-low, high) > _LEAST_NORMAL else coarse

    def _ends(self, counts: Array) -> tuple[int, int]:
        total = int(counts.sum())
        tail = total * (1 - self.percentile / 100) / 2
        below = np.cumsum(counts)
        return int(np.searchsorted(below, tail, side="right")), int(np.searchsorted(below, total - tail, side="left"))

    def _search_shares(self) -> tuple[float, float]:
        # The bits of a float32 are in the order of its size; the sign comes first.
        half = self._shares.size // 2
        bits = np.minimum(np.arange(half + 1, dtype=np.uint32) << _CUT_BITS, np.float32(np.inf).view(np.uint32))
        edges = bits.view(np.float32).astype(np.float64)
        first, last = self._ends(np.concatenate((self._shares[half:][::-1], self._shares[:half])))
        ends = np.concatenate((-edges[::-1], edges[1:]))
        return float(ends[first]), float(ends[last + 1])


class Clipping(Histogram):
    """The share of the range seen, ends shrunk one after the other, whose :meth:`cost` is least."""

    shares = np.linspace(1.0, 0.02, 99)  # the largest first: of equal costs the first wins

    def search(self, steps: Steps) -> tuple[float, float]:
        if steps.symmetric:
            peaks = self.shares * max(-self.low, self.high)
            return self._least(-peaks, peaks, steps)
        low, high, same = self.low, self.high, np.ones_like(self.shares)
        for _ in range(2 if low < 0 < high else 1):
            if high > 0:
                low, high = self._least(low * same, self.shares * self.high, steps)
            if low < 0:
                low, high = self._least(self.shares * self.low, high * same, steps)
        return low, high

    def _least(self, lows: Array, highs: Array, steps: Steps) -> tuple[float, float]:
        """The ends that cost least: every fourth pair is tried, then those around the best of them."""
        costs = {index: self._cost(lows[index], highs[index], steps) for index in range(0, len(lows), 4)}
        best = min(costs, key=costs.__getitem__)
        for index in range(max(best - 3, 0), min(best + 4, len(lows))):
            costs[index] = self._cost(lows[index], highs[index], steps)
        best = min(sorted(costs), key=costs.__getitem__)
        return float(lows[best]), float(highs[best])

    def _cost(self, low: float, high: float, steps: Steps) -> float:
        counts = self.considered()
        used = np.flatnonzero(counts)
        # Where the ends of what was seen lie, a bin's middle may be outside.
        centres = np.clip(self.centres[used], self.low, self.high)
        return self.cost(centres, counts[used], low, high, steps)

    def considered(self) -> Array:
        """The counts that a range is judged by."""
        return self.counts

    @abstractmethod
    def cost(self, centres: Array, counts: Array, low: float, high: float, steps: Steps) -> float:
        """What is lost when ``[low, high]`` is cut into ``steps``; ``centres`` and ``counts`` are the filled bins."""


class MeanSquare(Clipping):
    """Least mean squared rounding and clipping error.

    Banner et al., "Post training 4-bit quantization of convolutional networks for
    rapid-deployment", 2019, with the measured histogram in place of a Laplace density.
    """

    def cost(self, centres: Array, counts: Array, low: float, high: float, steps: Steps) -> float:
        scale = (high - low) / steps.count
        rounded = np.round(np.clip(centres, low, high) / scale) * scale
        return float(((centres - rounded) ** 2) @ counts)


class Entropy(Clipping):
    """Least Kullback-Leibler divergence between the distribution and its quantized form.

    Migacz, "8-bit inference with TensorRT", GTC 2017: values outside count at the end of the
    range, and every step spreads its values evenly over the bins that were not empty.  An end
    that values outside go to is a bin of its own with one value, so that a step exists there; a
    range that cuts off most values is none.
    """

    def considered(self) -> Array:
        """The zeros of a Relu are exact on every grid: a bar that no step may spread."""
        counts, zero = self.counts.copy(), BINS // 2
        counts[zero] = min(counts[zero], max(counts[zero - 1], counts[zero + 1]))
        return counts

    def cost(self, centres: Array, counts: Array, low: float, high: float, steps: Steps) -> float:
        inside = (centres >= low) & (centres <= high)
        below, above = counts[centres < low].sum(), counts[centres > high].sum()
        if below + above > counts[inside].sum():
            return float("inf")
        if not counts.size:
            return 0.0
        kept = np.concatenate(([min(below, 1)], counts[inside], [min(above, 1)])).astype(np.float64)
        clipped = kept.copy()
        clipped[0], clipped[-1] = below, above
        places = np.concatenate(([low], centres[inside], [high]))
        filled = kept > 0
        kept, clipped = kept[filled], clipped[filled]
        step = ((places[filled] - low) / ((high - low) / (steps.count + 1))).astype(np.int64).clip(max=steps.count)
        members = np.bincount(step)
        spread = (np.bincount(step, weights=kept) / np.maximum(members, 1))[step]
        p, q = clipped / clipped.sum(), spread / spread.sum()
        return float(np.sum(p * np.log(p / q)))
