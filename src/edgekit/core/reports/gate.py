"""Whether the KPIs hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from edgekit.core.reports.values import SCHEMA_VERSION, Document, Interval, Judgement


@dataclass(frozen=True)
class KpiResult:
    """One limit on one measured value; ``limit`` is e.g. ``{"kind": "max", "value": 33.3}``.

    ``interval`` is what the verdict was reached by; None: the value is exact. ``needed`` is the number of
    frames, queries or other ``units`` that would decide it; ``where`` names a slice; ``allowed``: it may be undecided.
    """

    name: str
    value: float
    limit: dict[str, Any]
    margin: float
    unit: str
    verdict: Judgement
    interval: Interval | None = None
    needed: int | None = None
    units: str = ""
    where: str = ""
    reason: str = ""
    allowed: bool = False


@dataclass(frozen=True)
class GateReport(Document):
    """The verdict over all KPIs of the target; ``undecided`` when nothing failed but not all passed.

    ``warnings`` are of the evaluation and the baseline; ``run`` is the one that was recorded; ``race`` the build's
    :class:`Race`; ``unmeasured`` says of KPIs that no time was left for why they are undecided.
    """

    bundle: str
    target: str
    verdict: Judgement
    kpis: tuple[KpiResult, ...]
    not_applicable: tuple[str, ...] = ()
    baseline: str | None = None
    warnings: tuple[str, ...] = ()
    run: str | None = None
    race: dict[str, Any] | None = None
    unmeasured: dict[str, str] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION
