"""What an evaluation measured, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from edgekit.core.reports.values import SCHEMA_VERSION, Document, Interval


@dataclass(frozen=True)
class Difference:
    """Candidate minus control of one metric on the same frames, tested paired.

    ``p_value`` is two-sided; ``p_adjusted`` is corrected for all differences of the report that were
    tested with it.
    """

    value: float
    low: float | None
    high: float | None
    p_value: float | None = None
    p_adjusted: float | None = None


@dataclass(frozen=True)
class Bootstrap:
    """How intervals were made: ``unit`` is what was drawn (``frame`` or a metadata column such as ``sequence``)."""

    unit: str
    units: int
    resamples: int
    confidence: float
    seed: int
    method: str = "percentile"


@dataclass(frozen=True)
class Slice:
    """The frames whose metadata ``column`` is ``value``, and the metrics on them alone."""

    column: str
    value: str
    frames: int
    metrics: dict[str, float]
    control: dict[str, float] | None
    intervals: dict[str, Interval] = field(default_factory=dict)
    differences: dict[str, Difference] = field(default_factory=dict)


@dataclass(frozen=True)
class WorstFrame:
    """A frame by its own score of the headline metric; ``loss`` is against the control's, ``by`` why it is named."""

    id: str
    score: float
    control: float | None
    loss: float | None
    by: Literal["score", "loss"] = "score"


@dataclass(frozen=True)
class EvaluateReport(Document):
    """Task metrics of the candidate engine, and of its control on the same frames.

    ``control_engine`` is the control's file, empty in documents from before it was kept.  ``intervals`` and
    ``differences`` are by metric; ``dataset_hash`` and ``preprocess_hash`` are what two reports must share to be
    compared.  ``warnings`` say why the numbers are not what the bundle was built to show, ``notes`` how the labels were
    taken: class names that one side lacks, classes whose predictions were ignored, scores from which boxes count.
    """

    bundle: str
    engine: str
    dataset: str
    frames: int
    metrics: dict[str, float]
    control: dict[str, float] | None
    intervals: dict[str, Interval] = field(default_factory=dict)
    differences: dict[str, Difference] = field(default_factory=dict)
    slices: tuple[Slice, ...] = ()
    worst: tuple[WorstFrame, ...] = ()
    bootstrap: Bootstrap | None = None
    dataset_hash: str = ""
    preprocess_hash: str = ""
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    control_engine: str = ""
    schema_version: int = SCHEMA_VERSION
