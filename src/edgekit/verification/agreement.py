"""The second check: what the task makes of an engine and of its typed model, on the same frames, without labels.

What INT8 itself changes, the typed model against FP32, is the scale: an engine whose roundings add up differs by less.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edgekit.core.errors import DataError, TensorError
from edgekit.core.reports import Agreement, KpiVerdict
from edgekit.engine import Engine, predict
from edgekit.preprocess import Prepared
from edgekit.stats.openings import student
from edgekit.tasks import Task
from edgekit.verification.limits import Limits

CONFIDENCE = 0.95


class Frames(Protocol):
    """Prepared frames by number."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Prepared: ...


@dataclass(frozen=True)
class TaskComparison:
    """What the second check needs.

    Args:
        task: decodes outputs.
        frames: evenly spread calibration frames; read again each time.
        fp32: the FP32 ONNX file.
    """

    task: Task
    frames: Frames
    fp32: Path

    def ask(self, engine: Engine, model: Path, limits: Limits, advance: Callable[[], None] = lambda: None) -> Agreement:
        """Compare an open engine with its typed ONNX file, and that with FP32, by what the task makes of them."""
        from edgekit.engine import ort

        differences, noise, empty = [], [], 0
        with ort.reference(model) as typed, ort.reference(self.fp32) as fp32:
            for number in range(len(self.frames)):
                frame = self.frames[number]
                said, meant, wanted = (self._decoded(each, frame) for each in (engine, typed, fp32))
                differences.append(_apart(self.task, meant, said))
                noise.append(_apart(self.task, wanted, meant))
                empty += all(not isinstance(found, str) and self.task.finds_nothing(found) for found in (meant, wanted))
                advance()
        return judged(self.task.disagreement_of, differences, noise, limits, empty)

    def _decoded(self, engine: Engine, frame: Prepared) -> Any:
        try:
            return predict(engine, self.task, frame)
        except (DataError, TensorError) as problem:
            # Outputs that mean nothing to the task (NaN): that is a difference, unless both are so.
            return str(problem)


def judged(
    measure: str, differences: Sequence[float], noise: Sequence[float], limits: Limits, empty: int = 0
) -> Agreement:
    """The second check's verdict over frames, of which it has few: what they cannot decide is undecided.

    Of one label per frame, 16 frames give a mean that is off by 0.2 as often as not: an engine is refused only where
    the interval of its disagreement lies above that of what INT8 itself changes.

    Args:
        measure: what is counted.
        differences: disagreement of the engine with its typed model on each frame.
        noise: that of the typed model with FP32.
        limits: see :func:`edgekit.verification.limits.limits_of`.
        empty: frames on which there was nothing to compare.
    """

    def allowed(int8_mean: float) -> float:
        return max(limits.disagreement, limits.disagreement_noise * int8_mean) if limits.disagreement >= 0 else -1.0

    mean, int8_mean = float(np.mean(differences)), float(np.mean(noise))
    low, limit, most = (
        max(0.0, mean - _half(differences)),
        allowed(int8_mean),
        allowed(min(1.0, int8_mean + _half(noise))),
    )
    verdict: KpiVerdict = "pass" if mean <= limit else "fail" if low > most else "undecided"
    if verdict == "pass" and empty == len(differences):
        verdict = "undecided"  # nothing was found, so nothing was compared
    worst = float(np.max(differences))
    return Agreement(measure, len(differences), mean, worst, int8_mean, limit, verdict, low, most, empty)


def _half(values: Sequence[float]) -> float:
    """Half-width of the interval of a mean over frames; 0 for one frame, which has none."""
    size = len(values)
    return student(CONFIDENCE, size) * float(np.std(values, ddof=1)) / math.sqrt(size) if size > 1 else 0.0


def _apart(task: Task, one: Any, other: Any) -> float:
    if isinstance(one, str) or isinstance(other, str):
        return float(isinstance(one, str) != isinstance(other, str))
    return task.disagreement(one, other)
