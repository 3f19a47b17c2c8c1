"""How much predictions change from frame to frame of one sequence."""

from __future__ import annotations

from array import array
from collections import defaultdict
from typing import Any

import numpy as np

from edgekit.core.errors import DataError
from edgekit.core.tensors import Array
from edgekit.data import Sample
from edgekit.tasks import Labelled, Task, checked, checked_rows


class Flicker:
    """The mean of :meth:`Task.flicker` over all pairs of consecutive frames of one sequence.

    Keeps one frame, and two numbers for each pair and metric.  With weights, a pair counts as often as its later
    frame; that is exact where whole sequences are drawn, and leaves out a pair whose earlier frame does not count only
    where that begins a slice.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.sequence: str | None = None
        self.before: Labelled = (None, None)
        self.count = 0
        self.places: defaultdict[str, array[int]] = defaultdict(lambda: array("q"))
        self.values: defaultdict[str, array[float]] = defaultdict(lambda: array("d"))

    def __len__(self) -> int:
        return self.count

    def update(self, prediction: Any, sample: Sample) -> None:
        """Add a frame; one without ``metadata["sequence"]``, or the first of a sequence, is compared with none.

        Raises:
            DataError: the frame cannot follow the one before it.
        """
        sequence, now = sample.metadata.get("sequence"), (prediction, sample.truth)
        if sequence is not None and sequence == self.sequence:
            try:
                found = self.task.flicker(self.before, now)
            except DataError as error:
                raise DataError(f"frame {sample.id!r} of sequence {sequence!r}: {error}") from error
            for name, value in found.items():
                self.places[name].append(self.count)
                self.values[name].append(value)
        self.sequence, self.before, self.count = sequence, now, self.count + 1

    def compute(self, weights: Array | None = None) -> dict[str, float]:
        """Metric to mean; empty when no two frames were of one sequence; see :meth:`Accumulator.compute`."""
        found = self.compute_many(checked(weights, self.count)[None])
        return {name: float(values[0]) for name, values in found.items() if not np.isnan(values[0])}

    def compute_many(self, weights: Array) -> dict[str, Array]:
        """As :meth:`Accumulator.compute_many`."""
        rows = checked_rows(weights, self.count)
        found: dict[str, Array] = {}
        for name, places in self.places.items():
            often, values = rows[:, np.array(places)], np.array(self.values[name])
            total = often.sum(axis=1)
            found[name] = np.divide(often @ values, total, out=np.full(len(rows), np.nan), where=total > 0)
        return found
