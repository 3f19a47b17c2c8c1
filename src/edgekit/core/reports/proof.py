"""``parity.json``: what a build found out about each of its engines, the candidate's first."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from edgekit.core.reports.achieved import Achieved
from edgekit.core.reports.parity import (
    Agreement,
    Departure,
    FramesProof,
    LayersReport,
    OutputParity,
    Reduction,
    VerifyReport,
)
from edgekit.core.reports.race import Race
from edgekit.core.reports.values import SCHEMA_VERSION, Document


@dataclass(frozen=True)
class EngineProof(Document):
    """What a build found out about one engine.

    ``engine`` is its precision, ``verdict`` that of its parity with the typed model on ``frames`` golden frames;
    ``not run``: it does not run where it was built, ``reason`` says why, and nothing was compared.
    ``achieved`` is None where no layer list can be had, ``race`` except of an INT8 candidate that was timed.
    The other fields are those of :class:`VerifyReport`.
    """

    engine: str
    verdict: Literal["pass", "fail", "not run"]
    reason: str = ""
    bundle: str = ""
    frames: int = 0
    outputs: tuple[OutputParity, ...] = ()
    departure: Departure | None = None
    reduction: Reduction | None = None
    layers: LayersReport | None = None
    agreement: Agreement | None = None
    golden_frames: FramesProof | None = None
    achieved: Achieved | None = None
    race: Race | None = None
    schema_version: int = SCHEMA_VERSION

    @classmethod
    def of(cls, report: VerifyReport) -> EngineProof:
        """The comparison of an engine that ran."""
        return cls(**{one.name: getattr(report, one.name) for one in fields(report)})

    def parity(self) -> VerifyReport | None:
        """The comparison alone; None: the engine was not run."""
        if self.verdict == "not run":
            return None
        values = {one.name: getattr(self, one.name) for one in fields(VerifyReport)}
        return VerifyReport(**values)
