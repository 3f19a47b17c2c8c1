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

FAR = 0.2
"""Distance from FP32 (relative L2) from which a build warns: healthy INT8 networks were at 0.005 to 0.06, one whose
accuracy was gone at 0.7."""


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

    def fidelity(self) -> str:
        """How far the engine's outputs are from the PyTorch model's, in one sentence; empty: that was not measured."""
        worst = self._farthest()
        if worst is None or self.engine == "fp32":
            return ""
        share = f"{100 * (worst.rel_l2_fp32 or 0):.2g} %"
        frames = f"{self.frames} golden frame{'s' if self.frames != 1 else ''}"
        return f"{self.engine} against FP32: output {worst.output!r} differs by {share} (relative L2, {frames})"

    def advice(self) -> str:
        """What follows where that is far; empty: it is near."""
        worst = self._farthest()
        if worst is None or (worst.rel_l2_fp32 or 0) <= FAR or not self.fidelity():
            return ""
        return (
            f"{self.engine.upper()} may have lost accuracy: {self.fidelity()}, of which parity says nothing: it "
            "compares an engine with its own typed model; measure it with: edgekit evaluate BUNDLE; find the "
            "layers with: edgekit sensitivity SPEC, and keep them in float (exclude: [...] of the step), or let "
            "the step - auto: {max_drop: ...} choose"
        )

    def _farthest(self) -> OutputParity | None:
        known = [one for one in self.outputs if one.rel_l2_fp32 is not None]
        return max(known, key=lambda one: one.rel_l2_fp32 or 0.0, default=None)

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
