"""Who dominates whom: at least as accurate and at least as fast, and better in one of the two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerances:
    """Differences that count as none: of latency as a ratio, of accuracy in the metric's own unit."""

    latency_ratio: float = 0.02
    accuracy: float = 0.0005


@dataclass(frozen=True)
class Standing:
    """One contender: its loss of accuracy to FP32 (negative: a gain) and its median latency."""

    drop: float
    p50_ms: float


def dominates(one: Standing, other: Standing, tolerances: Tolerances) -> bool:
    """Whether ``one`` is no worse than ``other`` in both and better in at least one, beyond the tolerances."""
    factor = 1 + tolerances.latency_ratio
    slower, faster = one.p50_ms > other.p50_ms * factor, one.p50_ms * factor < other.p50_ms
    worse, better = one.drop > other.drop + tolerances.accuracy, one.drop + tolerances.accuracy < other.drop
    return not slower and not worse and (faster or better)


def dominated(standings: Mapping[str, Standing], tolerances: Tolerances) -> dict[str, list[str]]:
    """For each contender, those that dominate it, in the order given."""
    return {
        name: [rival for rival, its in standings.items() if rival != name and dominates(its, own, tolerances)]
        for name, own in standings.items()
    }
