"""What a report is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgekit.core.errors import DataError
from edgekit.core.reports import (
    CompressReport,
    ControlChart,
    EvaluateReport,
    GateReport,
    Metric,
    ProfileReport,
    TrainingReport,
)
from edgekit.reporting.proof import Proof

JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True)
class Picture:
    """A frame drawn with its prediction, and ground truth beside it: ``jpeg`` is a whole JPEG file.

    ``id`` is the frame's; an empty ``caption`` is made from the worst frames of the evaluation.  ``legend``, a JPEG
    file too, says what the colours mean; empty: they need no words.  The page shows the first one once.

    Raises:
        DataError: the bytes are no JPEG file.
    """

    id: str
    jpeg: bytes
    caption: str = ""
    legend: bytes = b""

    def __post_init__(self) -> None:
        if not (self.jpeg.startswith(JPEG) and (self.legend or JPEG).startswith(JPEG)):
            raise DataError(f"picture of frame {self.id!r}: not a JPEG file; encode it, e.g. with cv2.imencode('.jpg')")


@dataclass(frozen=True)
class Content:
    """Everything a report can show; what is None or empty is left out of the page.

    ``metrics`` gives directions and units, the headline metric first; without it the evaluation's first
    metric is the headline and nothing is called better or worse.  ``history`` holds
    one chart a metric, ``provenance`` facts of any depth (digest, tools, device, command), ``proof`` what
    the build found out about the engine, ``training`` the curves of the compress steps that trained.

    Raises:
        DataError: there is neither an evaluation nor a profile, or two reports are of different bundles.
    """

    gate: GateReport | None
    evaluation: EvaluateReport | None
    profile: ProfileReport | None
    compress: CompressReport | None = None
    pictures: tuple[Picture, ...] = ()
    history: tuple[ControlChart, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()
    proof: Proof | None = None
    training: TrainingReport | None = None

    def __post_init__(self) -> None:
        if self.evaluation is None and self.profile is None:
            raise DataError("a report needs an evaluation or a profile; there is neither")
        given = (self.gate, self.evaluation, self.profile)
        bundles = dict.fromkeys(document.bundle for document in given if document is not None)
        if len(bundles) > 1:
            raise DataError(f"reports of different bundles: {', '.join(map(repr, bundles))}; measure one bundle")

    @property
    def bundle(self) -> str:
        """Name and digest of what was measured."""
        return next(d.bundle for d in (self.evaluation, self.profile) if d is not None)

    @property
    def headline(self) -> str | None:
        """The metric that stands for accuracy: the first of ``metrics`` that was evaluated."""
        if self.evaluation is None or not self.evaluation.metrics:
            return None
        found = (metric.name for metric in self.metrics if metric.name in self.evaluation.metrics)
        return next(found, next(iter(self.evaluation.metrics)))

    def higher(self, metric: str) -> bool | None:
        """Whether more of ``metric`` is better; None: not known."""
        return next((known.higher for known in self.metrics if known.name == metric), None)
