"""How much predictions change from frame to frame of one sequence."""

from __future__ import annotations

from typing import Any

from edgekit.core.errors import DataError
from edgekit.data import Sample
from edgekit.tasks import Labelled, Task


class Flicker:
    """The mean of :meth:`Task.flicker` over all pairs of consecutive frames of one sequence; keeps one frame."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.sequence: str | None = None
        self.before: Labelled = (None, None)
        self.sums: dict[str, tuple[float, int]] = {}

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
                total, count = self.sums.get(name, (0.0, 0))
                self.sums[name] = total + value, count + 1
        self.sequence, self.before = sequence, now

    def compute(self) -> dict[str, float]:
        """Metric to mean; empty when no two frames were of one sequence."""
        return {name: total / count for name, (total, count) in self.sums.items()}
