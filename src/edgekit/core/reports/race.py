"""A build's race of INT8 against its control, and how it is put in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgekit.core.reports.values import Document, Interval


@dataclass(frozen=True)
class Race(Document):
    """Median latency of a new INT8 engine and of its control, in milliseconds; ``by`` is ``edgekit`` or ``trtexec``.

    ``control`` is its precision, ``speedup_p50`` is control over INT8; ``interval``, ``queries`` and ``openings`` are
    None of medians alone, ``openings`` also in bundles from before they were kept.
    """

    control: str
    p50_ms: float
    control_p50_ms: float
    speedup_p50: float
    interval: Interval | None
    queries: int | None
    by: str
    verdict: Literal["faster", "rejected", "undecided"]
    openings: int | None = None

    def line(self) -> str:
        """INT8 against its control, in one sentence."""
        ends = ""
        if self.interval is not None and self.interval.low is not None and self.interval.high is not None:
            ends = f" [{self.interval.low:.2f}, {self.interval.high:.2f}]"
        how = f"medians of {self.by}, not in turn"
        if self.queries:
            opened = f", opened {self.openings} times" if self.openings else ""
            how = f"{self.queries} queries of each in turn{opened}"
        return (
            f"int8 p50 {self.p50_ms:.3f} ms, its {self.control.upper()} control {self.control_p50_ms:.3f} ms: "
            f"{self.speedup_p50:.2f}x{ends} as fast ({how}): {self.verdict}"
        )

    def advice(self) -> str:
        """What follows from a race that INT8 did not win; empty: it did."""
        if self.verdict == "faster":
            return ""
        if self.verdict == "rejected":
            return (
                f"INT8 does not pay on this target: {self.line()}; try the step - auto: {{max_drop: 0.01}} under "
                "compress (it needs data.validation), which keeps in float what is faster there, or "
                f"precision: {self.control}"
            )
        return (
            f"INT8 may not pay on this target: {self.line()}; decide it on the target with: edgekit profile BUNDLE, "
            f"or build with precision: {self.control}"
        )
