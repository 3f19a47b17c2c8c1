"""Activation ranges from a stream of frames, in memory that does not grow with frames."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from edgekit.core.errors import ModelError
from edgekit.core.tensors import Array

BINS = 8192
# Elements of one tensor that one frame adds to a histogram; a strided sample of this
# size places the 99.99th percentile of a frame within a few of its 16 k elements' ranks.
SAMPLE = 1 << 16


class RangeFinder(ABC):
    """The range of one tensor, fed frame by frame."""

    @abstractmethod
    def update(self, values: Array) -> None:
        """Add one frame's float array of any shape."""

    @abstractmethod
    def range(self) -> tuple[float, float]:
        """(lowest, highest) value that quantization must represent; holds zero."""


class MinMax(RangeFinder):
    """Smallest and largest value seen."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.low = 0.0
        self.high = 0.0

    def update(self, values: Array) -> None:
        low, high = float(values.min()), float(values.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ModelError(
                f"tensor {self.name!r} holds NaN or infinity during calibration; check weights and preprocess"
            )
        self.low, self.high = min(self.low, low), max(self.high, high)

    def range(self) -> tuple[float, float]:
        return self.low, self.high


class Percentile(MinMax):
    """The range that holds ``percentile`` per cent of the values, tails cut evenly.

    Keeps one histogram over ``[-reach, reach)``.  When a value lies outside, the
    reach doubles and bins merge in pairs, so histograms never need a second pass.
    """

    def __init__(self, name: str, percentile: float) -> None:
        super().__init__(name)
        self.percentile = percentile
        self.reach = 0.0
        self.counts = np.zeros(BINS, np.int64)
        self._frames = 0

    def update(self, values: Array) -> None:
        super().update(values)
        peak = max(-self.low, self.high)
        if peak > 0 and self.reach == 0:
            # At least 2^-100: the factor to bins must be a float32.
            self.reach = float(2.0 ** max(np.ceil(np.log2(peak) + 1e-9), -100.0))
        while peak >= self.reach > 0:
            self._double()
        flat = values.reshape(-1)
        # An odd stride and a moving start visit every column of an image in time.
        stride = (-(-flat.size // SAMPLE)) | 1
        sample = flat[self._frames % stride :: stride]
        self._frames += 1
        if peak == 0:
            self.counts[BINS // 2] += sample.size  # the bin of zero, whatever the reach
            return
        index = (sample * np.float32(BINS / 2 / self.reach) + np.float32(BINS / 2)).astype(np.int32)
        self.counts += np.bincount(np.clip(index, 0, BINS - 1), minlength=BINS)

    def _double(self) -> None:
        merged = self.counts.reshape(-1, 2).sum(axis=1)
        self.counts = np.zeros(BINS, np.int64)
        self.counts[BINS // 4 : BINS // 4 + BINS // 2] = merged
        self.reach *= 2

    def range(self) -> tuple[float, float]:
        total = int(self.counts.sum())
        if total == 0:
            return super().range()
        tail = total * (1 - self.percentile / 100) / 2
        below = np.cumsum(self.counts)
        first = int(np.searchsorted(below, tail, side="right"))
        last = int(np.searchsorted(below, total - tail, side="left"))
        width = 2 * self.reach / BINS
        low = max(self.low, first * width - self.reach)
        high = min(self.high, (last + 1) * width - self.reach)
        return min(low, 0.0), max(high, 0.0)
