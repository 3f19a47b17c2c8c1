"""The second judge: what the task makes of an engine and of its typed model, on the same frames, without labels.

What INT8 itself changes, the typed model against FP32, is the scale: an engine whose roundings add up differs by less.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edgekit.core.errors import DataError, TensorError
from edgekit.core.predictions import Geometry
from edgekit.core.reports import Agreement, Verdict
from edgekit.core.tensors import Arrays
from edgekit.engine import Engine
from edgekit.tasks import Task
from edgekit.verification.limits import Limits

Frame = tuple[Arrays, Geometry]
"""Feeds of one frame, and how it was prepared."""


class Frames(Protocol):
    """Prepared frames by number."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Frame: ...


@dataclass(frozen=True)
class Judge:
    """What the second judge needs.

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

        plain = ort.Config(engine="ort")
        ours, noise = [], []
        with ort.open(model, plain, optimised=False) as typed, ort.open(self.fp32, plain, optimised=False) as fp32:
            for number in range(len(self.frames)):
                feeds, geometry = self.frames[number]
                said, meant, wanted = (self._decoded(each, feeds, geometry) for each in (engine, typed, fp32))
                ours.append(_apart(self.task, meant, said))
                noise.append(_apart(self.task, wanted, meant))
                advance()
        own, itself = float(np.mean(ours)), float(np.mean(noise))
        limit = max(limits.disagreement, limits.disagreement_noise * itself) if limits.disagreement >= 0 else -1.0
        verdict: Verdict = "pass" if own <= limit else "fail"
        return Agreement(self.task.disagreement_of, len(ours), own, float(np.max(ours)), itself, limit, verdict)

    def _decoded(self, engine: Engine, feeds: Arrays, geometry: Geometry) -> Any:
        try:
            return self.task.decode(engine.infer(feeds), geometry)
        except (DataError, TensorError) as problem:
            # Outputs that mean nothing to the task (NaN): that is a difference, unless both are so.
            return str(problem)


def _apart(task: Task, one: Any, other: Any) -> float:
    if isinstance(one, str) or isinstance(other, str):
        return float(isinstance(one, str) != isinstance(other, str))
    return task.disagreement(one, other)
