"""Whether the KPIs hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from edgekit.core.reports.race import Race
from edgekit.core.reports.values import SCHEMA_VERSION, Document, Interval, KpiVerdict

KpiKind = Literal["min", "max", "max_drop", "baseline_drop", "baseline_ratio"]


@dataclass(frozen=True)
class KpiLimit:
    """What a KPI is held against, in the unit of its value; what does not belong to its ``kind`` is None.

    ``value`` is the limit itself: a value (``min``, ``max``), how much worse than the control or the baseline
    (``max_drop``, ``baseline_drop``), or how many times worse than the baseline (``baseline_ratio``).  ``metric`` is
    what was measured where the KPI has another name, ``under`` the traffic that it was measured under.  ``control`` and
    ``baseline`` are the values there, ``drop`` and ``ratio`` what was found; ``higher``, of a ratio: more is better.
    """

    kind: KpiKind
    value: float
    metric: str | None = None
    under: str | None = None
    control: float | None = None
    baseline: float | None = None
    drop: float | None = None
    ratio: float | None = None
    higher: bool | None = None


@dataclass(frozen=True)
class KpiResult:
    """One limit on one measured value.

    ``interval`` is what the verdict was reached by; None: the value is exact. ``needed`` is the number of
    frames, queries or other ``units`` that would decide it; ``where`` names a slice; ``allowed``: it may be undecided.
    """

    name: str
    value: float
    limit: KpiLimit
    margin: float
    unit: str
    verdict: KpiVerdict
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
    :class:`Race`, or the same as this gate's profile ran it; ``unmeasured`` says of KPIs that no time was left for why
    they are undecided.
    """

    bundle: str
    target: str
    verdict: KpiVerdict
    kpis: tuple[KpiResult, ...]
    not_applicable: tuple[str, ...] = ()
    baseline: str | None = None
    warnings: tuple[str, ...] = ()
    run: str | None = None
    race: Race | None = None
    unmeasured: dict[str, str] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION
