"""Whether outputs can be true: numbers, objects, scores, and whether they follow the input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.core.predictions import ClassScores, Detections, Embedding, LabelMap, Values
from edgekit.core.tensors import Array, Arrays
from edgekit.ros2_node.health._span import Lasting
from edgekit.ros2_node.health.limits import Limits
from edgekit.ros2_node.health.statuses import Level, Processed, Status, values_of

_BLOCK = 1 << 17
"""Elements of an output that are looked at in one frame; the next frame looks at the next block."""
_SAMPLE = 4096
_CHANGES = 1.0
"""Grey levels of 255 by which a picture differs from the last, on average, when it shows something else."""


@dataclass(frozen=True)
class Outputs:
    """What was looked at of a frame's outputs: samples of floats by name, and what is wrong; empty: nothing."""

    samples: Arrays
    wrong: str


class Plausibility:
    """Of one camera's results."""

    def __init__(self) -> None:
        self._conditions = {name: Lasting() for name in ("empty", "saturated", "one class", "frozen")}
        self._block = 0
        self._last: dict[str, Array] = {}
        self._bad = ""
        self._clean_s: float | None = None
        self._values: dict[str, object] = {}

    def begin(self) -> None:
        """No result yet."""
        for condition in self._conditions.values():
            condition.clear()
        self._last.clear()
        self._values.clear()
        self._bad, self._clean_s = "", None

    def see(self, result: Processed, outputs: Outputs, changed: float, limits: Limits) -> None:
        """A result.

        Args:
            result: the frame and what came out.
            outputs: of :meth:`look`.
            changed: by how many grey levels the picture differs from the last.
            limits: what is normal.
        """
        now_s = result.now_s
        wrong = outputs.wrong or next(filter(None, map(_wrong_numbers, _parts(result.prediction))), "")
        if wrong:
            self._bad, self._clean_s = wrong, None
        elif self._bad:
            self._clean_s = now_s if self._clean_s is None else self._clean_s
            if now_s - self._clean_s >= limits.hold_s:
                self._bad = ""
        same = self._repeated(outputs.samples)
        self._conditions["frozen"].see(same and changed > _CHANGES, now_s, limits.output_frozen_s, limits.hold_s)
        seen = [_seen(part, limits) for part in _parts(result.prediction)]
        self._values = {key: value for values, _ in seen for key, value in values.items()}
        for name, after_s in (
            ("empty", limits.empty_s or np.inf),
            ("saturated", limits.saturated_s),
            ("one class", limits.saturated_s),
        ):
            self._conditions[name].see(any(name in found for _, found in seen), now_s, after_s, limits.hold_s)

    def look(self, outputs: Arrays) -> Outputs:
        """A coarse sample of every output of floats, and whether its numbers can be true.

        Of a large output each call looks at the sample and at one block, and the next at the next, so that all of it is
        seen within a few frames.
        """
        self._block += 1
        samples: dict[str, Array] = {}
        wrong = ""
        for name, array in outputs.items():
            if array.dtype.kind != "f" or not array.size:
                continue
            flat = array.reshape(-1)
            first = self._block % -(-flat.size // _BLOCK) * _BLOCK
            samples[name] = flat[:: -(-flat.size // _SAMPLE)].copy()
            if not (np.isfinite(samples[name]).all() and np.isfinite(flat[first : first + _BLOCK]).all()):
                wrong = wrong or f"Output {name!r} holds NaN or infinity."
        return Outputs(samples, wrong)

    def _repeated(self, samples: Arrays) -> bool:
        """Whether every output repeats the last frame's; one that is constant in itself says nothing."""
        varied = {name: sample for name, sample in samples.items() if sample.size > 1 and np.ptp(sample) > 0}
        same = bool(varied) and all(
            name in self._last and np.array_equal(sample, self._last[name]) for name, sample in varied.items()
        )
        self._last = dict(samples)
        return same

    def status(self, name: str, limits: Limits) -> Status:
        """Of the last results."""
        holds = {condition for condition, memory in self._conditions.items() if memory.holds}
        found = [
            (bool(self._bad), Level.ERROR, self._bad),
            ("frozen" in holds, Level.ERROR, "The outputs stay the same while the input changes."),
            ("empty" in holds, Level.WARN, f"Nothing was found for {limits.empty_s:g} s."),
            ("saturated" in holds, Level.WARN, f"Every score is at its end for {limits.saturated_s:g} s."),
            ("one class" in holds, Level.WARN, f"One class fills the mask for {limits.saturated_s:g} s."),
        ]
        told = [(level, message) for condition, level, message in found if condition]
        level = max((level for level, _ in told), default=Level.OK)
        message = " ".join(message for _, message in told) or "The outputs are plausible."
        return Status(name, level, message, values_of(self._values.items()))


def _parts(prediction: Any) -> Iterator[Any]:
    """A prediction, or those of several tasks."""
    if isinstance(prediction, Mapping):
        for part in prediction.values():
            yield from _parts(part)
    elif prediction is not None:
        yield prediction


def _wrong_numbers(prediction: Any) -> str:
    arrays = {
        ClassScores: ("probabilities", "Class scores hold NaN or infinity."),
        Embedding: ("vector", "The embedding holds NaN or infinity."),
        Values: ("values", "Values hold NaN or infinity."),
    }
    for kind, (attribute, message) in arrays.items():
        if isinstance(prediction, kind):
            array: Array = getattr(prediction, attribute)
            if not np.isfinite(array).all():
                return message
            if kind is Embedding and not array.any():
                return "The embedding is zero."
    return ""


def _seen(prediction: Any, limits: Limits) -> tuple[dict[str, object], frozenset[str]]:
    """Values to show, and which conditions the prediction meets."""
    if isinstance(prediction, Detections):
        top = float(prediction.scores.max(initial=0.0))
        at_end = len(prediction) > 0 and float(prediction.scores.min()) >= limits.saturated_score
        conditions = {"empty"} if not len(prediction) else {"saturated"} if at_end else set()
        return {"Objects": len(prediction), "Highest score": top}, frozenset(conditions)
    if isinstance(prediction, ClassScores):
        top = float(prediction.probabilities.max(initial=0.0))
        at_end = top >= limits.saturated_score
        return {"Highest score": top}, frozenset({"saturated"} if at_end else ())
    if isinstance(prediction, LabelMap):
        sample = prediction.labels[::8, ::8]
        counts = np.bincount(sample.reshape(-1), minlength=1)
        share = float(counts.max() / max(sample.size, 1))
        one = share >= limits.one_class_share
        return {"Share of the largest class": share}, frozenset({"one class"} if one else ())
    return {}, frozenset()
