"""A build's race of INT8 against its control, as ``parity.json`` holds it, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from edgekit.core.reports.values import Document, Interval


@dataclass(frozen=True)
class Race(Document):
    """Median latency of a new INT8 engine and of its control, in milliseconds; ``by`` is ``edgekit`` or ``trtexec``.

    ``speedup_p50`` is control over INT8; ``interval``, ``queries`` and ``openings`` are None of medians alone.
    """

    control: str
    p50_ms: float
    control_p50_ms: float
    speedup_p50: float
    interval: Interval | None
    queries: int | None
    openings: int | None
    by: str
    verdict: Literal["faster", "rejected", "undecided"]


def line(race: Mapping[str, Any]) -> str:
    """INT8 against its control, in one sentence."""
    interval = race["interval"]
    ends = "" if interval is None or interval["low"] is None else f" [{interval['low']:.2f}, {interval['high']:.2f}]"
    how = f"medians of {race['by']}, not in turn"
    if race["queries"]:
        opened = f", opened {race['openings']} times" if race.get("openings") else ""
        how = f"{race['queries']} queries of each in turn{opened}"
    return (
        f"int8 p50 {race['p50_ms']:.3f} ms, its {race['control'].upper()} control {race['control_p50_ms']:.3f} ms: "
        f"{race['speedup_p50']:.2f}x{ends} as fast ({how}): {race['verdict']}"
    )


def advice(race: Mapping[str, Any]) -> str:
    """What follows from a race that INT8 did not win; empty: it did."""
    if race["verdict"] == "faster":
        return ""
    control = race["control"]
    if race["verdict"] == "rejected":
        return (
            f"INT8 does not pay on this target: {line(race)}; try compress: method: auto or mixed, which keep in "
            f"float what is faster there, or precision: {control}"
        )
    return (
        f"INT8 may not pay on this target: {line(race)}; decide it on the target with: edgekit profile BUNDLE, "
        f"or build with precision: {control}"
    )
