"""Which runtime a target ``engine: auto`` got, and why the others did not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from edgekit.core.reports.values import SCHEMA_VERSION, Document, Interval


@dataclass(frozen=True)
class Timed:
    """Median latency of a contender's engine and of its control, all engines in turn, in milliseconds.

    ``interval`` is that of ``p50_ms``; ``speedup_p50`` is control over engine; ``behind`` how many times as fast the
    chosen engine is, 1 of itself; each with its interval.
    """

    p50_ms: float
    interval: Interval
    control_p50_ms: float
    speedup_p50: float
    speedup_interval: Interval
    behind: float
    behind_interval: Interval


@dataclass(frozen=True)
class Contender:
    """One runtime.

    ``verdict``: ``chosen``; ``slower`` than the chosen one; ``no faster``, which was shown neither way; ``out``: its
    engine is not its model, or cannot be built; ``absent``: it does not work on this machine.  ``reason`` says why.
    ``device`` is what its engine depends on, ``timed`` None where nothing was raced.
    """

    engine: str
    verdict: Literal["chosen", "slower", "no faster", "out", "absent"]
    reason: str
    precision: str = ""
    placement: str | None = None
    control: str = ""
    size_mib: float | None = None
    timed: Timed | None = None
    device: dict[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        """In one sentence."""
        numbers = ""
        if (timed := self.timed) is not None:
            numbers = (
                f"{self.precision} p50 {timed.p50_ms:.3f} ms{_ends(timed.interval, '.3f')}, its {self.control.upper()} "
                f"control {timed.control_p50_ms:.3f} ms; "
            )
        return f"{self.engine} {self.verdict}: {numbers}{self.reason}"


@dataclass(frozen=True)
class Contest(Document):
    """``contest.json``: every runtime that could serve the target, in the order in which they met.

    ``openings`` and ``queries`` of each engine are None where one runtime alone was left, and nothing was raced.
    """

    target: str
    chosen: str
    openings: int | None
    queries: int | None
    contenders: tuple[Contender, ...]
    schema_version: int = SCHEMA_VERSION

    def lines(self) -> list[str]:
        """A sentence on each runtime."""
        return [contender.line() for contender in self.contenders]


def _ends(interval: Interval, form: str) -> str:
    if interval.low is None or interval.high is None:
        return ""
    return f" [{interval.low:{form}}, {interval.high:{form}}]"
