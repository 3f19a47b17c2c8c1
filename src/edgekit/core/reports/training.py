"""``training.json``: how the training of compress steps went."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.core.reports.values import SCHEMA_VERSION, Document

TRACE = "training"
"""Folder of a compress step: a :class:`TrainingCurve` for each of its trainings, and TensorBoard event files."""


@dataclass(frozen=True)
class CurvePoint:
    """The mean loss of the steps since the point before, and the metric on the validation frames; step 0 is the start.

    ``loss`` is None at the start, ``metric`` where nothing was validated.
    """

    step: int
    loss: float | None
    metric: float | None


@dataclass(frozen=True)
class TrainingCurve:
    """One training.

    ``title`` names it, ``metric`` what was validated; ``higher`` says whether more of that is better.  ``step`` and
    ``method`` are those of the compress step.
    """

    title: str
    metric: str | None
    higher: bool
    points: tuple[CurvePoint, ...]
    step: str = ""
    method: str = ""

    @property
    def best(self) -> CurvePoint | None:
        """The point whose weights were kept; None: nothing was validated."""
        found = [(point, point.metric) for point in self.points if point.metric is not None]
        if not found:
            return None
        return max(found, key=lambda one: one[1] if self.higher else -one[1])[0]


@dataclass(frozen=True)
class TrainingReport(Document):
    """Every training of a chain of compress steps, in their order."""

    curves: tuple[TrainingCurve, ...]
    schema_version: int = SCHEMA_VERSION
